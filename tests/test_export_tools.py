"""Formats of annotation and training tools, read back by other people's readers."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import globox
import numpy as np
import pytest
import supervision
import yaml
from findings import CLASSES, SIZES, detection, results_of, three
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from labelformat.formats import COCOObjectDetectionInput, CVATObjectDetectionInput, YOLOv8ObjectDetectionInput
from PIL import Image

from torchbas.errors import InputError
from torchbas.export import FORMATS, coco, cvat, huggingface, label_studio, voc_xml, yolo
from torchbas.export.results import Results, save

HOSTILE = ("<b>&\"'", "a: {b} # c", "tab\t\x01\x7f\x85\u2028\ufeff", "Zebra 🦓", "- x", "")


@pytest.fixture
def results(tmp_path_factory) -> Results:
    return three(tmp_path_factory.mktemp("photos"))


def at(folder: Path, name: str, *place, **changes):
    return detection(name, *place, image=folder / "photos" / name, **changes)


def truth_of(results: Results, name: str) -> list[tuple[str, list[float]]]:
    return sorted((one.label, [*one.xyxy]) for one in results.detections if one.name == name)


def test_coco_boxes_and_masks_are_read_by_globox_labelformat_and_supervision(results, tmp_path):
    coco.write(results, tmp_path)
    for name in ("boxes", "masks"):
        file = tmp_path / f"{name}.coco.json"
        read = globox.AnnotationSet.from_coco(file)
        for photo in SIZES:
            boxes = sorted((box.label, [box.xmin, box.ymin, box.xmax, box.ymax]) for box in read[photo].boxes)
            assert boxes == truth_of(results, photo)
        for photo in COCOObjectDetectionInput(file).get_labels():
            boxes = sorted((one.category.name, [*one.box.to_format(_xyxy())]) for one in photo.objects)
            assert boxes == truth_of(results, photo.image.filename)
    other = supervision.DetectionDataset.from_coco(
        str(results.detections[0].image.parent), str(tmp_path / "masks.coco.json"), force_masks=True
    )
    pairs = (zip(found.class_id, found.mask, strict=True) for _, _, found in other if found.mask is not None)
    masks = {other.classes[n]: mask for found in pairs for n, mask in found}
    for one in results.detections:
        np.testing.assert_array_equal(masks[one.label], one.mask)


def test_cvat_boxes_are_read_by_globox_and_labelformat(results, tmp_path):
    cvat.write(results, tmp_path)
    read = globox.AnnotationSet.from_cvat(tmp_path / "boxes.cvat.xml")
    assert {one.image_id: one.image_size for one in read} == {name: size[::-1] for name, size in SIZES.items()}
    for name in SIZES:
        boxes = sorted((box.label, [box.xmin, box.ymin, box.xmax, box.ymax]) for box in read[name].boxes)
        assert boxes == truth_of(results, name)
    other = CVATObjectDetectionInput(tmp_path / "boxes.cvat.xml")
    assert [one.name for one in other.get_categories()] == [*CLASSES]
    for photo in other.get_labels():
        boxes = sorted((one.category.name, [*one.box.to_format(_xyxy())]) for one in photo.objects)
        assert boxes == truth_of(results, photo.image.filename)


def _xyxy():
    from labelformat.model.bounding_box import BoundingBoxFormat

    return BoundingBoxFormat.XYXY


def test_cvat_objects_say_where_they_come_from(results, tmp_path):
    cvat.write(results, tmp_path)
    root = ET.parse(tmp_path / "boxes.cvat.xml").getroot()
    asked = {(label.findtext("name"), one.text) for label in root.iter("label") for one in label.iter("name")}
    for box, one in zip(root.iter("box"), [results.detections[n] for n in (0, 2, 1)], strict=True):
        assert box.get("source") == "auto"
        given = {attribute.get("name"): float(attribute.text or "") for attribute in box.iter("attribute")}
        assert given == pytest.approx({"score": one.score, "bas_ratio": one.bas_ratio}, abs=1e-3)
        assert {(one.label, name) for name in given} <= asked


def test_cvat_masks_are_the_masks(results, tmp_path):
    cvat.write(results, tmp_path)
    root = ET.parse(tmp_path / "masks.cvat.xml").getroot()
    masks = {
        (image.get("name"), mask.get("label")): mask for image in root.iter("image") for mask in image.iter("mask")
    }
    assert len(masks) == 3
    for one in results.detections:
        found, mask = masks[one.name, one.label], np.zeros(one.size, bool)
        left, top, width, height = (int(found.get(key, "")) for key in ("left", "top", "width", "height"))
        mask[top : top + height, left : left + width] = drawn(found.get("rle", ""), width, height)
        np.testing.assert_array_equal(mask, one.mask)


def drawn(runs: str, width: int, height: int) -> np.ndarray:
    """Pixel by pixel, as CVAT's documentation says it."""
    pixels, value = [], 0
    for run in runs.split(", "):
        pixels += [value] * int(run)
        value = 1 - value
    return np.array(pixels, bool).reshape(height, width)


