"""The check finds what would spoil a training, and loses nothing else."""

import json

import numpy as np
import pytest
from PIL import Image

from torchbas.data.check import inspect, summary
from torchbas.data.tags import read


def _photo(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(["cat/1.jpg", "cat/2.jpg", "dog/3.png"]):
        _photo(tmp_path / name, number)
    return tmp_path


@pytest.mark.parametrize("workers", [0, 3])
def test_unreadable_photos_are_left_out_and_named_in_order(photos, workers):
    content = (photos / "cat/1.jpg").read_bytes()
    (photos / "cat/1a.jpg").write_bytes(content[:-600])
    (photos / "dog/0.jpg").write_bytes(b"")
    collection = inspect(read(photos), workers)
    assert [photo.name for photo in collection.photos] == ["cat/1.jpg", "cat/2.jpg", "dog/3.png"]
    assert [problem.name for problem in collection.problems] == ["cat/1a.jpg", "dog/0.jpg"]
    assert "cut off" in collection.problems[0].reason
    assert "0 bytes" in collection.problems[1].reason


def test_progress_counts_every_photo(photos):
    seen = []
    inspect(read(photos), 2, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_same_photo_under_two_tags_is_kept_but_named(photos):
    (photos / "dog/1.jpg").write_bytes((photos / "cat/1.jpg").read_bytes())
    (photos / "cat/again.jpg").write_bytes((photos / "cat/1.jpg").read_bytes())
    collection = inspect(read(photos))
    assert len(collection.photos) == 5
    (problem,) = collection.problems
    assert (problem.name, "same content as cat/1.jpg, other tags (dog; cat)" in problem.reason) == ("dog/1.jpg", True)


def test_the_same_photo_in_training_and_test_is_named(tmp_path):
    _photo(tmp_path / "train/cat/1.jpg")
    _photo(tmp_path / "test/cat/9.jpg")
    (problem,) = inspect(read(tmp_path)).problems
    assert "other split" in problem.reason


def test_the_summary_counts_photos(photos):
    for name in ("4.jpg", "5.jpg"):
        _photo(photos / name, 9)
    rows = "cat/1.jpg,cat;dog,train\ncat/2.jpg,cat,train\n4.jpg,,test\n5.jpg,,test\n5.jpg,,test\n"
    (photos / "tags.csv").write_text(f"file,tags,split\n{rows}")
    found = summary(read(photos / "tags.csv"))
    assert json.loads(json.dumps(found)) == found
    (problem,) = found.pop("problems")
    assert problem["name"] == "5.jpg"
    assert found == {
        "photos": 4,
        "tags": {"cat": 2, "dog": 1},
        "splits": {"train": 2, "test": 2},
        "untagged": 2,
        "several_tags": 1,
        "with_boxes": 0,
        "with_mask": 0,
    }
