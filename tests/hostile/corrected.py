"""A small valid file of corrections of every tool, and the reader of all of them."""

import json
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from torchbas.data.corrections import read_corrections
from torchbas.structures import Dataset, Sample

NAME, WIDTH, HEIGHT = "cat/1.jpg", 40, 30
GALLERY = {
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "images": [{"id": 1, "file_name": NAME, "width": WIDTH, "height": HEIGHT, "reviewed": ["cat", "dog"]}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [3, 4, 20, 15], "iscrowd": 0}],
}
RUNS = {"size": [HEIGHT, WIDTH], "counts": [305, 5, 25, 5, 860]}
OUTLINES = [[[3, 4, 23, 4, 13, 19]], RUNS, RUNS | {"counts": "a95i00Sj0"}, []]
COCO = GALLERY | {
    "images": [{"id": 1, "file_name": NAME, "width": WIDTH, "height": HEIGHT}],
    "annotations": [GALLERY["annotations"][0] | {"segmentation": outline} for outline in OUTLINES],
}
PLACE = {"x": 10, "y": 20, "width": 50, "height": 40, "rotation": 15}
REGION = {"original_width": WIDTH, "original_height": HEIGHT, "value": {**PLACE, "rectanglelabels": ["cat"]}}
TASKS = [{"data": {"image": f"/data/local-files/?d={NAME}"}, "annotations": [{"result": [REGION]}]}]
CVAT = f"""<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>
<image id="0" name="{NAME}" width="{WIDTH}" height="{HEIGHT}"><box label="cat" xtl="3" ytl="4" xbr="23" ybr="19"/>
<polygon label="dog" points="1,2;9,2;5,8"/><mask label="cat" left="2" top="3" width="9" height="8" rle="72"/>
</image></annotations>"""
VOC = f"""<annotation><folder>cat</folder><filename>1.jpg</filename><path>{NAME}</path>
<size><width>{WIDTH}</width><height>{HEIGHT}</height></size><object><name>cat</name>
<bndbox><xmin>4</xmin><ymin>5</ymin><xmax>23</xmax><ymax>19</ymax></bndbox></object></annotation>"""
FILES: dict[str, dict[str, str]] = {
    "gallery": {"a.json": json.dumps(GALLERY)},
    "coco": {"a.json": json.dumps(COCO)},
    "label_studio": {"a.json": json.dumps(TASKS)},
    "cvat": {"a.xml": CVAT},
    "voc": {"Annotations/a.xml": VOC},
    "yolo": {
        "data.yaml": '{"names": ["cat", "dog"]}',
        "labels/train/cat/1.txt": "0 .5 .5 .4 .4\n1 .1 .1 .5 .1 .3 .6\n",
    },
}
"""By tool; the last is a folder, of the others the first file is given."""


@cache
def _photo() -> Path:
    path = Path(tempfile.mkdtemp()) / "1.jpg"
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 99, np.uint8)).save(path)
    return path


def read(tool: str, folder: Path) -> None:
    """Read the corrections, and check what is promised of them."""
    first = folder / next(iter(FILES[tool]))
    photos = Dataset(folder / "photos", ("cat", "dog"), (Sample(_photo(), NAME, (0,)),))
    found = read_corrections([folder if tool == "yolo" else first], photos)
    for (name, _), boxes in found.boxes.items():
        assert name == NAME
        assert all(0 <= x0 < x1 <= WIDTH and 0 <= y0 < y1 <= HEIGHT for x0, y0, x1, y1 in boxes)
    for key, masks in found.masks.items():
        assert len(masks) == len(found.boxes[key])
        assert all(coco_mask.decode(one).shape == (HEIGHT, WIDTH) and coco_mask.area(one) for one in masks if one)