@given(arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_run_lengths_come_back(mask):
    runs = ", ".join(map(str, cvat.run_lengths(mask)))
    np.testing.assert_array_equal(drawn(runs, mask.shape[1], mask.shape[0]), mask)


def test_voc_xml_is_read_by_globox_and_supervision(results, tmp_path):
    voc_xml.write(results, tmp_path)
    read = globox.AnnotationSet.from_pascal_voc(tmp_path / "Annotations", recursive=True)
    boxes = {
        one.image_id: sorted((b.label, [b.xmin - 1, b.ymin - 1, b.xmax, b.ymax]) for b in one.boxes) for one in read
    }
    assert boxes["a.jpg"] == truth_of(results, "a.jpg")
    assert boxes["b.jpg"] == truth_of(results, "sub/b.jpg")
    assert not list((tmp_path / "Annotations").rglob("empty*"))
    other = supervision.DetectionDataset.from_pascal_voc(
        str(results.detections[0].image.parent), str(tmp_path / "Annotations")
    )
    [first] = [found for path, _, found in other if Path(path).name == "a.jpg"]
    ends = sorted((other.classes[n], [*box]) for n, box in zip(first.class_id, first.xyxy.tolist(), strict=True))
    assert ends == truth_of(results, "a.jpg")


def test_yolo_boxes_are_read_by_labelformat_and_supervision(results, tmp_path):
    yolo.write_detect(results, tmp_path)
    root, found = tmp_path / "yolo", {}
    for split in ("train", "val"):
        for photo in YOLOv8ObjectDetectionInput(root / "data.yaml", split).get_labels():
            found[photo.image.filename] = sorted(
                (one.category.name, [*one.box.to_format(_xyxy())]) for one in photo.objects
            )
            assert (photo.image.height, photo.image.width) == SIZES[photo.image.filename]
    assert set(found) == {"a.jpg", "sub/b.jpg"}
    for name, boxes in found.items():
        for (label, box), (true_label, true_box) in zip(boxes, truth_of(results, name), strict=True):
            assert label == true_label
            assert box == pytest.approx(true_box, abs=1e-4)
    images, labels = (str(next(place.rglob("a.*")).parent) for place in (root / "images", root / "labels"))
    read = supervision.DetectionDataset.from_yolo(images, labels, str(root / "data.yaml"))
    assert read.classes == [*CLASSES]
    [(_, _, boxes)] = list(read)
    assert sorted(boxes.xyxy.round(3).tolist()) == sorted(box for _, box in truth_of(results, "a.jpg"))


@pytest.mark.parametrize(("val_split", "low", "high"), [(0.0, 0, 0), (0.1, 3, 17), (0.5, 35, 65)])
def test_a_share_of_the_photos_is_in_yolo_s_val_always_the_same(tmp_path, val_split, low, high):
    names = [f"{number}.png" for number in range(100)]
    photo = tmp_path / "photo.png"
    Image.new("RGB", (16, 12)).save(photo)
    found = [detection(name, image=photo) for name in names]
    val = []
    for count, out in ((100, "all"), (60, "some")):
        results = results_of(*found[:count], sizes=dict.fromkeys(names[:count], (12, 16)))
        yolo.write_detect(replace(results, val_split=val_split), tmp_path / out)
        root = tmp_path / out / "yolo"
        val.append({file.stem for file in (root / "labels/val").glob("*.txt")})
        content = yaml.safe_load((root / "data.yaml").read_text())
        assert all(any((root / content[split]).iterdir()) for split in ("train", "val"))
    assert low <= len(val[0]) <= high
    assert val[1] == val[0] & {str(number) for number in range(60)}


@pytest.mark.parametrize("count", [1, 2])
def test_with_a_photo_or_two_yolo_has_both_splits(results, tmp_path, count):
    few = replace(results, detections=results.detections[:count])
    for number, val_split in enumerate((0.0, 0.1, 0.9)):
        yolo.write_detect(replace(few, val_split=val_split), tmp_path / str(number))
        root = tmp_path / str(number) / "yolo"
        content = yaml.safe_load((root / "data.yaml").read_text())
        assert content["val"] == ("images/val" if count == 2 and val_split else "images/train")
        assert all(any((root / content[split]).iterdir()) for split in ("train", "val"))
        assert len([*(root / "labels").rglob("*.txt")]) == count


def test_yolo_outlines_give_the_masks_back(results, tmp_path):
    yolo.write_segment(results, tmp_path)
    root = tmp_path / "yolo-segment"
    images, labels = (str(next(place.rglob("a.*")).parent) for place in (root / "images", root / "labels"))
    read = supervision.DetectionDataset.from_yolo(images, labels, str(root / "data.yaml"), force_masks=True)
    [(_, _, found)] = list(read)
    masks = {CLASSES[n]: mask for n, mask in zip(found.class_id, found.mask, strict=True)}
    for one in results.detections:
        if one.name == "a.jpg":
            assert (masks[one.label] != one.mask).mean() < 0.15  # their rasterizer counts the outline in


def test_photos_that_differ_in_their_suffix_keep_their_own_labels(tmp_path):
    sizes = {"a.jpg": (12, 16), "a.png": (12, 16), "b": (12, 16)}
    for name in sizes:
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (16, 12)).save(tmp_path / "photos" / name, format="PNG")
    found = [at(tmp_path, name, "cat", (float(n), 0.0, 8.0, 9.0)) for n, name in enumerate(sizes)]
    yolo.write_detect(results_of(*found, sizes=sizes), tmp_path)
    labels = sorted((tmp_path / "yolo" / "labels").rglob("*.txt"))
    assert len(labels) == 3
    for label in labels:  # as Ultralytics finds it: another folder, another suffix
        photos = Path(str(label.parent).replace("/labels/", "/images/")).iterdir()
        assert [str(photo).rpartition(".")[0] if photo.suffix else str(photo) for photo in photos].count(
            str(label).replace("/labels/", "/images/").removesuffix(".txt")
        ) == 1


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4, unique=True))
def test_every_tag_comes_back_from_the_yaml(names):
    text = yolo._yaml({"names": names})
    assert yaml.safe_load(text.encode("utf-8")) == {"names": names}


