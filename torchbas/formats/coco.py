"""Boxes and masks in the annotation format of COCO: what most detectors train on and most editors import.

Beyond the standard fields an annotation carries ``score``, how confident the classifier is of the tag, and
``evidence_left``, the share of the tag's activation that survives hiding the object.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from pycocotools import mask as coco_mask

from ..errors import InputError
from ..types import Box, Localization
from .files import replacing
from .lists import Sizes, check
from .polygons import polygons


class Scored(NamedTuple):
    """One box of a file, as metrics want it."""

    label: str
    xyxy: Box
    """``(x0, y0, x1, y1)`` in pixels, the end exclusive."""
    score: float
    """Confidence in [0, 1]; 1 where the file has none, as in hand-made annotations."""


class Found(NamedTuple):
    """One object with a mask, whatever has found it."""

    name: str
    """Of its photo."""
    label: str
    rle: dict[str, Any]
    """Run lengths as COCO has them, ``counts`` as bytes or words."""
    score: float


def write_boxes(found: Sequence[Localization], classes: Sequence[str], images: Sizes, path: Path) -> None:
    """Write one annotation with an empty segmentation per object.

    ``images`` names every photo that was looked at, with its height and width in pixels: a photo without any finding
    is listed too. Category ids count from 1 in the order of ``classes``.
    Raises :class:`InputError` for a tag outside ``classes``, a photo outside ``images``, a disk that is full.
    """
    _write(path, classes, images, _annotations(found, classes, images))


def write_masks(
    found: Sequence[Localization],
    classes: Sequence[str],
    images: Sizes,
    path: Path,
    *,
    outlines: bool = False,
) -> None:
    """Write the same annotations as :func:`write_boxes` with masks: exact run lengths, or ``outlines`` to edit."""

    def annotations() -> Iterator[dict]:
        for one, annotation in zip(found, _annotations(found, classes, images), strict=True):
            rle: Any = one.rle
            annotation["area"] = float(coco_mask.area(rle))
            annotation["segmentation"] = polygons(one.mask) if outlines else _in_words(rle)
            yield annotation

    _write(path, classes, images, annotations())


def write_objects(found: Iterable[Found], classes: Sequence[str], images: Sizes, path: Path) -> None:
    """Write the mask, its box and ``score`` of each object; memory does not grow with their number.

    Raises :class:`InputError` for a disk that is full.
    """
    categories = {label: number for number, label in enumerate(classes, 1)}
    photos = {name: number for number, name in enumerate(images, 1)}

    def annotations() -> Iterator[dict]:
        for number, one in enumerate(found, 1):
            rle: Any = one.rle
            yield {
                "id": number,
                "image_id": photos[one.name],
                "category_id": categories[one.label],
                "bbox": coco_mask.toBbox(rle).tolist(),
                "area": float(coco_mask.area(rle)),
                "iscrowd": 0,
                "segmentation": _in_words(rle),
                "score": float(one.score),
            }

    _write(path, classes, images, annotations())


def read_boxes(path: Path) -> dict[str, list[Scored]]:
    """The boxes of a COCO file for every photo it lists, by file name; crowd regions are left out.

    Raises :class:`InputError` when the file is missing or is no such annotation file.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        labels = {category["id"]: category["name"] for category in content["categories"]}
        names = {image["id"]: image["file_name"] for image in content["images"]}
        boxes: dict[str, list[Scored]] = {name: [] for name in names.values()}
        for one in content["annotations"]:
            if not one.get("iscrowd"):
                x, y, width, height = map(float, one["bbox"])
                scored = Scored(labels[one["category_id"]], (x, y, x + width, y + height), float(one.get("score", 1)))
                boxes[names[one["image_id"]]].append(scored)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Check the path.") from error
    except (ValueError, KeyError, TypeError) as error:
        expected = "a JSON object with images, categories and annotations that have a bbox"
        raise InputError(f"{path} is no COCO annotation file ({error!r}): it should hold {expected}.") from error
    return boxes


def _annotations(found: Sequence[Localization], classes: Sequence[str], images: Sizes) -> Iterator[dict]:
    check(found, classes, images)
    categories = {label: number for number, label in enumerate(classes, 1)}
    photos = {name: number for number, name in enumerate(images, 1)}
    for number, one in enumerate(found, 1):
        x0, y0, x1, y1 = map(float, one.xyxy)
        yield {
            "id": number,
            "image_id": photos[one.name],
            "category_id": categories[one.label],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
            "segmentation": [],
            "score": float(one.confidence),
            "evidence_left": float(one.evidence_left),
        }


def _in_words(rle: dict[str, Any]) -> dict[str, Any]:
    counts = rle["counts"]
    return {
        "size": list(map(int, rle["size"])),
        "counts": counts if isinstance(counts, str) else counts.decode("ascii"),
    }


def _write(path: Path, classes: Sequence[str], images: Sizes, annotations: Iterable[dict]) -> None:
    photos = (
        {"id": number, "file_name": name, "width": int(width), "height": int(height)}
        for number, (name, (height, width)) in enumerate(images.items(), 1)
    )
    categories = ({"id": number, "name": label, "supercategory": ""} for number, label in enumerate(classes, 1))
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "Found by torchbas from image tags"}, "licenses": []')
        for key, rows in (("categories", categories), ("images", photos), ("annotations", annotations)):
            file.write(f',\n"{key}": [')
            _write_rows(file, rows)
            file.write("]")
        file.write("}\n")


def _write_rows(file: TextIO, rows: Iterable[dict]) -> None:
    """One row a line, as they come: a million masks need no more memory than one."""
    for number, row in enumerate(rows):
        file.write(("," if number else "") + "\n" + json.dumps(row))
