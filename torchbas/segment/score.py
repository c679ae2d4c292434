"""How good seeds and masks are, where there is truth: mIoU by class, 255 ignored, background included."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from ..data import label_map, read_mask
from ..data.truth import refuse_other_size
from ..errors import InputError
from ..formats.seeds import Seed
from ..metrics.semantic import IGNORED, Confusion, ThresholdSweep
from ..types import Collection, Photo
from .confident import local_labels
from .refine import numbered, recut
from .seed import full_size

SWEPT = tuple(float(t) for t in np.arange(1, 100) / 100)
"""Thresholds at which seeds are judged."""
Report = dict[str, Any]
"""``miou`` and ``iou`` by class in percent, ``photos``; of seeds also ``threshold`` and the ``curve``."""


def seed_score(
    collection: Collection, seed_of: Callable[[Photo], Seed], thresholds: Iterable[float] = SWEPT
) -> Report | None:
    """Seeds at the best of all thresholds for the whole set, which only the truth can tell (an oracle, as the paper's).

    None where no photo has a true mask.
    """
    sweep = ThresholdSweep(len(collection.classes), tuple(thresholds))
    judged = _judgeable(collection)
    for photo in judged:
        truth = true_labels(photo, len(collection.classes))
        sweep.add(at_size(seed_of(photo), truth.shape), photo.labels, truth)
    if not judged:
        return None
    best, _ = sweep.best()
    curve = [round(float(value), 3) for value in sweep.miou()]
    chosen = {"threshold": float(np.asarray(sweep.thresholds)[best]), "chosen": "oracle", "curve": curve}
    return _report(sweep.confusion(best), collection, len(judged)) | chosen


def image_threshold_score(
    collection: Collection, seed_of: Callable[[Photo], Seed], thresholds: Callable[[Photo], Mapping[str, float]]
) -> Report | None:
    """Seeds, each map cut at its own threshold."""
    confusion = Confusion(len(collection.classes))
    judged = _judgeable(collection)
    for photo in judged:
        truth = true_labels(photo, len(collection.classes))
        seed = seed_of(photo)
        chosen = thresholds(photo)
        own = [chosen[tag] for tag in seed.tags]
        local = local_labels(recut(at_size(seed, truth.shape), own), 0.5)
        confusion.add(numbered(local, photo.labels), truth)
    return _report(confusion, collection, len(judged)) if judged else None


def mask_score(collection: Collection, path_of: Callable[[Photo], Path]) -> Report | None:
    """Label maps on disk; a 255 in them counts as background.

    Raises:
        InputError: one that is missing, is not of its truth's size, or holds a number that is no class.
    """
    classes = len(collection.classes)
    confusion = Confusion(classes)
    judged = _judgeable(collection)
    for photo in judged:
        mask, path = photo.mask or Path(), path_of(photo)
        truth, labels = _known(read_mask(mask), mask, classes), _known(read_mask(path), path, classes)
        refuse_other_size(path, labels.shape, mask, truth.shape)
        confusion.add(labels, truth)
    return _report(confusion, collection, len(judged)) if judged else None


def true_labels(photo: Photo, classes: int) -> UInt8[np.ndarray, "H W"]:
    """The true class of every pixel.

    Raises:
        InputError: there is no such mask, it is not of the photo's size, or holds a number that is no class.
    """
    return _known(label_map(photo), photo.mask, classes)


def check_truth(collection: Collection) -> None:
    """Read every true mask once, before hours are spent on what it is to judge.

    Raises:
        InputError: as :func:`true_labels`.
    """
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(partial(true_labels, classes=len(collection.classes)), _judgeable(collection)):
            pass


def _known(labels: UInt8[np.ndarray, "H W"], path: Path | None, classes: int) -> UInt8[np.ndarray, "H W"]:
    highest = int(labels.max(where=labels != IGNORED, initial=0))
    if highest > classes:
        raise InputError(
            f"{path} holds the label {highest}, but there are {classes} classes: 0 is background, 1 to {classes} are "
            f"they, {IGNORED} is judged by nobody. Correct it, or leave it out."
        )
    return labels


def _judgeable(collection: Collection) -> list[Photo]:
    return [photo for photo in collection.photos if photo.mask]


def at_size(seed: Seed, size: tuple[int, ...]) -> Float32[np.ndarray, "N H W"]:
    """Maps in pixels of the truth, bilinear."""
    maps = full_size(seed.maps, seed.size)
    if maps.shape[1:] == size:
        return maps
    height, width = size
    large = [cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in maps]
    return np.stack(large) if large else np.zeros((0, height, width), np.float32)


def _report(confusion: Confusion, collection: Collection, photos: int) -> Report:
    names = ("background", *collection.classes)
    iou = {name: round(float(value), 3) for name, value in zip(names, confusion.iou(), strict=True)}
    present = {name: value for name, value in iou.items() if value == value}
    return {"miou": round(confusion.miou(), 3), "iou": present, "photos": photos}
