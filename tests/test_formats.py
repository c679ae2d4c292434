"""What is written is what other programs read: judged by pycocotools, Pillow and a slow rasteriser."""

import errno
import json
import os
from collections import deque
from dataclasses import replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import torchbas
from torchbas.config import Training
from torchbas.errors import InputError
from torchbas.formats import FORMATS, coco, read_manifest, save, voc, write_manifest
from torchbas.formats.files import mirrored, replacing
from torchbas.formats.polygons import polygons
from torchbas.types import Localization

CLASSES = ("cat", 'a/b "c" <script>', "Zebra 🦓")


def find(name="a.jpg", label="cat", box=(2.0, 3.0, 8.0, 9.0), size=(12, 16), **changes) -> Localization:
    """An object whose mask is its box without one corner pixel."""
    mask = np.zeros(size, np.uint8, order="F")
    x0, y0, x1, y1 = map(int, box)
    mask[y0:y1, x0:x1] = 1
    mask[y0, x0] = 0
    plain = Localization(
        image=Path(name),
        name=name,
        size=size,
        label=label,
        xyxy=box,
        rle=dict(coco_mask.encode(mask)),
        grid=np.zeros((2, 2), np.float32),
        confidence=0.75,
        evidence_left=0.1,
        threshold=0.5,
    )
    return replace(plain, **changes)


@pytest.fixture
def found() -> list[Localization]:
    return [
        find("a.jpg", "cat", (2.0, 3.0, 8.0, 9.0), confidence=0.9),
        find("sub/b.jpg", CLASSES[1], (0.0, 0.0, 5.0, 4.0), (8, 9), confidence=0.4),
        find("a.jpg", CLASSES[2], (6.0, 5.0, 16.0, 12.0), confidence=0.8),
    ]


SIZES = {"a.jpg": (12, 16), "sub/b.jpg": (8, 9), "empty.jpg": (5, 7)}


@pytest.fixture
def quiet_coco(capsys):
    """pycocotools talks while it loads."""
    yield COCO
    capsys.readouterr()


def test_a_boxes_file_loads_in_pycocotools_with_every_photo_and_tag(found, tmp_path, quiet_coco):
    coco.write_boxes(found, CLASSES, SIZES, tmp_path / "boxes.json")
    loaded = quiet_coco(tmp_path / "boxes.json")
    assert [(one["id"], one["name"]) for one in loaded.loadCats(loaded.getCatIds())] == list(enumerate(CLASSES, 1))
    assert {one["file_name"]: (one["height"], one["width"]) for one in loaded.imgs.values()} == SIZES
    second = loaded.loadAnns(loaded.getAnnIds(catIds=[2]))[0]
    assert loaded.imgs[second["image_id"]]["file_name"] == "sub/b.jpg"
    assert second["bbox"] == [0, 0, 5, 4]
    assert second["area"] == 20
    assert (second["iscrowd"], second["segmentation"]) == (0, [])
    assert (second["score"], second["evidence_left"]) == (0.4, 0.1)
    assert loaded.getAnnIds(imgIds=[3]) == []


def test_masks_survive_the_file_bit_by_bit(found, tmp_path, quiet_coco):
    coco.write_masks(found, CLASSES, SIZES, tmp_path / "masks.json")
    loaded = quiet_coco(tmp_path / "masks.json")
    for one, annotation in zip(found, loaded.loadAnns(loaded.getAnnIds()), strict=True):
        assert (loaded.annToMask(annotation).astype(bool) == one.mask).all()
        assert annotation["area"] == one.mask.sum()


def test_outlines_as_pycocotools_fills_them_stray_by_one_pixel_at_most(found, tmp_path, quiet_coco):
    coco.write_masks(found, CLASSES, SIZES, tmp_path / "masks.json", outlines=True)
    loaded = quiet_coco(tmp_path / "masks.json")
    for one, annotation in zip(found, loaded.loadAnns(loaded.getAnnIds()), strict=True):
        filled, mask = loaded.annToMask(annotation), one.mask.astype(np.uint8)
        assert (cv2.erode(mask, np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT, borderValue=[0]) <= filled).all()
        assert (filled <= cv2.dilate(mask, np.ones((3, 3)))).all()


