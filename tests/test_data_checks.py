"""The check names unreadable photos, wrong masks and contradictory duplicates, and drops unreadable photos only."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from torchbas.data.checks import background_hints, inspect, summary, too_few_tags
from torchbas.data.tags import read


def _photo(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)).save(path)


def _bmp(number):
    """An image whose rows at the end of the file, the upper ones, are black."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[-1, 0] = number
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "bmp")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(["cat/1.jpg", "cat/2.jpg", "dog/3.png"]):
        _photo(tmp_path / name, number)
    return tmp_path


@pytest.mark.parametrize("workers", [0, 3])
def test_unreadable_photos_are_left_out_and_named_in_order(folder, workers):
    content = (folder / "cat/1.jpg").read_bytes()
    (folder / "cat/1a.jpg").write_bytes(content[:-600])
    (folder / "dog/0.jpg").write_bytes(b"")
    dataset = inspect(read(folder), workers)
    assert [sample.name for sample in dataset.samples] == ["cat/1.jpg", "cat/2.jpg", "dog/3.png"]
    assert [problem.name for problem in dataset.problems] == ["cat/1a.jpg", "dog/0.jpg"]
    assert "cut off" in dataset.problems[0].reason
    assert "0 bytes" in dataset.problems[1].reason


def test_progress_counts_every_photo(folder):
    seen = []
    inspect(read(folder), 2, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_same_photo_under_two_tags_is_kept_but_named(folder):
    (folder / "dog/1.jpg").write_bytes((folder / "cat/1.jpg").read_bytes())
    (folder / "cat/again.jpg").write_bytes((folder / "cat/1.jpg").read_bytes())
    dataset = inspect(read(folder))
    assert len(dataset.samples) == 5
    (problem,) = dataset.problems
    assert (problem.name, "same content as cat/1.jpg, other tags (dog; cat)" in problem.reason) == ("dog/1.jpg", True)


def test_files_of_one_size_and_one_ending_are_no_duplicates(folder):
    content = (folder / "dog/3.png").read_bytes()
    for number in range(3):
        (folder / f"{'dog' if number else 'cat'}/{number}.bmp").write_bytes(_bmp(number))
    assert len({(folder / name).stat().st_size for name in ("cat/0.bmp", "dog/1.bmp", "dog/2.bmp")}) == 1
    assert inspect(read(folder)).problems == ()
    (folder / "cat/3.png").write_bytes(content)
    (problem,) = inspect(read(folder)).problems
    assert (problem.name, "same content as cat/3.png" in problem.reason) == ("dog/3.png", True)


def test_the_same_photo_in_training_and_test_is_named(tmp_path):
    _photo(tmp_path / "train/cat/1.jpg")
    _photo(tmp_path / "test/cat/9.jpg")
    (problem,) = inspect(read(tmp_path)).problems
    assert "other split" in problem.reason


def test_the_summary_counts_photos(folder):
    for name in ("4.jpg", "5.jpg"):
        _photo(folder / name, 9)
    rows = "cat/1.jpg,cat;dog,train\ncat/2.jpg,cat,train\n4.jpg,,test\n5.jpg,,test\n5.jpg,,test\n"
    (folder / "tags.csv").write_text(f"file,tags,split\n{rows}")
    found = summary(read(folder / "tags.csv"))
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


def _tagged(folder, *tags):
    for number, tag in enumerate(tags):
        _photo(folder / tag / f"{number}.png", number)
    return read(folder)


def test_tags_whose_names_mean_none_of_the_others_are_named(tmp_path):
    dataset = _tagged(tmp_path / "a", "crack", "Good", "defect-free", "no defect", "goodness", "OK")
    said = "if its photos show none of the other tags, add --background"
    assert background_hints(dataset) == [
        f'tag "Good": {said} Good.',
        f'tag "OK": {said} OK.',
        f'tag "defect-free": {said} defect-free.',
        f"tag \"no defect\": {said} 'no defect'.",
    ]
    assert background_hints(dataset.with_background("Good", "OK", "defect-free", "no defect")) == []
    assert background_hints(_tagged(tmp_path / "b", "other")) == []


def test_one_tag_is_too_few_without_photos_to_tell_it_from(tmp_path):
    one = _tagged(tmp_path / "one", "cat", "cat")
    assert 'has one tag only ("cat")' in too_few_tags(one)
    assert too_few_tags(one).endswith("add some under another tag, or in a folder named _background.")
    with_background = _tagged(tmp_path / "one", "_background")
    assert too_few_tags(with_background) == ""
    assert too_few_tags(with_background, learns_background=False).endswith(
        "under another tag, e.g. a folder named other."
    )
    assert too_few_tags(_tagged(tmp_path / "two", "cat", "dog"), learns_background=False) == ""


def test_photos_to_tell_a_tag_from_count_where_they_are_trained_on(tmp_path):
    _photo(tmp_path / "train/cat/1.png")
    _photo(tmp_path / "test/_background/2.png", 1)
    assert "one tag only" in too_few_tags(read(tmp_path))
    _photo(tmp_path / "train/_background/3.png", 2)
    assert too_few_tags(read(tmp_path)) == ""
