"""A seed is read as it was written, from our form or IRN's; anything else is one sentence with the file's name."""

import math
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from torchbas.errors import InputError
from torchbas.structures import working_size
from torchbas.wsss.seeds.files import Seed, quarter, read_irn, read_seed, write_seed

CLASSES = ("aeroplane", "bird", "cat", "dog")
TAGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


def _seed(tags=("bird", "dog"), size=(9, 14)):
    maps = np.random.default_rng(0).random((len(tags), *quarter(size)), np.float32)
    return Seed(maps, tuple(tags), size)


def _refusal(read, path, *more):
    with pytest.raises(InputError) as error:
        read(path, *more)
    sentence = str(error.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


@settings(max_examples=40, deadline=None)
@given(st.data(), st.lists(TAGS, max_size=3, unique=True), st.integers(1, 40), st.integers(1, 40))
def test_a_seed_comes_back_with_its_maps_in_half_precision(data, tags, height, width):
    shape = (len(tags), math.ceil(height / 4), math.ceil(width / 4))
    maps = data.draw(arrays.arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    with tempfile.TemporaryDirectory() as folder:
        write_seed(Path(folder, "deep", "a.npz"), Seed(maps, tuple(tags), (height, width)))
        seed = read_seed(Path(folder, "deep", "a.npz"))
    assert (seed.tags, seed.size, seed.maps.dtype) == (tuple(tags), (height, width), np.float32)
    assert seed.maps.shape == shape
    assert np.array_equal(seed.maps, maps.astype(np.float16))
    np.testing.assert_allclose(seed.maps, maps, rtol=2**-11, atol=2**-24)  # half a step of float16


def test_nothing_in_the_file_is_pickled_and_nothing_is_left_beside_it(tmp_path):
    write_seed(tmp_path / "a.npz", _seed())
    with zipfile.ZipFile(tmp_path / "a.npz") as kept:
        assert sorted(kept.namelist()) == ["maps.npy", "size.npy", "tags.npy"]
        for name in kept.namelist():
            with kept.open(name) as stream:
                assert np.lib.format.read_array(stream, allow_pickle=False).dtype.kind in "fiU"
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((1, 1), (1, 1)),
        ((375, 500), (94, 125)),
        ((640, 640), (160, 160)),
        ((3000, 4000), (120, 160)),
        ((1281, 641), (160, 80)),
        ((5000, 2), (160, 1)),
    ],
)
def test_maps_are_a_quarter_of_the_photo_or_of_640_pixels(tmp_path, size, grid):
    write_seed(tmp_path / "a.npz", _seed(size=size))
    seed = read_seed(tmp_path / "a.npz")
    assert (seed.maps.shape, seed.size) == ((2, *grid), size)


@given(st.integers(1, 20000), st.integers(1, 20000))
def test_a_reduced_photo_is_not_reduced_again_and_keeps_its_shape(height, width):
    reduced = working_size((height, width))
    assert working_size(reduced) == reduced
    assert max(reduced) == min(640, max(height, width))
    assert abs(min(reduced) - min(height, width) * max(reduced) / max(height, width)) <= 1


def test_no_tags_is_a_seed_too(tmp_path):
    write_seed(tmp_path / "a.npz", _seed(tags=()))
    seed = read_seed(tmp_path / "a.npz")
    assert (seed.tags, seed.size, seed.maps.shape) == ((), (9, 14), (0, 3, 4))