@pytest.mark.parametrize(("write", "kind"), [(coco.write_boxes, "bbox"), (coco.write_masks, "segm")])
def test_cocoeval_gives_a_perfect_score_to_a_file_judged_by_itself(found, tmp_path, quiet_coco, write, kind):
    write(found, CLASSES, SIZES, tmp_path / "x.json")
    truth = quiet_coco(tmp_path / "x.json")
    results = truth.loadRes(json.loads((tmp_path / "x.json").read_text())["annotations"])
    judge = COCOeval(truth, results, kind)
    judge.params.maxDets = [1, 10, 100]
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert judge.stats[0] == pytest.approx(1)


def test_read_boxes_gives_back_what_was_written(found, tmp_path):
    coco.write_boxes(found, CLASSES, SIZES, tmp_path / "boxes.json")
    boxes = coco.read_boxes(tmp_path / "boxes.json")
    assert boxes["a.jpg"] == [("cat", (2, 3, 8, 9), 0.9), (CLASSES[2], (6, 5, 16, 12), 0.8)]
    assert boxes["sub/b.jpg"][0].label == CLASSES[1]
    assert boxes["empty.jpg"] == []


def test_read_boxes_takes_truth_files_without_scores_and_skips_crowds(tmp_path):
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
    with pytest.raises(InputError, match=r"no\.json is no COCO annotation file"):
        coco.read_boxes(tmp_path / "no.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.json cannot be read \(No such file"):
        coco.read_boxes(tmp_path / "gone.json")


@pytest.mark.parametrize(("one", "word"), [(find(label="dog"), '"dog"'), (find(name="other.jpg"), "other.jpg")])
def test_a_finding_outside_the_lists_is_named_and_nothing_is_left_behind(tmp_path, one, word):
    for name in FORMATS:
        with pytest.raises(InputError, match=word):
            save([one], tmp_path / name, CLASSES, SIZES, [name])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


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


def test_the_outline_of_a_disc_needs_few_points_to_be_nearly_right():
    y, x = np.mgrid[:200, :300]
    disc = (x - 150) ** 2 + (y - 90) ** 2 < 80**2
    (shape,) = polygons(disc)
    filled = coco_mask.decode(coco_mask.frPyObjects([shape], 200, 300))[..., 0].astype(bool)
    assert len(shape) < 80
    assert (filled & disc).sum() / (filled | disc).sum() > 0.98


def test_a_voc_mask_holds_class_numbers_and_255_where_tags_overlap(found, tmp_path):
    voc.write_masks(found, CLASSES, SIZES, tmp_path)
    picture = Image.open(tmp_path / "a.png")
    values = np.asarray(picture)
    cat, zebra = found[0].mask, found[2].mask
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


def test_two_objects_of_one_tag_may_overlap_in_a_voc_mask(tmp_path):
    voc.write_masks([find(box=(0.0, 0.0, 6.0, 6.0)), find(box=(3.0, 3.0, 9.0, 9.0))], CLASSES, SIZES, tmp_path)
    assert set(np.unique(np.asarray(Image.open(tmp_path / "a.png")))) == {0, 1}


def test_voc_masks_mirror_folders_and_leave_out_photos_without_findings(found, tmp_path):
    voc.write_masks(found, CLASSES, SIZES, tmp_path / "masks")
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"masks/a.png", "masks/sub/b.png", "masks/classes.json"}


def test_more_classes_than_a_palette_holds_are_refused_with_the_way_out(tmp_path):
    voc.write_masks([], [str(n) for n in range(254)], {}, tmp_path)
    with pytest.raises(InputError, match=r'holds 254 classes, but there are 255.*"coco"'):
        voc.write_masks([], [str(n) for n in range(255)], {}, tmp_path)


