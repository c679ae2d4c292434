"""What is truly in a photo: boxes and masks, for evaluation only."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from ..errors import InputError
from ..types import Box, Collection, Photo, Problem
from .images import image_size


class Truth(NamedTuple):
    """What is known of one photo: the last fields of a :class:`~torchbas.types.Photo`, in its order."""

    boxes: tuple[Box, ...] = ()
    mask: Path | None = None
    instances: tuple[Path, ...] = ()
    ignore: Path | None = None
    size: tuple[int, int] | None = None


def read_truth(file: Path) -> dict[str, Truth]:
    """Truth for a folder of tags, a CSV or a JSON: a file ``truth.json`` beside the folders or the list.

    ``{"cat/1.jpg": {"boxes": [[x0, y0, x1, y1]], "mask": "masks/1.png"}}``, boxes in pixels of the original photo with
    exclusive ends; both entries are optional, paths are relative to the file. In a mask 0 is ground; semantic metrics
    read n as class n - 1 and ignore 255. Nothing where the file is absent.
    """
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        return {name: _truth(entry, file.parent) for name, entry in content.items()}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        example = '{"cat/1.jpg": {"boxes": [[x0, y0, x1, y1]], "mask": "masks/1.png"}}'
        raise InputError(f"{file} is not understood ({error}). It must look like {example}.") from error


def with_truth(collection: Collection, truth: Mapping[str, Truth], folder: Path) -> Collection:
    """The collection with boxes and masks; names in ``truth`` are relative to ``folder``."""
    if not truth:
        return collection
    by_path = {_plain(folder / name): (name, entry) for name, entry in truth.items()}
    photos = []
    for photo in collection.photos:
        _, entry = by_path.pop(_plain(photo.path), ("", Truth(photo.boxes, photo.mask)))
        photos.append(replace(photo, boxes=entry.boxes, mask=entry.mask))
    strangers = (Problem(name, "truth.json knows this photo, but it is not there.") for name, _ in by_path.values())
    return replace(collection, photos=tuple(photos), problems=(*collection.problems, *strangers))


def read_mask(path: Path) -> UInt8[np.ndarray, "H W"]:
    """The numbers of a palette or 8-bit grey PNG: object numbers, class numbers or grey values, as they were written.

    Raises :class:`InputError` for any other kind of file.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P", "1"):
                raise InputError(f"{path} is no mask but {image.mode}. Save it as a palette or 8-bit grey PNG.")
            return np.array(image, np.uint8)
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders answer damaged bytes with nearly every kind of exception
        raise InputError(f"{path} cannot be read as a mask ({error}). Copy it again.") from error


def label_map(photo: Photo) -> UInt8[np.ndarray, "H W"]:
    """The true class of every pixel: 0 background, n class n - 1, 255 judged by nobody.

    Raises:
        InputError: the photo has no true mask, or one that cannot be read or is not of its size.
    """
    if photo.mask is None:
        raise InputError(f"{photo.name} has no true mask. Leave it out, or list one.")
    labels = read_mask(photo.mask)
    refuse_other_size(photo.mask, labels.shape, photo.path, photo.size or image_size(photo.path))
    return labels


def refuse_other_size(mask: Path, size: tuple[int, ...], photo: Path, expected: tuple[int, ...]) -> None:
    """Raises :class:`InputError` where a mask's height and width are not its photo's."""
    if size != expected:
        (high, wide), (height, width) = size, expected
        raise InputError(f"{mask} is {wide} x {high} pixels, but {photo} is {width} x {height}. Make both the same.")


def boxes_after_crop(
    boxes: Iterable[Box], size: tuple[int, int], resize: int = 256, crop: int = 224
) -> Int64[np.ndarray, "N 4"]:
    """True boxes in the coordinates of the authors' test crop, as their protocol rounds them.

    Scaled with the photo (``size``: height, width) to ``resize``, moved by the crop's margin, clipped to
    [0, ``crop`` - 1] and truncated. A box outside the crop comes back empty, with its ends swapped or equal.
    """
    height, width = size
    scale = resize / np.array([width, height, width, height])
    margin = round((resize - crop) / 2)
    moved = np.array(list(boxes), np.float64).reshape(-1, 4) * scale - margin
    return moved.clip(0, crop - 1).astype(np.int64)


def boxes_on_grid(boxes: Iterable[Box], size: tuple[int, int], grid: int = 224) -> Int64[np.ndarray, "N 4"]:
    """True boxes in the coordinates of a photo resized to ``grid`` x ``grid``, as wsolevaluation rounds them.

    Each coordinate times ``grid``, divided by the photo's (``size``: height, width), truncated towards 0; nothing is
    clipped.
    """
    height, width = size
    scaled = np.array(list(boxes), np.float64).reshape(-1, 4) * grid / np.array([width, height, width, height])
    return scaled.astype(np.int64)


def foreground(photo: Photo, size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    """What is truly object: 1, ground: 0, and judged by nobody: 255, at ``size`` (height, width).

    The union of the instances, or what is not 0 in :attr:`Photo.mask`; outside it, the ignored region. Each file is
    resized by nearest neighbour, as wsolevaluation and the authors do.

    Raises:
        InputError: the photo has no true mask, or a file cannot be read.
    """
    masks = [_grey(path) for path in photo.instances] or ([read_mask(photo.mask)] if photo.mask else [])
    if not masks:
        raise InputError(f"{photo.name} has no true mask. Leave it out, or list one.")
    truth = np.zeros(size, np.uint8)
    for mask in masks:
        truth |= _nearest(mask, size)
    if photo.ignore:
        truth[_nearest(_grey(photo.ignore), size) > truth] = 255
    return truth


def _nearest(mask: UInt8[np.ndarray, "_ _"], size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    """1 where the mask is not 0."""
    return (cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST) != 0).astype(np.uint8)


def _grey(path: Path) -> UInt8[np.ndarray, "H W"]:
    # OpenCV, because the evaluators everybody compares with turn colour masks to grey with it.
    try:
        content = np.fromfile(path, np.uint8)
        grey = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
    except (OSError, cv2.error) as error:
        raise InputError(f"{path} cannot be read as a mask ({error}). Copy it again.") from error
    if grey is None:
        raise InputError(f"{path} cannot be read as a mask (it is damaged or no image). Copy it again.")
    return grey


def _truth(entry: dict[str, Any], folder: Path) -> Truth:
    boxes = tuple((float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in entry.get("boxes", ()))
    return Truth(boxes, folder / entry["mask"] if entry.get("mask") else None)


def _plain(path: Path) -> str:
    return os.path.normpath(path.absolute())
