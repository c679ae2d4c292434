"""Output formats, read back by pycocotools, Pillow and a slow rasterizer."""

import errno
import json
import os
import subprocess
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from findings import CLASSES, SIZES, detection, results_of, three
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import torchbas as tb
from torchbas.cli import predict
from torchbas.cli.common import Formats
from torchbas.errors import InputError
from torchbas.export import FORMATS, Format, coco, outputs, voc
from torchbas.export.polygons import polygons
from torchbas.export.results import Results, save
from torchbas.structures import Problem


@pytest.fixture
def results(tmp_path_factory) -> Results:
    return three(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def quiet_coco(capsys):
    """pycocotools talks while it loads."""
    yield COCO
    capsys.readouterr()


def test_a_boxes_file_loads_in_pycocotools_with_every_photo_and_tag(results, tmp_path, quiet_coco):
    coco.write_boxes(results, tmp_path / "boxes.json")
    loaded = quiet_coco(tmp_path / "boxes.json")
    assert [(one["id"], one["name"]) for one in loaded.loadCats(loaded.getCatIds())] == list(enumerate(CLASSES, 1))
    assert {one["file_name"]: (one["height"], one["width"]) for one in loaded.imgs.values()} == SIZES
    second = loaded.loadAnns(loaded.getAnnIds(catIds=[2]))[0]
    assert loaded.imgs[second["image_id"]]["file_name"] == "sub/b.jpg"
    assert second["bbox"] == [0, 0, 5, 4]
    assert second["area"] == 20
    assert (second["iscrowd"], second["segmentation"]) == (0, [])
    facts = second["attributes"]
    assert (facts["confidence"], facts["bas_ratio"], facts["method"]) == (0.4, 0.1, "bas")
    assert facts["score"] == pytest.approx(second["score"], abs=1e-4)
    assert second["score"] == results.detections[1].score
    assert loaded.getAnnIds(imgIds=[3]) == []


def test_masks_survive_the_file_bit_by_bit(results, tmp_path, quiet_coco):
    coco.write_masks(results, tmp_path / "masks.json")
    loaded = quiet_coco(tmp_path / "masks.json")
    for one, annotation in zip(results.detections, loaded.loadAnns(loaded.getAnnIds()), strict=True):
        assert (loaded.annToMask(annotation).astype(bool) == one.mask).all()
        assert annotation["area"] == one.mask.sum()


def test_outlines_as_pycocotools_fills_them_stray_by_one_pixel_at_most(results, tmp_path, quiet_coco):
    coco.write_masks(results, tmp_path / "masks.json", outlines=True)
    loaded = quiet_coco(tmp_path / "masks.json")
    for one, annotation in zip(results.detections, loaded.loadAnns(loaded.getAnnIds()), strict=True):
        filled, mask = loaded.annToMask(annotation), one.mask.astype(np.uint8)
        assert (cv2.erode(mask, np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT, borderValue=[0]) <= filled).all()
        assert (filled <= cv2.dilate(mask, np.ones((3, 3)))).all()


@pytest.mark.parametrize(("write", "kind"), [(coco.write_boxes, "bbox"), (coco.write_masks, "segm")])
def test_cocoeval_gives_a_file_compared_with_itself_a_perfect_score(results, tmp_path, quiet_coco, write, kind):
    write(results, tmp_path / "x.json")
    ground_truth = quiet_coco(tmp_path / "x.json")
    loaded = ground_truth.loadRes(json.loads((tmp_path / "x.json").read_text())["annotations"])
    evaluation = COCOeval(ground_truth, loaded, kind)
    evaluation.params.maxDets = [1, 10, 100]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_read_boxes_returns_the_written_boxes(results, tmp_path):
    coco.write_boxes(results, tmp_path / "boxes.json")
    boxes = coco.read_boxes(tmp_path / "boxes.json")
    first, _, third = (one.score for one in results.detections)
    assert boxes["a.jpg"] == [("cat", (2, 3, 8, 9), first), (CLASSES[2], (6, 5, 16, 12), third)]
    assert boxes["sub/b.jpg"][0].label == CLASSES[1]
    assert boxes["empty.jpg"] == []


def test_read_boxes_reads_ground_truth_without_scores_and_skips_crowds(tmp_path):
    annotation = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]}
    content = {
        "images": [{"id": 7, "file_name": "x.jpg"}],
        "categories": [{"id": 3, "name": "dog"}],
        "annotations": [annotation, annotation | {"iscrowd": 1}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    assert coco.read_boxes(tmp_path / "truth.json") == {"x.jpg": [("dog", (1, 2, 4, 6), 1)]}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": 1, "categories": [], "annotations": []}', "\xff"])
def test_a_file_that_is_no_coco_file_is_named(tmp_path, text):
    (tmp_path / "no.json").write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match=r"no\.json is (no COCO annotation file|not valid JSON|not written in UTF-8)"):
        coco.read_boxes(tmp_path / "no.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"has no gone\.json\. Copy it there"):
        coco.read_boxes(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("one", "word"), [(detection(label="dog"), '"dog"'), (detection(name="other.jpg"), "other.jpg")]
)
def test_a_detection_outside_the_classes_or_photos_is_named(one, word):
    with pytest.raises(InputError, match=word):
        results_of(one)


def _filled(mask: np.ndarray) -> np.ndarray:
    """The mask without holes: everything that water from outside cannot reach through the four sides of pixels."""
    water = np.zeros(np.add(mask.shape, 2), bool)
    solid = np.pad(mask, 1)
    queue = deque([(0, 0)])
    water[0, 0] = True
    while queue:
        y, x = queue.popleft()
        for v, u in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            if 0 <= v < water.shape[0] and 0 <= u < water.shape[1] and not solid[v, u] and not water[v, u]:
                water[v, u] = True
                queue.append((v, u))
    return ~water[1:-1, 1:-1]


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_exact_outlines_fill_to_the_mask_without_its_holes(mask):
    shapes = polygons(mask, tolerance=0.0)
    height, width = mask.shape
    filled = np.zeros_like(mask)
    for shape in shapes:
        assert len(shape) >= 6
        filled |= coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([shape], height, width))).astype(bool)
    np.testing.assert_array_equal(filled, _filled(mask))


