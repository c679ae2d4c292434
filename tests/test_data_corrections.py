"""Corrections of every tool, matched to photos by name, path or content; what does not match is named."""

import json
import math
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchbas.data.corrections import read_corrections
from torchbas.data.corrections.readers import read_entries
from torchbas.errors import InputError
from torchbas.structures import Dataset, Sample

SIZE = (60, 80)
BOX = (8.0, 12.0, 40.0, 48.0)
CAT = ("cat/1.jpg", "cat")


@pytest.fixture
def photos(tmp_path):
    """Two cats and a dog; of two tags each photo has one."""
    names = {"cat/1.jpg": 0, "cat/2.jpg": 0, "dog/1.jpg": 1}
    for number, name in enumerate(names):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE[::-1], (80 * number, 9, 9)).save(path)
    root = tmp_path / "photos"
    return Dataset(root, ("cat", "dog"), tuple(Sample(root / name, name, (tag,)) for name, tag in names.items()))


def coco(path, images, annotations, **more):
    content = {"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}], "annotations": annotations}
    path.write_text(json.dumps({**content, "images": images, **more}))
    return path


def annotation(image, category, box=(8, 12, 32, 36)):
    return {"id": 1, "image_id": image, "category_id": category, "bbox": box}


def image(number, name, **more):
    return {"id": number, "file_name": name, "width": 80, "height": 60, **more}


def test_the_gallery_says_what_was_looked_at(photos, tmp_path):
    images = [image(1, "cat/1.jpg", reviewed=["cat", "dog"]), image(2, "cat/2.jpg", reviewed=["cat"])]
    found = read_corrections([coco(tmp_path / "a.json", images, [annotation(1, 1)])], photos)
    assert found.boxes == {CAT: (BOX,), ("cat/1.jpg", "dog"): (), ("cat/2.jpg", "cat"): ()}
    assert found.sentence == "corrected by hand: 2 photos, 1 boxes, 2 times nothing of a tag"
    assert [one.labels for one in found.tagged(photos).samples] == [(0,), (), (1,)]


def test_a_box_of_another_tag_changes_the_tags(photos, tmp_path):
    images = [image(1, "cat/1.jpg", reviewed=["cat", "dog"])]
    found = read_corrections([coco(tmp_path / "a.json", images, [annotation(1, 2)])], photos)
    assert found.tagged(photos).samples[0].labels == (1,)


def test_plain_coco_corrects_what_has_a_box(photos, tmp_path):
    images = [image(1, "cat/1.jpg"), image(2, "cat/2.jpg")]
    assert read_corrections([coco(tmp_path / "a.json", images, [annotation(1, 1)])], photos).boxes == {CAT: (BOX,)}


def test_of_two_files_the_last_one_counts(photos, tmp_path):
    first = coco(tmp_path / "a.json", [image(1, "cat/1.jpg")], [annotation(1, 1, (0, 0, 9, 9))])
    last = coco(tmp_path / "b.json", [image(1, "cat/1.jpg")], [annotation(1, 1)])
    assert read_corrections([first, last], photos).boxes == {CAT: (BOX,)}


def test_a_renamed_photo_is_found_by_its_content(photos, tmp_path):
    digest = sha256((photos.root / "cat/1.jpg").read_bytes()).hexdigest()
    for name in ("old.jpg", "dog/1.jpg"):
        file = coco(tmp_path / "a.json", [image(1, name, sha256=digest, reviewed=["cat"])], [annotation(1, 1)])
        found = read_corrections([file], photos)
        assert found.boxes == {CAT: (BOX,)}
        assert found.renamed == {name: "cat/1.jpg"}


def test_a_photo_replaced_by_another_is_named(photos, tmp_path):
    images = [image(1, "cat/1.jpg", sha256="0" * 64, reviewed=["cat"]), image(2, "cat/2.jpg")]
    found = read_corrections([coco(tmp_path / "a.json", images, [annotation(1, 1), annotation(2, 1)])], photos)
    assert found.boxes == {("cat/2.jpg", "cat"): (BOX,)}
    (problem,) = found.problems
    assert (problem.name, problem.reason) == ("cat/1.jpg", "a.json: another photo has its name now")


@pytest.mark.parametrize(
    ("changes", "box", "why"),
    [
        ({"file_name": "lion/7.jpg"}, (8, 12, 32, 36), "there is no such photo"),
        ({"file_name": "1.jpg"}, (8, 12, 32, 36), "several photos could be meant"),
        ({"width": 81}, (8, 12, 32, 36), "its boxes are of a photo of 81 x 60 pixels, but it has 80 x 60"),
        ({}, (8, 12, 90, 36), "its box 8 12 98 48 does not lie in 80 x 60 pixels"),
        ({}, (8, 12, 0, 36), "its box 8 12 8 48 does not lie in 80 x 60 pixels"),
    ],
)
def test_what_matches_no_photo_is_refused_with_a_reason(photos, tmp_path, changes, box, why):
    file = coco(tmp_path / "a.json", [image(1, "cat/1.jpg") | changes], [annotation(1, 1, box)])
    with pytest.raises(InputError, match=rf"a.json matches no photo of .* \(a.json: {why}\): give the photos"):
        read_corrections([file], photos)


def test_a_path_from_elsewhere_is_matched_by_its_end(photos, tmp_path):
    for name in ("D:/mine/photos/cat/1.jpg", "/cat/1.jpg", "2.jpg"):
        file = coco(tmp_path / "a.json", [image(1, name)], [annotation(1, 1)])
        (key,) = read_corrections([file], photos).boxes
        assert key == (("cat/2.jpg", "cat") if name == "2.jpg" else CAT)


@pytest.mark.parametrize(
    ("folder", "file", "meant"),
    [
        ("VOC", "2.jpg", "cat/2.jpg"),
        ("cat", "1.jpg", "cat/1.jpg"),
        ("VOC", "1.jpg", ""),
        ("x", "cat/1.jpg", "cat/1.jpg"),
    ],
)
def test_the_folder_of_voc_may_be_any_word(photos, tmp_path, folder, file, meant):
    box = "<bndbox><xmin>9</xmin><ymin>13</ymin><xmax>40</xmax><ymax>48</ymax></bndbox>"
    text = f"<folder>{folder}</folder><filename>{file}</filename><object><name>cat</name>{box}</object>"
    (tmp_path / "a.xml").write_text(f"<annotation>{text}</annotation>")
    if meant:
        assert read_corrections([tmp_path / "a.xml"], photos).boxes == {(meant, "cat"): (BOX,)}
    else:
        with pytest.raises(InputError, match="several photos could be meant"):
            read_corrections([tmp_path / "a.xml"], photos)


def test_an_unknown_tag_is_named(photos, tmp_path):
    file = coco(tmp_path / "a.json", [image(1, "cat/1.jpg")], [annotation(1, 1)])
    file.write_text(file.read_text().replace('"cat"', '"lynx"'))
    with pytest.raises(InputError, match=r'cat/1.jpg have the tag "lynx", which .*photos has not: add it'):
        read_corrections([file], photos).tagged(photos)


def region(kind="rectanglelabels", **value):
    return {"type": kind, "original_width": 80, "original_height": 60, "value": {kind: ["cat"], **value}}


RECTANGLE = {"x": 10, "y": 20, "width": 40, "height": 60, "rotation": 0}


def test_label_studio_s_last_annotation_counts_and_an_empty_one_says_nothing_is_there(photos, tmp_path):
    tasks = [
        {
            "data": {"image": "/data/local-files/?d=photos%2Fcat/1.jpg"},
            "annotations": [{"result": []}, {"result": [region(**RECTANGLE)]}, {"was_cancelled": True, "result": []}],
        },
        {"data": {"image": "/data/upload/3/0a1b2c3d-2.jpg"}, "annotations": [{"result": []}]},
        {"data": {"image": "dog/1.jpg"}, "annotations": []},
    ]
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    found = read_corrections([tmp_path / "a.json"], photos).boxes
    assert found == {CAT: (pytest.approx(BOX),), ("cat/2.jpg", "cat"): ()}


def test_label_studio_s_json_min_and_outlines(photos, tmp_path):
    outline = region("polygonlabels", points=[[10, 20], [50, 20], [30, 80]])
    min_form = {"original_width": 80, "original_height": 60}
    tasks = [
        {"image": "cat/1.jpg", "id": 3, "box": [{**RECTANGLE, "rectanglelabels": ["cat"], **min_form}]},
        {"data": {"image": "cat/2.jpg"}, "annotations": [{"result": [outline]}]},
    ]
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    found = read_corrections([tmp_path / "a.json"], photos).boxes
    assert [*found.values()] == [(pytest.approx(BOX),)] * 2


def test_a_turned_rectangle_is_bounded(photos, tmp_path):
    """A square of 20 pixels at (40, 20) by an eighth of a turn about its corner."""
    turned = region(x=50, y=100 / 3, width=25, height=100 / 3, rotation=45)
    task = {"data": {"image": "cat/1.jpg"}, "annotations": [{"result": [turned]}]}
    (tmp_path / "a.json").write_text(json.dumps([task]))
    side = 20 * math.sqrt(0.5)
    (box,) = read_corrections([tmp_path / "a.json"], photos).boxes[CAT]
    assert box == pytest.approx((40 - side, 20, 40 + side, 20 + 2 * side))


@pytest.mark.parametrize("name", ["a.json", "a.xml", "a.txt", "absent.json", "folder"])
def test_what_is_no_correction_is_one_sentence(tmp_path, name):
    (tmp_path / "folder").mkdir()
    for file, text in (("a.json", '{"images": 3}'), ("a.xml", "<b/>"), ("a.txt", "cat")):
        (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=rf"{name}.*: "):
        read_entries(tmp_path / name)


def refused(path):
    """The name of the file, if it is refused in a sentence that has it."""
    try:
        read_entries(path)
    except InputError as error:
        return path.name if path.name in str(error) else str(error)
    return ""


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from([1, "cat", "cat/1.jpg"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["images", "annotations", "categories", "id", "bbox", "name", "file_name", "data", "result"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(content=json_values)
def test_any_json_is_read_or_refused_in_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_text(json.dumps(content))
    assert refused(path) in ("", "a.json")


@given(content=st.binary(max_size=60) | st.text(alphabet='<>/="annotationbox 1', max_size=60).map(str.encode))
def test_any_xml_is_read_or_refused_in_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "a.xml"
    path.write_bytes(content)
    assert refused(path) in ("", "a.xml")