@given(st.lists(st.text(st.sampled_from("aAé.\u0301/\\: \n_p1") | st.characters()), max_size=8, unique=True))
@example(["a.jpg", "a.png", "A.JPG", "a.jpg.jpg", "a.jpg.png", "a"])
@example(["../../etc/passwd", "/etc/passwd", "..\\..\\etc\\passwd", "C:\\etc\\passwd", "..", ".", "", "/"])
@example(["a.png/b.jpg", "a.jpg", "a.jpg.png/c.jpg", "nul.jpg", "COM1", "x ", "x.", "x"])
def test_mended_names_differ_stay_inside_and_suit_windows(names):
    places = mirrored(names, ".png")
    assert list(places) == names
    texts = [str(place) for place in places.values()]
    assert len({text.casefold() for text in texts}) == len(names)
    for place in places.values():
        assert not place.is_absolute()
        assert place.suffix == ".png"
        assert not set("".join(place.parts)) & set('<>:"|?*\\\n\0')
        for part in place.parts:
            assert part not in ("", ".", "..")
            assert part[-1] not in " ."
            assert part.split(".")[0].lower() not in ("nul", "com1")
    folders = {str(parent).casefold() for place in places.values() for parent in place.parents}
    assert not folders & {text.casefold() for text in texts}


def test_a_plain_name_only_changes_its_suffix():
    names = ["img/one.two.jpg", "img/three.JPEG", "noend", "b.jpg", "b.webp"]
    expected = ["img/one.two.png", "img/three.png", "noend.png", "b.jpg.png", "b.webp.png"]
    assert list(mirrored(names, ".png").values()) == list(map(PurePosixPath, expected))


def test_saving_writes_each_format_to_its_place(found, tmp_path):
    save(found, tmp_path, CLASSES, SIZES, ["coco", "coco-outlines", "voc"])
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"boxes.coco.json", "masks.coco.json", "outlines.coco.json", "masks"}


def test_an_unknown_format_is_refused_before_anything_is_written(found, tmp_path):
    with pytest.raises(InputError, match=r'"cocoo" is no format\. Did you mean "coco"\?'):
        save(found, tmp_path / "out", CLASSES, SIZES, ["voc", "cocoo"])
    with pytest.raises(InputError, match="There are coco, coco-outlines, voc"):
        save(found, tmp_path / "out", CLASSES, SIZES, ["pdf"])
    assert not (tmp_path / "out").exists()


def test_further_formats_can_be_given(found, tmp_path):
    seen = []
    save(found, tmp_path, CLASSES, SIZES, ["mine"], {"mine": lambda *given: seen.append(given)})
    assert seen == [(found, CLASSES, SIZES, tmp_path)]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("name", ["coco", "voc"])
def test_a_full_or_forbidden_disk_is_one_sentence_that_names_the_file(found, tmp_path, monkeypatch, code, name):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(InputError, match=rf"\.(json|png) cannot be written \({os.strerror(code)}\)\. Free some space"):
        save(found, tmp_path, CLASSES, SIZES, [name])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_given_writer_may_fail_on_the_disk_too(found, tmp_path):
    writers = {"mine": lambda *_: (tmp_path / "no such folder" / "x").write_text("")}
    with pytest.raises(InputError, match=r"no such folder/x cannot be written \(No such file or directory\)"):
        save(found, tmp_path, CLASSES, SIZES, ["mine"], writers)


def test_a_file_in_the_place_of_the_folder_is_named(found, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match=r"out/boxes\.coco\.json cannot be written"):
        save(found, tmp_path / "out", CLASSES, SIZES)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "x.txt").write_text("old")

    def interrupted():
        with replacing(tmp_path / "x.txt") as partial:
            partial.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_the_manifest_comes_back_in_the_words_of_json(tmp_path):
    content = {
        "recipe": Training(epochs=3),
        "path": Path("a/b"),
        "loss": [float("nan"), np.float32(0.5)],
        "n": np.int64(3),
    }
    path = write_manifest(tmp_path / "new", content | {"tags": ("x", CLASSES[1]), 5: {"deep": np.zeros(2)}})
    read = read_manifest(tmp_path / "new")
    assert path == tmp_path / "new" / "run.json"
    assert read["torchbas"] == torchbas.__version__
    assert read["recipe"]["epochs"] == 3
    assert (read["path"], read["loss"], read["n"]) == ("a/b", [None, 0.5], 3)
    assert (read["tags"], read["5"]) == (["x", CLASSES[1]], {"deep": [0, 0]})
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run.json"]


def test_a_folder_without_a_manifest_is_incomplete(tmp_path):
    with pytest.raises(InputError, match=r"no readable run\.json: its command did not finish"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json is"):
        read_manifest(tmp_path)
