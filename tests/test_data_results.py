"""Results of an earlier run, read back from its COCO file: they are written in every format as they were at first."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from findings import CLASSES, SIZES, results_of, three
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

import torchbas as tb
from torchbas.data.datasets.coco_masks import filled
from torchbas.data.results import read_results, require_photos
from torchbas.errors import InputError
from torchbas.export import FORMATS
from torchbas.export.results import Results, save
from torchbas.io import write_manifest
from torchbas.localization import CORRECTED

COCO = {
    "categories": [{"id": 7, "name": "cat"}],
    "images": [{"id": 3, "file_name": "cat/1.jpg", "width": 10, "height": 8}],
    "annotations": [{"id": 1, "image_id": 3, "category_id": 7, "bbox": [1, 2, 4, 3]}],
}


@pytest.fixture
def results(tmp_path) -> Results:
    """Three objects in photos of ``photos/``, one of them corrected by hand, to a box between pixels."""
    (tmp_path / "photos").mkdir()
    made = three(tmp_path / "photos")
    first, second, third = made.detections
    corrected = replace(second, method=CORRECTED, xyxy=(0.25, 0.0, 5.0, 3.75))
    return replace(made, detections=(replace(first, method="layercam"), corrected, third))


@pytest.fixture
def folder(results, tmp_path) -> Path:
    """What a command leaves of them."""
    save(results, tmp_path / "labels", ["coco"])
    write_manifest(tmp_path / "labels", {"photo_folder": "../photos"})
    return tmp_path / "labels"


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def coco(tmp_path: Path, **changes) -> Path:
    """A COCO file; changes are those of its only annotation or photo."""
    content = json.loads(json.dumps(COCO))
    for key, value in changes.items():
        place = "images" if key in ("file_name", "width", "height", "reviewed") else "annotations"
        content[place][0][key] = value
    (tmp_path / "a.json").write_text(json.dumps(content))
    return tmp_path / "a.json"


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "gallery"])
def test_every_format_is_what_it_was_at_first(results, folder, tmp_path, name):
    save(results, tmp_path / "first", [name])
    tb.save(tb.read_results(folder), tmp_path / "again", [name])
    assert files(tmp_path / "again") == files(tmp_path / "first")


def test_the_gallery_shows_the_masks_in_place_of_the_maps(results, folder, tmp_path):
    read = read_results(folder)
    save(read, tmp_path, ["gallery"])
    assert "the masks in their place" in (tmp_path / "index.html").read_text("utf-8")
    for one, before in zip(read.detections, results.detections, strict=True):
        shape = min(28, before.size[1]), min(28, before.size[0])
        expected = cv2.resize(before.mask.astype(np.float32), shape, interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(one.grid, expected, atol=0.01)
        assert ((one.heatmap > one.threshold) == before.mask).mean() > 0.9


def test_what_is_read_says_what_was_found(results, folder):
    read = read_results(folder)
    assert (read.classes, read.sizes) == (CLASSES, SIZES)
    for one, before in zip(read.detections, results.detections, strict=True):
        assert (one.name, one.label, one.xyxy, one.method) == (before.name, before.label, before.xyxy, before.method)
        assert one.image.resolve() == before.image.resolve()
        assert (one.score, one.confidence, one.bas_ratio) == (before.score, before.confidence, before.bas_ratio)
        np.testing.assert_array_equal(one.mask, before.mask)


def test_a_box_alone_is_its_own_mask(tmp_path):
    [one] = read_results(coco(tmp_path, bbox=[1.5, 2, 3, 3])).detections
    assert (one.xyxy, one.score, one.method) == ((1.5, 2, 4.5, 5), 1, "unknown")
    expected = np.zeros((8, 10), bool)
    expected[2:5, 1:5] = True
    np.testing.assert_array_equal(one.mask, expected)


def test_boxes_that_the_gallery_has_saved_were_made_by_hand(tmp_path):
    [one] = read_results(coco(tmp_path, reviewed=["cat"])).detections
    assert one.method == CORRECTED


def test_an_outline_is_filled(tmp_path):
    [one] = read_results(coco(tmp_path, segmentation=[[1, 2, 5, 2, 5, 5, 1, 5]], score=0.25)).detections
    assert one.score == 0.25
    assert one.mask[2:5, 1:5].all()
    assert one.area == 12


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"file_name": "/etc/1.jpg"}, "does not stay below the folder of the photos"),
        ({"file_name": "../1.jpg"}, "does not stay below the folder of the photos"),
        ({"file_name": ""}, "does not stay below"),
        ({"file_name": 7}, "7 is no text"),
        ({"width": 10**6, "height": 10**3}, "too many for a photo"),
        ({"bbox": [1, 2, 4, 30]}, "the box 1 2 4 30 does not lie in 10 x 8 pixels"),
        ({"bbox": [1, 2, 0, 3]}, "the box 1 2 0 3 does not lie"),
        ({"bbox": [1, 2, 4]}, "not enough values"),
        ({"score": 1.5}, "1.5 is not in"),
        ({"category_id": 8}, "8 is missing"),
        ({"attributes": {"method": 1}}, "1 is no text"),
        ({"attributes": [1]}, "no attribute"),
        ({"segmentation": {"size": [8, 10], "counts": ""}}, "cannot be filled"),
        ({"segmentation": {"size": [8, 10], "counts": "o"}}, "cannot be filled"),
        ({"segmentation": {"size": [8, 11], "counts": [88]}}, "cannot be filled"),
        ({"segmentation": {"size": [8, 10], "counts": [90, -10]}}, "cannot be filled"),
        ({"segmentation": [[0, 0, 10**9, 0, 0, 5]]}, "cannot be filled"),
    ],
)
def test_a_file_that_is_not_understood_is_named(tmp_path, changes, why):
    with pytest.raises(InputError, match=rf"a\.json is not understood \(.*{why}"):
        read_results(coco(tmp_path, **changes))


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=9).filter(any))
def test_run_lengths_are_those_of_pycocotools(runs):
    size = [sum(runs), 1]
    text = coco_mask.frPyObjects({"size": size, "counts": runs}, *size)["counts"].decode()
    mask = np.repeat(np.arange(len(runs)) % 2, runs)
    for counts in (text, runs):
        np.testing.assert_array_equal(filled({"size": size, "counts": counts}, *size)[:, 0], mask)


@given(st.text(alphabet=[chr(code) for code in range(40, 120)], max_size=9))
def test_any_text_of_run_lengths_is_a_mask_or_refused(text):
    with suppress(ValueError):
        assert filled({"size": [3, 4], "counts": text}, 3, 4).shape == (3, 4)


def test_a_run_without_the_format_coco_is_told_how_to_get_it(folder):
    (folder / "masks.coco.json").unlink()
    with pytest.raises(InputError, match=r"written without the format coco: run its command again with --format coco"):
        read_results(folder)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_that_no_command_has_finished_is_named(folder, content):
    (folder / "run.json").unlink() if content is None else (folder / "run.json").write_text(content)
    with pytest.raises(InputError, match=r"labels(/run\.json)? (has no readable run\.json|is damaged|is no manifest)"):
        read_results(folder)


def test_photos_are_found_where_both_folders_were_moved(folder, tmp_path):
    (tmp_path / "new").mkdir()
    for place in (folder, tmp_path / "photos"):
        place.rename(tmp_path / "new" / place.name)
    require_photos(read_results(tmp_path / "new/labels"))


def test_photos_that_are_gone_or_of_another_size_are_named(folder, tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "photos/a.jpg")
    with pytest.raises(InputError, match=r"photos/a\.jpg has 4 x 3 pixels, but the results are of a photo of 16 x 12"):
        require_photos(read_results(folder))
    (tmp_path / "photos/a.jpg").write_text("no photo")
    with pytest.raises(InputError, match=r"photos/a\.jpg.*--photos"):
        require_photos(read_results(folder))
    with pytest.raises(InputError, match=r"absent/a\.jpg is not there: give the folder .* --photos\. 1 more like it\."):
        require_photos(read_results(folder, tmp_path / "absent"))


def test_results_without_objects_are_read(tmp_path):
    save(results_of(), tmp_path / "labels", ["coco"])
    read = read_results(tmp_path / "labels/masks.coco.json")
    assert (read.classes, read.sizes, read.detections) == (CLASSES, SIZES, [])
