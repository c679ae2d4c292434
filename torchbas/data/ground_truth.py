"""Ground truth of samples: boxes and masks, for evaluation only."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from ..errors import InputError
from ..structures import IGNORE_INDEX, Box, Dataset, Problem, Sample
from .images import image_size


class GroundTruth(NamedTuple):
    """Ground truth of one photo: the last fields of a :class:`~torchbas.structures.Sample`, in their order."""

    boxes: tuple[Box, ...] = ()
    mask: Path | None = None
    instances: tuple[Path, ...] = ()
    ignore: Path | None = None
    size: tuple[int, int] | None = None


def read_ground_truth(file: Path) -> dict[str, GroundTruth]:
    """Ground truth of a folder of tags, a CSV or a JSON, by photo: the content of ``truth.json`` beside them.

    ``{"cat/1.jpg": {"boxes": [[x0, y0, x1, y1]], "mask": "masks/1.png"}}``, boxes in pixels of the original photo with
    exclusive ends; both entries are optional, paths are relative to the file. In a mask 0 is background; for semantic
    metrics n is class n - 1 and 255 is ignored. Empty where the file is absent.

    Raises:
        InputError: a file of another form.
    """
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        return {name: _ground_truth(entry, file.parent) for name, entry in content.items()}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        example = '{"cat/1.jpg": {"boxes": [[x0, y0, x1, y1]], "mask": "masks/1.png"}}'
        raise InputError(f"{file} is not understood ({error}). It must look like {example}.") from error


def with_ground_truth(dataset: Dataset, ground_truth: Mapping[str, GroundTruth], folder: Path) -> Dataset:
    """The dataset with boxes and masks; names in ``ground_truth`` are relative to ``folder``."""
    if not ground_truth:
        return dataset
    by_path = {_normalized(folder / name): (name, entry) for name, entry in ground_truth.items()}
    samples = []
    for sample in dataset.samples:
        _, entry = by_path.pop(_normalized(sample.path), ("", GroundTruth(sample.boxes, sample.mask)))
        samples.append(replace(sample, boxes=entry.boxes, mask=entry.mask))
    unmatched = (Problem(name, "truth.json knows this photo, but it is not there.") for name, _ in by_path.values())
    return replace(dataset, samples=tuple(samples), problems=(*dataset.problems, *unmatched))


def read_mask(path: Path) -> UInt8[np.ndarray, "H W"]:
    """The numbers of a palette or 8-bit gray PNG: object numbers, class numbers or gray values, unchanged.

    Raises:
        InputError: any other kind of file.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P", "1"):
                raise InputError(f"{path} is no mask but {image.mode}. Save it as a palette or 8-bit gray PNG.")
            return np.array(image, np.uint8)
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders answer damaged bytes with nearly every kind of exception
        raise InputError(f"{path} cannot be read as a mask ({error}). Copy it again.") from error


def label_map(sample: Sample) -> UInt8[np.ndarray, "H W"]:
    """The true class of every pixel: 0 background, n class n - 1, ``IGNORE_INDEX`` not scored.

    Raises:
        InputError: the photo has no true mask, or one that cannot be read or is not of its size.
    """
    if sample.mask is None:
        raise InputError(f"{sample.name} has no true mask. Leave it out, or list one.")
    labels = read_mask(sample.mask)
    require_same_size(sample.mask, labels.shape, sample.path, sample.size or image_size(sample.path))
    return labels


def require_same_size(mask: Path, size: tuple[int, ...], photo: Path, expected: tuple[int, ...]) -> None:
    """Raises :class:`InputError` where a mask's height and width are not its photo's."""
    if size != expected:
        (high, wide), (height, width) = size, expected
        raise InputError(f"{mask} is {wide} x {high} pixels, but {photo} is {width} x {height}. Make both the same.")


def boxes_after_crop(
    boxes: Iterable[Box], size: tuple[int, int], resize: int = 256, crop: int = 224
) -> Int64[np.ndarray, "N 4"]:
    """True boxes in the coordinates of the authors' test crop, rounded by their protocol.

    Scaled with the photo (``size``: height, width) to ``resize``, moved by the crop's margin, clipped to
    [0, ``crop`` - 1] and truncated. A box outside the crop comes back empty, with its ends swapped or equal.
    """
    height, width = size
    scale = resize / np.array([width, height, width, height])
    margin = round((resize - crop) / 2)
    moved = np.array(list(boxes), np.float64).reshape(-1, 4) * scale - margin
    return moved.clip(0, crop - 1).astype(np.int64)


def boxes_on_grid(boxes: Iterable[Box], size: tuple[int, int], grid: int = 224) -> Int64[np.ndarray, "N 4"]:
    """True boxes in the coordinates of a photo resized to ``grid`` x ``grid``, rounded by wsolevaluation's protocol.

    Each coordinate times ``grid``, divided by the photo's (``size``: height, width), truncated towards 0; nothing is
    clipped.
    """
    height, width = size
    scaled = np.array(list(boxes), np.float64).reshape(-1, 4) * grid / np.array([width, height, width, height])
    return scaled.astype(np.int64)


def foreground(sample: Sample, size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    """The true mask of a photo at ``size`` (height, width): 1 object, 0 background, ``IGNORE_INDEX`` not scored.

    The object is the union of the instances, or the pixels of :attr:`Sample.mask` that are not 0; outside it lies the
    ignored region. Each file is resized to the nearest pixel, as in wsolevaluation and the authors' code.

    Raises:
        InputError: the photo has no true mask, or a file cannot be read.
    """
    masks = [_gray(path) for path in sample.instances] or ([read_mask(sample.mask)] if sample.mask else [])
    if not masks:
        raise InputError(f"{sample.name} has no true mask. Leave it out, or list one.")
    ground_truth = np.zeros(size, np.uint8)
    for mask in masks:
        ground_truth |= _nearest(mask, size)
    if sample.ignore:
        ground_truth[_nearest(_gray(sample.ignore), size) > ground_truth] = IGNORE_INDEX
    return ground_truth


def _nearest(mask: UInt8[np.ndarray, "_ _"], size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    """The mask at ``size``, 1 where it is not 0."""
    import cv2

    return (cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST) != 0).astype(np.uint8)


def _gray(path: Path) -> UInt8[np.ndarray, "H W"]:
    import cv2  # and not Pillow: the reference evaluators convert color masks to gray with it

    try:
        content = np.fromfile(path, np.uint8)
        gray = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
    except (OSError, cv2.error) as error:
        raise InputError(f"{path} cannot be read as a mask ({error}). Copy it again.") from error
    if gray is None:
        raise InputError(f"{path} cannot be read as a mask (it is damaged or no image). Copy it again.")
    return gray


def _ground_truth(entry: dict[str, Any], folder: Path) -> GroundTruth:
    boxes = tuple((float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in entry.get("boxes", ()))
    return GroundTruth(boxes, folder / entry["mask"] if entry.get("mask") else None)


def _normalized(path: Path) -> str:
    return os.path.normpath(path.absolute())
