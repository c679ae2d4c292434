"""COCO as published: class numbers without gaps, label maps as pycocotools fills outlines."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from torchbas.data import label_map, paint, read
from torchbas.errors import InputError

SQUARE = [[2, 2, 12, 2, 12, 12, 2, 12]]
TRIANGLE = [[5.5, 0.25, 19.75, 14.5, 0.5, 14.75]]
CROWD = {"size": [15, 20], "counts": [30, 100, 170]}
CATEGORIES = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]


def annotation(number, image, category, outline=SQUARE, iscrowd=0):
    return {
        "segmentation": outline,
        "area": 100.5,
        "iscrowd": iscrowd,
        "image_id": image,
        "bbox": [2.5, 2, 10, 10],
        "category_id": category,
        "id": number,
    }


def write(folder, split, images, annotations, categories=CATEGORIES, year=2014, make_photos=True):
    (folder / "annotations").mkdir(exist_ok=True)
    rows = [{"id": n, "file_name": f"COCO_{split}{year}_{n:012d}.jpg", "height": 15, "width": 20} for n in images]
    (folder / f"{split}{year}").mkdir(exist_ok=True)
    for row in rows if make_photos else ():
        Image.new("RGB", (20, 15)).save(folder / f"{split}{year}" / row["file_name"])
    content = {"info": {}, "images": rows, "annotations": annotations, "categories": categories}
    file = folder / f"annotations/instances_{split}{year}.json"
    file.write_text(json.dumps(content))
    return file


def change_image(folder, **fields):
    """Give the first photo of val other fields."""
    file = folder / "annotations/instances_val2014.json"
    content = json.loads(file.read_text())
    content["images"][0].update(fields)
    file.write_text(json.dumps(content))


@pytest.fixture
def coco(tmp_path):
    everything = [
        annotation(1, 9, 18),
        annotation(2, 30, 90, TRIANGLE),
        annotation(3, 9, 1, TRIANGLE),
        annotation(4, 30, 1, CROWD, 1),
        annotation(5, 9, 18, [[0, 0, 3, 0, 3, 3], [10, 10, 19, 10, 19, 14]]),
    ]
    write(tmp_path, "train", [9, 25, 30, 31], everything)
    write(tmp_path, "val", [42], [annotation(6, 42, 1)])
    return tmp_path


def test_photos_have_the_classes_of_their_annotations_and_those_without_are_counted(coco):
    dataset = read(coco)
    assert dataset.classes == ("person", "dog", "toothbrush")
    assert [(one.name, one.labels, one.split, one.size) for one in dataset.samples] == [
        ("train2014/COCO_train2014_000000000009.jpg", (0, 1), "train", (15, 20)),
        ("train2014/COCO_train2014_000000000030.jpg", (0, 2), "train", (15, 20)),
        ("val2014/COCO_val2014_000000000042.jpg", (0,), "val", (15, 20)),
    ]
    (note,) = dataset.problems
    assert note.name == "COCO_train2014_000000000025.jpg"
    assert "2 photos have no objects" in note.reason


def test_photos_are_painted_as_pycocotools_fills_them_later_over_earlier(coco, capsys):
    oracle = COCO(coco / "annotations/instances_train2014.json")
    capsys.readouterr()
    number = {1: 1, 18: 2, 90: 3}
    samples = read(coco).samples
    for sample, labels in paint(coco, samples[:2]):
        expected = np.zeros((15, 20), np.uint8)
        key = int(sample.path.stem.rpartition("_")[2])
        for one in oracle.loadAnns(oracle.getAnnIds(key)):
            if not one["iscrowd"]:
                expected[oracle.annToMask(one) == 1] = number[one["category_id"]]
        np.testing.assert_array_equal(labels, expected)
    assert set(np.unique(labels)) == {0, 3}  # the crowd is not painted


def test_each_photo_requested_is_painted_in_turn(coco):
    samples = read(coco).samples
    assert [sample for sample, _ in paint(coco, [samples[2], samples[0]])] == [samples[0], samples[2]]
    assert list(paint(coco, [])) == []


def test_a_compressed_mask_is_painted_too(coco):
    solid = np.zeros((15, 20), np.uint8, order="F")
    solid[3:6, 4:9] = 1
    packed = coco_mask.encode(solid)
    outline = {"size": packed["size"], "counts": packed["counts"].decode()}
    write(coco, "val", [42], [annotation(6, 42, 18, outline)])
    ((_, labels),) = paint(coco, read(coco).only("val").samples)
    np.testing.assert_array_equal(labels, 2 * solid)


def test_painted_masks_in_the_folder_of_masks_are_the_ground_truth(coco):
    for sample, labels in paint(coco, read(coco).only("val").samples):
        (coco / "SegmentationClass").mkdir()
        Image.fromarray(labels).save(coco / "SegmentationClass" / f"{sample.path.stem}.png")
    *train, val = read(coco).samples
    assert [one.mask for one in train] == [None, None]
    assert label_map(val)[5, 5] == 1
    elsewhere = read(coco, masks=coco / "SegmentationClass")
    assert elsewhere.samples[2].mask == val.mask


@pytest.mark.parametrize("below", ["images", "elsewhere"])
def test_photos_may_lie_in_other_folders(coco, below):
    (coco / below).mkdir()
    for year in ("train2014", "val2014"):
        (coco / year).rename(coco / below / year)
    dataset = read(coco) if below == "images" else read(coco, images=coco / below)
    assert dataset.root == coco / below
    assert [one.name.split("/")[0] for one in dataset.samples] == ["train2014", "train2014", "val2014"]


def test_photos_may_lie_in_one_folder(coco):
    for file in [*coco.glob("*2014/*.jpg")]:
        (coco / "all").mkdir(exist_ok=True)
        file.rename(coco / "all" / file.name)
    names = [one.name for one in read(coco, images=coco / "all").samples]
    assert names[0] == "COCO_train2014_000000000009.jpg"


def test_lists_suffice_where_no_photo_is_needed(coco):
    expected = [one.name for one in read(coco).samples]
    for file in [*coco.glob("*2014/*.jpg")]:
        file.unlink()
    for folder in coco.glob("*2014"):
        folder.rmdir()
    assert [one.name for one in read(coco, need_images=False).samples] == expected
    with pytest.raises(InputError, match=r'instances_train2014\.json: "COCO_train2014_000000000009\.jpg" is not in'):
        read(coco)


def test_words_in_the_form_of_outlines_are_unchanged(coco):
    name = 'a "segmentation": [1, 2] b'
    file = write(coco, "train", [9], [annotation(1, 9, 1)], [{"id": 1, "name": name}])
    assert json.loads(file.read_text())["categories"][0]["name"] == name
    (coco / "annotations/instances_val2014.json").unlink()
    assert read(coco).classes == (name,)


@pytest.mark.parametrize("below", ["", "images", "images/default"])
def test_one_file_of_an_annotation_tool_is_read(tmp_path, below):
    annotations = [annotation(1, 9, 18), annotation(2, 30, 1)]
    write(tmp_path, "train", [9, 30], annotations).rename(tmp_path / "annotations/instances_default.json")
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    for photo in (tmp_path / "train2014").iterdir():
        photo.rename(tmp_path / below / photo.name)
    (tmp_path / "train2014").rmdir()
    dataset = read(tmp_path)
    assert dataset.classes == ("person", "dog", "toothbrush")
    assert [(sample.labels, sample.split, sample.path.is_file()) for sample in dataset.samples] == [
        ((1,), "", True),
        ((0,), "", True),
    ]


def test_years_are_not_mixed(coco):
    write(coco, "val", [42], [annotation(6, 42, 1)], year=2017)
    with pytest.raises(InputError, match="annotations of two years"):
        read(coco)


def test_two_files_must_have_the_same_categories(coco):
    write(coco, "val", [42], [annotation(6, 42, 1)], CATEGORIES[:2])
    with pytest.raises(InputError, match=r"instances_val2014\.json has other categories"):
        read(coco)


@pytest.mark.parametrize("text", ["", "[]", '{"images": []}', '{"images": [1], "annotations": [], "categories": []}'])
def test_a_file_that_is_no_coco_file_is_named(coco, text):
    (coco / "annotations/instances_val2014.json").write_text(text)
    with pytest.raises(InputError, match=r"instances_val2014\.json is not (valid JSON|understood)"):
        read(coco)


@pytest.mark.parametrize("name", ["/etc/x.jpg", "../x.jpg", "a/../../x.jpg", "", "a/", "//x.jpg"])
def test_a_photo_outside_the_folder_is_refused(coco, name):
    change_image(coco, file_name=name)
    with pytest.raises(InputError, match=r"instances_val2014\.json is not understood \(.* does not stay below"):
        read(coco, need_images=False)


@pytest.mark.parametrize("side", [0, -1, 1.5, "x", None, float("nan"), 10**310, 2**31, [3]])
def test_a_size_that_is_none_is_refused(coco, side):
    change_image(coco, height=side)
    with pytest.raises(InputError, match=r"instances_val2014\.json is not (understood|valid JSON)"):
        read(coco)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "\xff"])
def test_a_file_that_python_cannot_take_is_named(coco, text):
    (coco / "annotations/instances_val2014.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"instances_val2014\.json is not (valid JSON|written in UTF-8)"):
        read(coco)


@pytest.mark.parametrize("names", [("dog", "dog"), ("dog", " dog"), ("dog", "")])
def test_categories_have_names_of_their_own(tmp_path, names):
    categories = [{"id": n, "name": name} for n, name in enumerate(names)]
    write(tmp_path, "val", [42], [annotation(6, 42, 1)], categories)
    with pytest.raises(InputError, match=r'two classes called "dog"|a class without a name'):
        read(tmp_path)


@pytest.mark.parametrize(
    "outline",
    [
        [[1, 2, float("nan"), 2, 3, 4]],
        [[1, 2, 1e9, 2, 3, 4]],
        [[1, 2, 3, -1e9, 3, 4]],
        {"size": [3, 3], "counts": [9]},
        {"size": [15, 20], "counts": [9999]},
        {"size": [15, 20], "counts": "x" * 50},
    ],
)
def test_an_outline_that_leads_out_of_the_photo_is_not_painted(coco, outline):
    samples = read(coco).samples
    write(coco, "val", [42], [annotation(6, 42, 1, outline)])
    with pytest.raises(InputError, match=r"has no outline that can be filled|is not valid JSON"):
        list(paint(coco, samples[2:]))


def test_more_categories_than_a_label_map_holds_are_not_painted(coco):
    samples = read(coco).samples
    write(coco, "val", [42], [annotation(6, 42, 1)], [{"id": n, "name": str(n)} for n in range(255)])
    with pytest.raises(InputError, match="a label map holds 254 classes, but there are 255"):
        list(paint(coco, samples[2:]))


def test_what_cannot_be_painted_is_named(coco):
    samples = read(coco).samples
    write(coco, "val", [42], [annotation(6, 42, 1, [[1, 2]])])
    with pytest.raises(InputError, match="object 6 has no outline that can be filled"):
        list(paint(coco, samples[2:]))
    write(coco, "val", [43], [])
    with pytest.raises(InputError, match=r"does not list COCO_val2014_000000000042\.jpg"):
        list(paint(coco, samples[2:]))
    (coco / "annotations/instances_val2014.json").unlink()
    with pytest.raises(InputError, match=r"holds no annotations of val2014/COCO_val2014_000000000042\.jpg"):
        list(paint(coco, samples[2:]))
