"""Boxes and masks in the annotation format of COCO, which most detectors train on and most editors import.

Beyond the standard fields an annotation has ``score``, how good the box is likely to be, and ``attributes``, which CVAT
shows: the score again, ``confidence``, the probability of the class, ``bas_ratio``, S_b / S: the share of the class's
activation that is left when the object is masked (eq. 2), all in [0, 1], and ``method``, whose heatmap it is.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from pycocotools import mask as coco_mask

from .. import inputs
from ..errors import InputError
from ..io import atomic_write
from ..structures import Box
from .polygons import polygons
from .results import Results, Sizes


class ScoredBox(NamedTuple):
    """A box of an annotation file."""

    label: str
    xyxy: Box
    """``(x0, y0, x1, y1)`` in pixels, the end exclusive."""
    score: float
    """In [0, 1]; 1 where the file has none, as ground truth."""


class ScoredMask(NamedTuple):
    """The mask of one object."""

    name: str
    """Name of the photo."""
    label: str
    rle: dict[str, Any]
    """COCO's run-length encoding: ``size`` and ``counts``, these as bytes or text."""
    score: float
    """Confidence in [0, 1]."""


def write(results: Results, folder: Path) -> None:
    """Write ``boxes.coco.json`` and ``masks.coco.json`` into ``folder``."""
    write_boxes(results, folder / "boxes.coco.json")
    write_masks(results, folder / "masks.coco.json")


def write_outlines(results: Results, folder: Path) -> None:
    """Write ``outlines.coco.json`` into ``folder``: the masks as polygons."""
    write_masks(results, folder / "outlines.coco.json", outlines=True)


def write_boxes(results: Results, path: Path) -> None:
    """Write one annotation with an empty segmentation per detection; photos without detections are listed too.

    Category ids count from 1 in the order of the class list.

    Raises:
        InputError: a disk that is full.
    """
    _write(path, results.classes, results.sizes, _annotations(results))


def write_masks(results: Results, path: Path, *, outlines: bool = False) -> None:
    """Write the annotations of :func:`write_boxes` with masks: exact run lengths, or ``outlines`` to edit."""

    def annotations() -> Iterator[dict]:
        for one, annotation in zip(results.detections, _annotations(results), strict=True):
            annotation["area"] = one.area
            annotation["segmentation"] = polygons(one.mask) if outlines else _text_rle(one.rle)
            yield annotation

    _write(path, results.classes, results.sizes, annotations())


def write_objects(objects: Iterable[ScoredMask], classes: Sequence[str], sizes: Sizes, path: Path) -> None:
    """Write the mask, its box and ``score`` of each object; memory does not grow with their number.

    Raises:
        InputError: a disk that is full.
    """
    categories, image_ids = _numbered(classes), _numbered(sizes)

    def annotations() -> Iterator[dict]:
        for number, one in enumerate(objects, 1):
            rle: Any = one.rle
            yield {
                "id": number,
                "image_id": image_ids[one.name],
                "category_id": categories[one.label],
                "bbox": coco_mask.toBbox(rle).tolist(),
                "area": float(coco_mask.area(rle)),
                "iscrowd": 0,
                "segmentation": _text_rle(rle),
                "score": float(one.score),
            }

    _write(path, classes, sizes, annotations())


def read_boxes(path: Path) -> dict[str, list[ScoredBox]]:
    """Boxes of a COCO file by file name, for every photo it lists; crowd regions are left out.

    Raises:
        InputError: the file is missing or is no such annotation file.
    """
    content = inputs.read_json(path)
    try:
        labels = {category["id"]: category["name"] for category in content["categories"]}
        names = {image["id"]: image["file_name"] for image in content["images"]}
        boxes: dict[str, list[ScoredBox]] = {name: [] for name in names.values()}
        for one in content["annotations"]:
            if not one.get("iscrowd"):
                x, y, width, height = map(inputs.number, one["bbox"])
                if min(width, height) < 0:
                    raise ValueError(f"the box {one['bbox']} ends before it begins")
                box = (x, y, x + width, y + height)
                scored = ScoredBox(labels[one["category_id"]], box, inputs.number(one.get("score", 1)))
                boxes[names[one["image_id"]]].append(scored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        expected = "a JSON object with images, categories and annotations that have a bbox"
        raise InputError(f"{path} is no COCO annotation file ({error!r}): it should hold {expected}.") from error
    return boxes


def _annotations(results: Results) -> Iterator[dict]:
    categories, image_ids = _numbered(results.classes), _numbered(results.sizes)
    for number, one in enumerate(results.detections, 1):
        x0, y0, x1, y1 = map(float, one.xyxy)
        yield {
            "id": number,
            "image_id": image_ids[one.name],
            "category_id": categories[one.label],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
            "segmentation": [],
            "score": float(one.score),
            "attributes": {
                "score": round(one.score, 4),
                "confidence": round(one.confidence, 4),
                "bas_ratio": round(one.bas_ratio, 4),
                "method": one.method,
            },
        }


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names, 1)}


def _text_rle(rle: dict[str, Any]) -> dict[str, Any]:
    """The run-length encoding with its counts as text."""
    counts = rle["counts"]
    return {
        "size": list(map(int, rle["size"])),
        "counts": counts if isinstance(counts, str) else counts.decode("ascii"),
    }


def _write(path: Path, classes: Sequence[str], sizes: Sizes, annotations: Iterable[dict]) -> None:
    images = (
        {"id": number, "file_name": name, "width": int(width), "height": int(height)}
        for number, (name, (height, width)) in enumerate(sizes.items(), 1)
    )
    categories = ({"id": number, "name": label, "supercategory": ""} for number, label in enumerate(classes, 1))
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "Found by torchbas from image tags"}, "licenses": []')
        for key, rows in (("categories", categories), ("images", images), ("annotations", annotations)):
            file.write(f',\n"{key}": [')
            _write_rows(file, rows)
            file.write("]")
        file.write("}\n")


def _write_rows(file: TextIO, rows: Iterable[dict]) -> None:
    """One row a line, in constant memory."""
    for number, row in enumerate(rows):
        file.write(("," if number else "") + "\n" + json.dumps(row))