def test_the_outline_of_a_disc_has_few_points_and_a_high_iou():
    y, x = np.mgrid[:200, :300]
    disc = (x - 150) ** 2 + (y - 90) ** 2 < 80**2
    (shape,) = polygons(disc)
    filled = coco_mask.decode(coco_mask.frPyObjects([shape], 200, 300))[..., 0].astype(bool)
    assert len(shape) < 80
    assert (filled & disc).sum() / (filled | disc).sum() > 0.98


def test_a_voc_mask_has_class_numbers_and_ignore_where_classes_overlap(results, tmp_path):
    voc.write_masks(results, tmp_path)
    picture = Image.open(tmp_path / "a.png")
    values = np.asarray(picture)
    cat, zebra = (results.detections[n].mask for n in (0, 2))
    assert picture.mode == "P"
    assert values.shape == (12, 16)
    assert (values[cat & ~zebra] == 1).all()
    assert (values[zebra & ~cat] == 3).all()
    assert (values[cat & zebra] == 255).all()
    assert (values[~cat & ~zebra] == 0).all()
    assert (cat & zebra).any()
    palette = np.array(picture.getpalette()).reshape(-1, 3)
    assert palette[[0, 1, 3, 15, 255]].tolist() == [
        [0] * 3,
        [128, 0, 0],
        [128, 128, 0],
        [192, 128, 128],
        [224, 224, 192],
    ]
    assert json.loads((tmp_path / "classes.json").read_text())[3] == CLASSES[2]


def test_detections_of_one_class_may_overlap_in_a_voc_mask(tmp_path):
    voc.write_masks(results_of(detection(box=(0.0, 0.0, 6.0, 6.0)), detection(box=(3.0, 3.0, 9.0, 9.0))), tmp_path)
    assert set(np.unique(np.asarray(Image.open(tmp_path / "a.png")))) == {0, 1}


def test_voc_masks_keep_subfolders_and_skip_photos_without_detections(results, tmp_path):
    voc.write_masks(results, tmp_path / "masks")
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"masks/a.png", "masks/sub/b.png", "masks/classes.json"}


def test_more_classes_than_a_palette_holds_are_refused_before_anything_is_written(tmp_path):
    save(results_of(classes=[str(n) for n in range(254)], sizes={}), tmp_path / "all", ["voc"])
    many = results_of(classes=[str(n) for n in range(255)], sizes={})
    with pytest.raises(
        InputError, match=r'"voc" holds 254 classes, but there are 255\. .* --format coco coco-outlines'
    ):
        save(many, tmp_path / "out", ["coco", "voc"])
    assert not (tmp_path / "out").exists()
    save(many, tmp_path / "out", ["coco", "gallery"])


