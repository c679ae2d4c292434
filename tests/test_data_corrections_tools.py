"""Corrections as other people's libraries write them, and as we do, read back: the same boxes."""

from dataclasses import replace
from pathlib import Path

import globox
import numpy as np
import pytest
import supervision
from findings import boxed, open_gray
from labelformat import formats
from PIL import Image

from torchbas.data.corrections import read_corrections
from torchbas.errors import InputError
from torchbas.export.results import Results, save
from torchbas.localization import CORRECTED
from torchbas.structures import Dataset, Sample

SIZE = (60, 80)
BOXES = {
    ("cat/1.jpg", "cat"): ((8.0, 12.0, 40.0, 48.0),),
    ("dog/2.jpg", "dog"): ((0.0, 0.0, 80.0, 60.0), (3.0, 5.0, 9.0, 11.0)),
}
CLASSES = ("cat", "dog")
VOC = 1.0
"""Pixels by which VOC's boxes differ: some libraries count them from 0, VOC from 1, and no file says which."""


@pytest.fixture
def photos(tmp_path) -> Dataset:
    """A cat, a dog, and a cat that nobody looked at."""
    root, samples = tmp_path / "photos", []
    for number, name in enumerate(("cat/1.jpg", "dog/2.jpg", "cat/3.jpg")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE[::-1], (80 * number, 9, 9)).save(root / name)
        samples.append(Sample(root / name, name, (int(name.startswith("dog")),)))
    return Dataset(root, CLASSES, tuple(samples))


def read_back(path: Path, photos: Dataset, tolerance: float = 1e-9) -> None:
    """The corrections in a file are :data:`BOXES`."""
    found = read_corrections([path], photos)
    assert found.problems == ()
    assert found.boxes.keys() == BOXES.keys()
    for key, boxes in BOXES.items():
        for box, true in zip(found.boxes[key], boxes, strict=True):
            assert box == pytest.approx(true, abs=tolerance)


@pytest.mark.parametrize("form", ["coco", "cvat", "pascal_voc"])
def test_what_globox_writes(photos, tmp_path, form):
    made = globox.AnnotationSet()
    for (name, tag), boxes in BOXES.items():
        made.add(
            globox.Annotation(name, SIZE[::-1], [globox.BoundingBox.create(label=tag, coords=box) for box in boxes])
        )
    out = tmp_path / "out"
    if form == "coco":
        made.save_coco(tmp_path / "out.json", auto_ids=True)
        out = tmp_path / "out.json"
    elif form == "cvat":
        made.save_cvat(tmp_path / "out.xml")
        out = tmp_path / "out.xml"
    else:
        for folder in ("cat", "dog"):  # which it does not make itself
            (out / folder).mkdir(parents=True)
        made.save_pascal_voc(out)
    read_back(out, photos, VOC if form == "pascal_voc" else 1e-9)


@pytest.mark.parametrize("form", ["COCO", "CVAT", "PascalVOC", "YOLOv8"])
def test_what_labelformat_writes(photos, tmp_path, form):
    out = tmp_path / "out"
    for folder in ("cat", "dog", "labels/cat", "labels/dog"):  # which it does not make itself
        (out / folder).mkdir(parents=True)
    corrected = replace(photos, samples=photos.samples[:2])  # it writes of each photo, and of one without a box so
    source = formats.COCOObjectDetectionInput(written(corrected, tmp_path) / "boxes.coco.json")
    kind = getattr(formats, f"{form}ObjectDetectionOutput")
    if form == "YOLOv8":
        kind(out / "data.yaml", "train").save(source)
    else:
        kind(out / "a.json" if form == "COCO" else out).save(source)
    file = {"COCO": "a.json", "CVAT": "annotations.xml"}.get(form, "")
    read_back(out / file, photos, VOC if form == "PascalVOC" else 1e-4)


@pytest.mark.parametrize("form", ["coco", "pascal_voc", "yolo"])
def test_what_supervision_writes(photos, tmp_path, form):
    names = list(dict.fromkeys(str(photos.root / name) for name, _ in BOXES))
    found = {
        str(photos.root / name): supervision.Detections(
            np.array(boxes, np.float32), class_id=np.full(len(boxes), CLASSES.index(tag))
        )
        for (name, tag), boxes in BOXES.items()
    }
    made = supervision.DetectionDataset([*CLASSES], names, found)
    out = tmp_path / "out"
    if form == "coco":
        made.as_coco(annotations_path=str(out / "a.json"))
    elif form == "yolo":
        made.as_yolo(annotations_directory_path=str(out / "labels"), data_yaml_path=str(out / "data.yaml"))
    else:
        made.as_pascal_voc(annotations_directory_path=str(out))
    read_back(out / "a.json" if form == "coco" else out, photos, VOC if form == "pascal_voc" else 1e-3)


@pytest.mark.parametrize(
    ("form", "file", "rounding"),
    [
        ("coco", "boxes.coco.json", 0),
        ("coco", "masks.coco.json", 0),
        ("coco-outlines", "outlines.coco.json", 0),
        ("cvat", "boxes.cvat.xml", 0.005),
        ("cvat", "masks.cvat.xml", 0),
        ("voc-xml", "Annotations", 0),
        ("yolo", "yolo", 1e-4),
        ("yolo-segment", "yolo-segment", 0.3),
        ("label-studio", "boxes.label-studio.json", 1e-9),
        ("label-studio", "outlines.label-studio.json", 0.3),
    ],
)
def test_what_we_write_of_corrections_comes_back(photos, tmp_path, form, file, rounding):
    read_back(written(photos, tmp_path, form) / file, photos, rounding)


@pytest.mark.parametrize(("form", "file"), [("cvat", "boxes.cvat.xml"), ("label-studio", "boxes.label-studio.json")])
def test_drafts_that_nobody_has_touched_are_no_corrections(photos, tmp_path, form, file):
    out = written(photos, tmp_path, form, method="bas")
    with pytest.raises(InputError, match=rf"{file} has no corrected photo"):
        read_corrections([out / file], photos)


def test_what_was_changed_in_cvat_is_corrected_with_all_of_its_tag_in_the_photo(photos, tmp_path):
    """CVAT calls an automatic shape semi-auto once somebody has changed it."""
    file = written(photos, tmp_path, "cvat", method="bas") / "boxes.cvat.xml"
    text = file.read_text()
    assert text.count('source="auto"') == 3
    before, mark, after = text.rpartition('source="auto"')
    file.write_text(f'{before}source="semi-auto"{after}' if mark else "")
    dog = ("dog/2.jpg", "dog")
    assert read_corrections([file], photos).boxes == {dog: BOXES[dog]}


def written(photos: Dataset, tmp_path: Path, form: str = "coco", method: str = CORRECTED) -> Path:
    """The boxes by our own writer."""
    found = [
        boxed(name, tag, box, SIZE, image=photos.root / name, method=method)
        for (name, tag), boxes in BOXES.items()
        for box in boxes
    ]
    sizes = {sample.name: SIZE for sample in photos.samples}
    save(Results(found, CLASSES, sizes, open_gray), tmp_path / "ours", [form])
    return tmp_path / "ours"
