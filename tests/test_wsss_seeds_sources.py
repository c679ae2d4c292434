"""Folders of seeds that another program has filled."""

import os
from pathlib import Path

import numpy as np
import pytest

from torchbas.errors import InputError
from torchbas.structures import Sample
from torchbas.wsss.seeds.files import Seed, write_seed
from torchbas.wsss.seeds.sources import SeedFolder

CLASSES = ("cat", "dog", "owl")
PHOTO = Sample(Path("a/1.jpg"), "a/1.jpg", (0, 2))
PATH = Path("a/1.npz")
MAPS = np.linspace(0, 1, 2 * 6 * 8, dtype=np.float32).reshape(2, 6, 8)


def seed(*tags: str, maps: np.ndarray = MAPS) -> Seed:
    return Seed(maps[: len(tags)], tags, (24, 32))


def irn(path: Path, keys: list[int]) -> None:
    """A seed as IRN's code pickles it."""
    content = {"keys": np.array(keys), "cam": MAPS[: len(keys)], "high_res": np.zeros((len(keys), 24, 32), np.float32)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(content), allow_pickle=True)


def test_a_seed_lies_at_its_photos_path(tmp_path):
    write_seed(tmp_path / PATH, seed("cat", "owl"))
    found = SeedFolder("x", tmp_path).read(PHOTO, PATH, CLASSES)
    assert (found.tags, found.size) == (("cat", "owl"), (24, 32))
    assert np.allclose(found.maps, MAPS, atol=1e-3)


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        (("cat",), "has maps of cat, but a/1.jpg is tagged cat, owl"),
        (("cat", "dog"), "has maps of cat, dog, but"),
        (("owl", "cat"), "has maps of owl, cat, but"),
        ((), "has maps of nothing, but"),
    ],
)
def test_seeds_of_other_tags_are_refused(tmp_path, tags, sentence):
    write_seed(tmp_path / PATH, seed(*tags))
    with pytest.raises(InputError, match=sentence) as error:
        SeedFolder("x", tmp_path).read(PHOTO, PATH, CLASSES)
    assert str(tmp_path / PATH) in str(error.value)


def test_seeds_of_tags_are_refused_for_a_photo_without(tmp_path):
    write_seed(tmp_path / PATH, seed("cat"))
    with pytest.raises(InputError, match="is tagged with nothing"):
        SeedFolder("x", tmp_path).read(Sample(Path("a/1.jpg"), "a/1.jpg"), PATH, CLASSES)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"1\.npz is missing: make the seeds again"):
        SeedFolder("x", tmp_path).read(PHOTO, PATH, CLASSES)
    with pytest.raises(InputError, match=r"--seeds .*nowhere is no folder"):
        _ = SeedFolder("x", tmp_path / "nowhere").fingerprint


@pytest.mark.parametrize("where", ["a/1.npy", "1.npy"])
def test_irns_files_are_read_at_their_photos_path_or_name(tmp_path, where):
    irn(tmp_path / where, [2, 0])
    found = SeedFolder("x", tmp_path).read(PHOTO, PATH, CLASSES)
    assert found.tags == ("cat", "owl")
    assert np.array_equal(found.maps, MAPS[::-1])


def test_the_fingerprint_is_of_the_files(tmp_path):
    write_seed(tmp_path / PATH, seed("cat", "owl"))
    before = SeedFolder("x", tmp_path).fingerprint
    assert SeedFolder("y", tmp_path).fingerprint == before
    os.utime(tmp_path / PATH, ns=(1, 1))
    touched = SeedFolder("x", tmp_path).fingerprint
    write_seed(tmp_path / "a/2.npz", seed("cat"))
    assert len({before, touched, SeedFolder("x", tmp_path).fingerprint}) == 3