def test_masks_of_a_tag_called_like_our_own_file_lie_beside_it(tmp_path):
    voc.write_masks(results_of(detection("classes.json/a.jpg"), sizes={"classes.json/a.jpg": (12, 16)}), tmp_path)
    assert json.loads((tmp_path / "classes.json").read_text())[0] == "background"
    assert (tmp_path / "_classes.json/a.png").is_file()


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_writes_exactly_its_outputs(results, tmp_path, name, monkeypatch):
    monkeypatch.setattr("torchbas.viz.gallery.EMBEDDED", 1)
    save(results, tmp_path, [name])
    assert {path.name for path in tmp_path.iterdir()} == set(FORMATS[name].outputs)


def test_the_gallery_has_the_photos_problems_and_facts(results, tmp_path):
    notes = {"problems": [Problem("broken.jpg", "is empty (0 bytes).")], "facts": {"model": "recipe quick"}}
    save(replace(results, **notes), tmp_path, ["gallery"])
    page = (tmp_path / "index.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 2
    for text in ("broken.jpg", "is empty (0 bytes).", "recipe quick", "empty.jpg"):
        assert text in page


def test_an_unknown_format_is_refused_before_anything_is_written(results, tmp_path):
    with pytest.raises(InputError, match=r'"cocoo" is no format\. Did you mean "coco"\?'):
        save(results, tmp_path / "out", ["voc", "cocoo"])
    with pytest.raises(
        InputError, match="There are coco, coco-outlines, voc, voc-xml, cvat, label-studio, yolo, yolo-segment, "
    ):
        save(results, tmp_path / "out", ["pdf"])
    assert not (tmp_path / "out").exists()


def test_a_registered_format_is_written_offered_and_cleaned(results, tmp_path, monkeypatch):
    def write_names(results: Results, folder: Path) -> None:
        (folder / "names.txt").write_text("\n".join(sorted({one.name for one in results.detections})))

    monkeypatch.setitem(FORMATS, "names", Format(write_names, "names of the photos with detections", ("names.txt",)))
    tb.save(results.detections, tmp_path, formats=["names"])
    assert (tmp_path / "names.txt").read_text() == "a.jpg\nsub/b.jpg"
    words = ["photos", "--model", "run", "--out", "out", "--format", "names", "coco"]
    assert predict.parse(words).format == ("names", "coco")
    assert "names.txt" in outputs()


def test_the_command_line_removes_the_outputs_of_all_formats(results, tmp_path, monkeypatch):
    from torchbas.cli.job import OUTPUTS

    monkeypatch.setattr("torchbas.viz.gallery.EMBEDDED", 1)
    save(results, tmp_path, [*FORMATS])
    assert {place.name for place in tmp_path.iterdir()} == {*outputs()}
    assert {*outputs(), "run.json"} == {*OUTPUTS}


def test_the_help_says_what_each_format_writes():
    (argument,) = Formats.__metadata__
    assert all(f"{name}: {one.about}" in argument.help for name, one in FORMATS.items())


def test_the_registry_imports_nothing_heavy():
    heavy = {"torch", "numpy", "cv2", "PIL", "pycocotools", "matplotlib"}
    program = f"import sys, torchbas.export; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"set()\n"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("name", FORMATS)
def test_a_full_or_forbidden_disk_is_one_sentence_that_names_the_file(results, tmp_path, monkeypatch, code, name):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "replace", refuse)
    expected = rf"\.(json|jsonl|png|html|xml|txt) cannot be written \({os.strerror(code)}\)\. Free some space"
    with pytest.raises(InputError, match=expected):
        save(results, tmp_path, [name])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_registered_writer_may_fail_on_the_disk_too(results, tmp_path, monkeypatch):
    def fail(_, folder):
        (folder / "no such folder" / "x").write_text("")

    monkeypatch.setitem(FORMATS, "mine", Format(fail, "nothing", ()))
    with pytest.raises(InputError, match=r"no such folder/x cannot be written \(No such file or directory\)"):
        save(results, tmp_path, ["mine"])


def test_a_file_in_the_place_of_the_folder_is_named(results, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match=r"out/boxes\.coco\.json cannot be written"):
        save(results, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