def test_the_copies_are_the_photos_and_the_originals_stay(results, tmp_path):
    huggingface.write(results, tmp_path)
    huggingface.write(results, tmp_path)
    root = tmp_path / "huggingface"
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]
    assert [row["file_name"] for row in rows] == ["a.jpg", "sub/b.jpg"]
    for row in rows:
        copy = root / row["file_name"]
        assert not copy.is_symlink()
        [photo] = {one.image for one in results.detections if one.name == row["file_name"]}
        assert copy.read_bytes() == photo.read_bytes()
        boxes = zip(row["objects"]["category"], row["objects"]["bbox"], strict=True)
        ends = sorted((tag, [x, y, x + width, y + height]) for tag, (x, y, width, height) in boxes)
        assert ends == truth_of(results, row["file_name"])
        assert all(0 <= score <= 1 for score in row["objects"]["score"])


def test_label_studio_regions_fit_the_configuration_and_are_in_percent(results, tmp_path):
    label_studio.write(results, tmp_path)
    view = ET.parse(tmp_path / "label-studio.xml").getroot()
    controls = {one.get("name"): {label.get("value") for label in one} for one in view if one.tag != "Image"}
    tasks = json.loads((tmp_path / "boxes.label-studio.json").read_text())
    folder = results.detections[0].image.parent.name
    assert [task["data"]["image"].split("?d=")[1] for task in tasks] == [f"{folder}/{name}" for name in SIZES]
    assert "predictions" not in tasks[2]
    [prediction] = tasks[0]["predictions"]
    assert prediction["score"] == pytest.approx(min(one.score for one in results.detections[::2]), abs=1e-4)
    first = prediction["result"][0]
    assert first["value"]["rectanglelabels"] == ["cat"]
    place = [first["value"][key] for key in ("x", "y", "width", "height")]
    assert place == pytest.approx([12.5, 25.0, 37.5, 50.0])  # 2, 3, 6, 6 of 16 x 12 pixels
    assert (first["original_width"], first["original_height"]) == (16, 12)
    for name in ("boxes", "outlines"):
        for task in json.loads((tmp_path / f"{name}.label-studio.json").read_text()):
            for region in (one for some in task.get("predictions", []) for one in some["result"]):
                assert region["to_name"] == view.find("Image").get("name")
                assert set(region["value"][region["type"]]) <= controls[region["from_name"]]


