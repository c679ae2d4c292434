"""Ground truth of samples as arrays: masks and boxes, for evaluation only."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from ..errors import InputError
from ..structures import IGNORE_INDEX, Box, Sample
from .images import mask_content, open_label_map, open_mask


def read_mask(path: Path) -> UInt8[np.ndarray, "H W"]:
    """The numbers of a palette or 8-bit gray PNG: object numbers, class numbers or gray values, unchanged.

    Raises:
        InputError: any other kind of file.
    """
    return np.array(open_mask(path), np.uint8)


def label_map(sample: Sample) -> UInt8[np.ndarray, "H W"]:
    """The true class of every pixel: 0 background, n class n - 1, ``IGNORE_INDEX`` not scored.

    Raises:
        InputError: the photo has no true mask, or one that cannot be read or is not of its size.
    """
    return np.array(open_label_map(sample), np.uint8)


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

    gray = cv2.imdecode(np.frombuffer(mask_content(path), np.uint8), cv2.IMREAD_GRAYSCALE)
    if gray is None:
        raise InputError(f"{path} cannot be read as a mask (it is damaged). Copy it again.")
    return gray
