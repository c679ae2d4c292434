"""Python code in the pages runs, one block after the other, with the smallest network and few steps."""

import json
import re
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from torchbas import recipes

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SHORTER = {
    "README.md": {
        'out="runs/pets")': 'out="runs/pets", weights=False, steps=2)',
        '"resnet50", num_classes=37, pretrained=True': '"test_resnet", num_classes=37',
    },
    "python.md": {
        "range(100)": "range(2)",
        'tb.save(everything, "labels/"': 'tb.save(everything, "one/"',
        'tb.read_results("labels/")': 'tb.read_results("labels/masks.coco.json", "photos")',
        "steps=400)": "steps=2)",
        'tb.train("photos/", "runs/pets", ': 'tb.train("photos/", "runs/more", weights=False, ',
        '"resnet50"': '"test_resnet"',
        "224": "64",
        'tb.label("photos/", "labels/", ': 'tb.label("photos/", "runs/watched", weights=False, steps=2, ',
        "cuda:0": "cpu",
        "workers=4": "workers=0",
    },
    "data.md": {},
    "refine.md": {},
}
"""What stands in for the long or fetched in the code of each page."""
ELSEWHERE = {"api.md", "deploy.md", "scale.md"}
"""Signatures; an exported model, in test_deploy_postprocess.py; a store and GPUs, their Predictor in test_shards.py."""


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def code(name: str) -> list[str]:
    """The blocks of a page, shortened."""
    page = next(page for page in PAGES if page.name == name)
    text = "\0".join(blocks(page))
    for whole, short in SHORTER[name].items():
        assert whole in text, f"{page.name} has no {whole} any more"
        text = text.replace(whole, short)
    return text.split("\0")


def run(name: str) -> dict:
    """The names that are there after all blocks of a page."""
    names: dict = {}
    for number, block in enumerate(code(name)):
        exec(compile(block, f"{name}, block {number + 1}", "exec"), names)
    return names


@pytest.fixture
def pets(demo_set, recipe, tmp_path, monkeypatch):
    """A folder with photos of two tags, and the recipe ``quick`` small."""
    for tag, shape in (("cat", "snail"), ("dog", "fish")):
        (tmp_path / f"photos/{tag}").mkdir(parents=True)
        for number in (1, 2, 3):
            shutil.copy(demo_set.root / f"train/{shape}/{number:04}.jpg", tmp_path / f"photos/{tag}/{number}.jpg")
        shutil.copy(tmp_path / f"photos/{tag}/1.jpg", tmp_path / f"{tag}.jpg")
    monkeypatch.setattr(recipes, "built_in", lambda: {"quick": recipe})
    monkeypatch.chdir(tmp_path)


def test_every_page_with_code_is_run():
    assert {page.name for page in PAGES if blocks(page)} == SHORTER.keys() | ELSEWHERE


@pytest.mark.slow
@pytest.mark.usefixtures("pets")
def test_code_of_the_readme_and_of_the_python_page_runs(monkeypatch):
    pytest.importorskip("supervision")
    read = run("README.md")
    assert Path("labels/index.html").is_file()
    assert read["cat"].label == "cat"
    logged = []
    started = SimpleNamespace(log=lambda _, step: logged.append(step))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **_: nullcontext(started)))
    names = run("python.md")
    assert len(names["detections"]) == 1
    assert names["terms"].keys() == {"classify", "guide", "suppress", "area"}
    assert names["maps"].shape[:2] == (2, 5)
    assert logged
    assert len([*names["found"]]) == 6
    refined = run("refine.md")
    assert len(refined["plain"]) == len(refined["finer"]) == 6


def test_code_of_the_page_on_data_paints_masks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("coco/annotations", "coco/val2014", "masks"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (8, 6)).save("coco/val2014/1.jpg")
    photo = {"id": 1, "file_name": "1.jpg", "width": 8, "height": 6}
    square = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 1, 4, 4], "iscrowd": 0, "area": 16}
    square["segmentation"] = [[1, 1, 5, 1, 5, 5, 1, 5]]
    lists = {"images": [photo], "annotations": [square], "categories": [{"id": 3, "name": "cat"}]}
    Path("coco/annotations/instances_val2014.json").write_text(json.dumps(lists))
    names: dict = {"masks": Path("masks")}
    for block in code("data.md"):
        exec(block, names)
    assert len(names["dataset"].samples) == 1
    assert {*Image.open("masks/1.png").get_flattened_data()} == {0, 1}
