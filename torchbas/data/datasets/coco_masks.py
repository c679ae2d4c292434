"""Label maps of COCO, painted from the outlines in its annotations."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from pycocotools import mask as coco

from ...errors import InputError
from ...structures import Sample
from .coco import Annotations, annotations_in, class_numbers
from .reading import folder_name


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
        _, number = class_numbers(content)
        images = {image["file_name"]: image for image in content["images"]}
        objects = defaultdict(list)
        for one in content.pop("annotations"):
            if not one.get("iscrowd"):
                objects[one["image_id"]].append(one)
    except (KeyError, TypeError, AttributeError) as error:
        raise annotations.broken(error) from error
    for sample in samples:
        image = images.get(sample.path.name)
        if image is None:
            raise InputError(f"{annotations.file} does not list {sample.path.name}. Copy it again.")
        labels = np.zeros((image["height"], image["width"]), np.uint8)
        for one in objects[image["id"]]:
            labels[_mask(one, annotations, *labels.shape)] = number[one["category_id"]] + 1
        yield sample, labels


def _mask(one: dict[str, Any], annotations: Annotations, height: int, width: int) -> Any:
    try:
        outline = one["segmentation"]
        if isinstance(outline, list):
            return coco.decode(coco.merge(coco.frPyObjects(outline, height, width))).astype(bool)
        packed = isinstance(outline["counts"], str)
        return coco.decode(outline if packed else coco.frPyObjects(outline, height, width)).astype(bool)
    except Exception as error:  # pycocotools answers broken outlines with nearly every kind of exception
        raise InputError(f"{annotations.file}: object {one.get('id')} has no outline that can be filled.") from error