def test_a_missing_seed_says_so(tmp_path):
    assert "is missing" in _refusal(read_seed, tmp_path / "a.npz")
    assert "no seed of IRN" in _refusal(read_irn, tmp_path / "a.npy", CLASSES)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_seed_is_a_sentence_or_still_a_seed(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    write_seed(path, _seed())
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([None, len(content) // 2, len(content) - 1]))])
    try:
        seed = read_seed(path)
    except InputError as error:
        sentence = str(error)
    else:
        sentence = f"{path} is still a seed"
        assert seed.maps.shape == (len(seed.tags), *quarter(seed.size))
    assert sentence.startswith(str(path))
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "arrays",
    [
        {"maps": np.zeros((2, 3, 4)), "tags": np.array(["bird", "dog"])},
        {"maps": np.zeros((1, 3, 4)), "tags": np.array(["bird", "dog"]), "size": np.array([9, 14])},
        {"maps": np.zeros((2, 4, 3)), "tags": np.array(["bird", "dog"]), "size": np.array([9, 14])},
        {"maps": np.zeros((2, 3, 4)), "tags": np.array(["bird", "dog"]), "size": np.array([9, 14, 3])},
        {"maps": np.zeros((2, 3, 4)), "tags": np.array(["bird", "dog"]), "size": np.array([0, 0])},
        {"maps": np.zeros((2, 3, 4)), "tags": np.array(["bird", "dog"]), "size": np.array([9, np.inf])},
        {"maps": np.zeros((2, 3, 4)), "tags": np.array("bird"), "size": np.array([9, 14])},
        {"maps": np.full((2, 3, 4), "x"), "tags": np.array(["bird", "dog"]), "size": np.array([9, 14])},
        {"maps": np.full((2, 3, 4), 1.01), "tags": np.array(["bird", "dog"]), "size": np.array([9, 14])},
        {"maps": np.full((2, 3, 4), -0.01), "tags": np.array(["bird", "dog"]), "size": np.array([9, 14])},
        {"maps": np.full((2, 3, 4), np.nan), "tags": np.array(["bird", "dog"]), "size": np.array([9, 14])},
        {"maps": np.full((2, 3, 4), None), "tags": np.array(["bird", "dog"]), "size": np.array([9, 14])},
    ],
    ids=[
        "no size",
        "map missing",
        "turned",
        "depth",
        "empty",
        "endless",
        "one tag",
        "words",
        "1.01",
        "<0",
        "nan",
        "objects",
    ],
)
def test_arrays_that_make_no_seed_are_refused(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    _refusal(read_seed, tmp_path / "a.npz")


def test_files_of_another_kind_are_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros((2, 3, 4)))
    np.save(tmp_path / "pickle.npy", {"keys": 1}, allow_pickle=True)
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "words.npz").write_text("nothing to see here")
    (tmp_path / "folder.npz").mkdir()
    for path in tmp_path.iterdir():
        _refusal(read_seed, path)
        _refusal(read_irn, path, CLASSES)


def _irn(path, keys=(3, 1), size=(9, 14), **changes):
    """The file as IRN writes it: a pickled dictionary of tensors, and an array of full size."""
    height, width = size
    values = torch.tensor(keys, dtype=torch.float32) / 4
    cam = values[:, None, None] * torch.linspace(0, 1, math.ceil(width / 4)).expand(math.ceil(height / 4), -1)
    content = {
        "keys": torch.tensor(keys, dtype=torch.int64),
        "cam": cam,
        "high_res": np.zeros((len(keys), height, width), np.float32),
    }
    np.save(path, content | changes, allow_pickle=True)
    return path


def test_a_file_of_irn_is_read_in_the_order_of_the_class_list(tmp_path):
    seed = read_irn(_irn(tmp_path / "2007_000032.npy"), CLASSES)
    assert (seed.tags, seed.size, seed.maps.dtype) == (("bird", "dog"), (9, 14), np.float32)
    np.testing.assert_allclose(seed.maps[:, 0], [np.linspace(0, 1 / 4, 4), np.linspace(0, 3 / 4, 4)], rtol=1e-6)


def test_a_file_of_irn_without_objects_is_an_empty_seed(tmp_path):
    seed = read_irn(_irn(tmp_path / "a.npy", keys=()), CLASSES)
    assert (seed.tags, seed.size, seed.maps.shape) == ((), (9, 14), (0, 3, 4))


def test_files_of_irn_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    assert "class 4, but there are 4" in _refusal(read_irn, _irn(path, keys=(1, 4)), CLASSES)
    assert "class -1" in _refusal(read_irn, _irn(path, keys=(-1, 1)), CLASSES)
    assert "outside [0, 1]" in _refusal(read_irn, _irn(path, cam=torch.full((2, 3, 4), 2.0)), CLASSES)
    assert "1 maps for 2 keys" in _refusal(read_irn, _irn(path, keys=(1, 3), cam=torch.zeros(1, 3, 4)), CLASSES)
    assert "3 maps for 2 keys" in _refusal(read_irn, _irn(path, keys=(1, 3), cam=torch.zeros(3, 3, 4)), CLASSES)
    assert "'cam'" in _refusal(read_irn, _rewritten(path, {"keys": torch.tensor([1])}), CLASSES)
    assert "no seed of IRN" in _refusal(read_irn, _rewritten(path, [1, 2]), CLASSES)
    large = _refusal(read_irn, _irn(path, keys=(1,), size=(700, 800)), CLASSES)
    assert "maps (1, 175, 200)" in large
    assert "need (1, 140, 160)" in large


class _Code:
    """What a hostile pickle holds: Python's own reader would make the folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_pickle_runs_nothing(tmp_path):
    path, folder = tmp_path / "a.npy", tmp_path / "ran"
    assert f"wants to run {os.mkdir.__module__}.mkdir" in _refusal(read_irn, _irn(path, x=_Code(folder)), CLASSES)
    assert not folder.exists()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_pickle_is_a_sentence_or_still_a_seed(tmp_path_factory, data):
    path = _irn(tmp_path_factory.getbasetemp() / "damaged.npy")
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([None, len(content) // 2, len(content) - 1]))])
    said = f"{path} is still a seed"
    try:
        read_irn(path, CLASSES)
    except InputError as error:
        said = str(error)
    assert said.startswith(str(path))
    assert "\n" not in said


def _rewritten(path, content):
    held = np.empty((), object)
    held[()] = content
    np.save(path, held, allow_pickle=True)
    return path