@pytest.mark.parametrize(
    ("image", "address"),
    [("", "my%20photos/a.jpg"), ("../my photos", "my%20photos/a.jpg"), ("x/y", "y/a.jpg"), ("../b.jpg", "a.jpg")],
)
def test_label_studio_is_given_the_folder_below_its_document_root(image, address, tmp_path, monkeypatch):
    """It serves nothing that lies in the root itself."""
    here = tmp_path / "my photos"
    here.mkdir()
    monkeypatch.chdir(here)
    path = Path(image) if image.endswith("b.jpg") else Path(image) / "a.jpg"
    label_studio.write(results_of(detection(image=path), sizes={"a.jpg": (12, 16)}), tmp_path)
    (task,) = json.loads((tmp_path / "boxes.label-studio.json").read_text())
    assert task["data"]["image"] == f"/data/local-files/?d={address}"


def test_objects_go_to_supervision_and_keep_their_pixels(results):
    found = supervision.Detections.merge([one.to_supervision() for one in results.detections if one.name == "a.jpg"])
    first, _, last = results.detections
    assert found.xyxy.tolist() == [[*first.xyxy], [*last.xyxy]]
    assert found.area.tolist() == [first.mask.sum(), last.mask.sum()]
    assert found["class_name"].tolist() == [first.label, last.label]
    assert found.confidence == pytest.approx([first.score, last.score])


def test_a_photo_that_was_deleted_meanwhile_is_named(results, tmp_path):
    results.detections[1].image.unlink()
    with pytest.raises(InputError, match=r"sub/b\.jpg was deleted meanwhile: put it back"):
        huggingface.write(results, tmp_path)


@pytest.mark.parametrize("name", ["cvat", "label-studio", "voc-xml", "yolo", "yolo-segment", "huggingface"])
def test_every_format_takes_hostile_names_and_nothing_at_all(name, tmp_path):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (16, 12)).save(photo)
    sizes = {f"{tag or 'none'}/x {tag}.png": (12, 16) for tag in HOSTILE}
    found = [detection(place, tag, image=photo) for place, tag in zip(sizes, HOSTILE, strict=True)]
    for number, results in enumerate((results_of(*found, classes=HOSTILE, sizes=sizes), results_of(sizes={}))):
        out = tmp_path / str(number)
        save(results, out, [name])
        assert all(file.resolve().is_relative_to(out) for file in out.rglob("*"))
        for file in out.rglob("*.xml"):
            ET.parse(file)
        written = {file.relative_to(out).parts[0] for file in out.rglob("*") if file.is_file()}
        assert written <= {*FORMATS[name].outputs}
