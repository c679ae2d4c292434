"""Label maps of COCO, painted from the outlines in its annotations."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from pycocotools import mask as coco

from ...errors import InputError
from ...inputs import number
from ...structures import IGNORE_INDEX, Sample
from .coco import Annotations, annotations_in, class_numbers
from .reading import folder_name
from .records import size_of


def paint(
    folder: str | os.PathLike[str], samples: Iterable[Sample]
) -> Iterator[tuple[Sample, UInt8[np.ndarray, "H W"]]]:
    """True label maps (0 background, n class n - 1) of photos that ``read_coco`` read in ``folder``, one by one.

    Objects are painted in the order of the file, each one over those before; crowds are not painted, and no pixel is
    ignored. A file of annotations is read at the first of its photos (up to 3 GB of memory for train2014).

    Raises:
        InputError: a photo that the annotations do not list, or an outline that pycocotools cannot fill.
    """
    folder, wanted = Path(folder), defaultdict(list)
    for sample in samples:
        wanted[sample.split].append(sample)
    for annotations in annotations_in(folder):
        if annotations.split in wanted:
            yield from _paint(annotations, wanted.pop(annotations.split))
    for sample in (sample for rest in wanted.values() for sample in rest):
        raise InputError(
            f"{folder_name(folder)} holds no annotations of {sample.name}. Give the folder it was read from."
        )


def _paint(annotations: Annotations, samples: list[Sample]) -> Iterator[tuple[Sample, UInt8[np.ndarray, "H W"]]]:
    content = annotations.load(outlines=True)
    try:
        _, label_of = class_numbers(content)
        images = {image["file_name"]: image for image in content["images"]}
        objects = defaultdict(list)
        for one in content.pop("annotations"):
            if not one.get("iscrowd"):
                objects[one["image_id"]].append(one)
        if len(label_of) >= IGNORE_INDEX:
            raise ValueError(f"a label map holds {IGNORE_INDEX - 1} classes, but there are {len(label_of)}")
        for sample in samples:
            image = images.get(sample.path.name)
            if image is None:
                raise InputError(f"{annotations.file} does not list {sample.path.name}. Copy it again.")
            labels = np.zeros(size_of(image["height"], image["width"]), np.uint8)
            for one in objects[image["id"]]:
                labels[_mask(one, annotations, *labels.shape)] = label_of[one["category_id"]] + 1
            yield sample, labels
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise annotations.broken(error) from error


def _mask(one: dict[str, Any], annotations: Annotations, height: int, width: int) -> Bool[np.ndarray, "H W"]:
    try:
        return filled(one["segmentation"], height, width)
    except (ValueError, KeyError) as error:
        raise InputError(f"{annotations.file}: object {one.get('id')} has no outline that can be filled.") from error


def filled(segmentation: Any, height: int, width: int) -> Bool[np.ndarray, "H W"]:
    """The mask of an annotation's ``segmentation``: polygons, or run lengths as numbers or as COCO's text.

    Raises ``ValueError`` for anything else.
    """
    try:
        if isinstance(segmentation, list):
            outline: Any = [_within(polygon, height, width) for polygon in segmentation]
            return coco.decode(coco.merge(coco.frPyObjects(outline, height, width))).astype(bool)
        counts = segmentation["counts"]
        runs = _unpacked(counts) if isinstance(counts, str) else list(map(int, counts))
        if list(segmentation["size"]) != [height, width] or min(runs) < 0 or sum(runs) != height * width:
            raise ValueError("its run lengths are of another size")
        return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
    except Exception as error:  # pycocotools answers broken outlines with nearly every kind of exception
        raise ValueError("an outline cannot be filled") from error


def _unpacked(text: str) -> list[int]:
    """Run lengths of COCO's text: five bits a character, lowest first; from the fourth on less the one before last.

    pycocotools reads past the end of a text that breaks off, and leaves what a short one says nothing of to chance.
    """
    runs: list[int] = []
    value = shift = 0
    for code in (ord(character) - 48 for character in text):
        if not 0 <= code < 64 or shift > 30:
            raise ValueError(text[:20])
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) << (shift - 4)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("the run lengths break off")
    return runs


def _within(polygon: list[Any], height: int, width: int) -> list[float]:
    """A polygon that stays near the photo: pycocotools walks along every pixel of its edges, however far they lead."""
    points = list(map(number, polygon))
    if not all(-width <= x <= 2 * width for x in points[::2]) or not all(
        -height <= y <= 2 * height for y in points[1::2]
    ):
        raise ValueError(polygon)
    return points
