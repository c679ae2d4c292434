"""What was corrected by hand is marked in every format that can say so."""

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from findings import CLASSES, three

from torchbas.export import label_studio
from torchbas.export.results import Results, save
from torchbas.localization import CORRECTED


@pytest.fixture
def half_corrected(tmp_path_factory) -> Results:
    """One of the two objects in a.jpg, and the only one in b.jpg, were corrected by hand."""
    results = three(tmp_path_factory.mktemp("photos"))
    first, *rest = results.detections
    return replace(results, detections=(first, *(replace(one, method=CORRECTED) for one in rest)))


CORRECT = {"a.jpg": {"cat": False, CLASSES[2]: True}, "sub/b.jpg": {CLASSES[1]: True}}
"""What is corrected, by photo and tag."""
NAMES = (("images", "file_name"), ("categories", "name"))


def test_every_format_that_can_says_what_was_corrected(half_corrected, tmp_path):
    save(half_corrected, tmp_path, ["coco", "coco-outlines", "cvat", "voc-xml", "huggingface", "label-studio"])
    said: dict[str, dict[str, dict[str, bool]]] = {}
    for file in tmp_path.glob("*.coco.json"):
        content = json.loads(file.read_text())
        names, tags = ({one["id"]: one[key] for one in content[what]} for what, key in NAMES)
        for one in content["annotations"]:
            photo = said.setdefault(file.name, {}).setdefault(names[one["image_id"]], {})
            photo[tags[one["category_id"]]] = one["attributes"]["method"] == "corrected"
    for file in tmp_path.glob("*.cvat.xml"):
        for image in ET.parse(file).getroot().iter("image"):
            for shape in image:
                photo = said.setdefault(file.name, {}).setdefault(image.get("name", ""), {})
                photo[shape.get("label", "")] = {"manual": True, "auto": False}[shape.get("source", "")]
    for file in (tmp_path / "Annotations").rglob("*.xml"):
        root = ET.parse(file).getroot()
        photo = said.setdefault("voc-xml", {}).setdefault(root.findtext("path") or "", {})
        photo |= {one.findtext("name"): one.findtext("method") == "corrected" for one in root.iter("object")}
    for line in (tmp_path / "huggingface/metadata.jsonl").read_text().splitlines():
        row = json.loads(line)
        marks = (method == "corrected" for method in row["objects"]["method"])
        said.setdefault("huggingface", {})[row["file_name"]] = dict(zip(row["objects"]["category"], marks, strict=True))
    for file in tmp_path.glob("*.label-studio.json"):
        for task in json.loads(file.read_text())[:2]:
            [result] = [one["result"] for key in ("annotations", "predictions") for one in task.get(key, [])]
            marks = {one["value"][one["type"]][0]: one["origin"] == "manual" for one in result}
            said.setdefault(file.name, {})[task["data"]["image"].split("?d=")[1].partition("/")[2]] = marks
    assert len(said) == 9
    assert said == dict.fromkeys(said, CORRECT)


def test_in_label_studio_a_photo_counts_as_done_where_all_of_it_is_corrected(half_corrected, tmp_path):
    label_studio.write(half_corrected, tmp_path)
    first, second, third = json.loads((tmp_path / "boxes.label-studio.json").read_text())
    assert (first.keys(), second.keys(), third.keys()) == ({"data", "predictions"}, {"data", "annotations"}, {"data"})
