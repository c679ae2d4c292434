"""Scores of seeds and masks against ground-truth masks: mIoU by class, background included, 255 left out."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from ..data import label_map, read_mask
from ..data.images import require_same_size
from ..errors import InputError
from ..evaluation.metrics.semantic import ConfusionMatrix, ThresholdSweep
from ..structures import IGNORE_INDEX, Dataset, Sample
from .irn.labels import local_labels
from .refine import class_labels
from .seeds.files import Seed
from .seeds.multi_scale import full_size
from .seeds.thresholds import align_thresholds

SWEPT = tuple(float(t) for t in np.arange(1, 100) / 100)
"""Thresholds of the sweep."""
Report = dict[str, Any]
"""``miou`` and ``iou`` by class in percent, ``photos``; of seeds also ``threshold`` and the ``curve``."""


def seed_score(
    dataset: Dataset, seed_of: Callable[[Sample], Seed], thresholds: Iterable[float] = SWEPT
) -> Report | None:
    """Seeds at the best threshold for the whole set, which ground truth alone can tell (an oracle, as the paper's).

    None where no sample has a ground-truth mask.
    """
    sweep = ThresholdSweep(len(dataset.classes), tuple(thresholds))
    annotated = _annotated(dataset)
    for sample in annotated:
        ground_truth = ground_truth_labels(sample, len(dataset.classes))
        sweep.add(at_size(seed_of(sample), ground_truth.shape), sample.labels, ground_truth)
    if not annotated:
        return None
    best, _ = sweep.best()
    curve = [round(float(value), 3) for value in sweep.miou()]
    chosen = {"threshold": float(np.asarray(sweep.thresholds)[best]), "chosen": "oracle", "curve": curve}
    return _report(sweep.confusion(best), dataset, len(annotated)) | chosen


def image_threshold_score(
    dataset: Dataset, seed_of: Callable[[Sample], Seed], thresholds: Callable[[Sample], Mapping[str, float]]
) -> Report | None:
    """Seeds binarized at the thresholds of their sample and tag."""
    confusion = ConfusionMatrix(len(dataset.classes))
    annotated = _annotated(dataset)
    for sample in annotated:
        ground_truth = ground_truth_labels(sample, len(dataset.classes))
        seed = seed_of(sample)
        chosen = thresholds(sample)
        maps = align_thresholds(at_size(seed, ground_truth.shape), [chosen[tag] for tag in seed.tags])
        confusion.add(class_labels(local_labels(maps, 0.5), sample.labels), ground_truth)
    return _report(confusion, dataset, len(annotated)) if annotated else None


def mask_score(dataset: Dataset, path_of: Callable[[Sample], Path]) -> Report | None:
    """Label maps on disk; a 255 in them counts as background.

    Raises:
        InputError: one that is missing, is not of the ground truth's size, or holds a number that is no class.
    """
    classes = len(dataset.classes)
    confusion = ConfusionMatrix(classes)
    annotated = _annotated(dataset)
    for sample in annotated:
        mask, path = sample.mask or Path(), path_of(sample)
        ground_truth, labels = _checked(read_mask(mask), mask, classes), _checked(read_mask(path), path, classes)
        require_same_size(path, labels.shape, mask, ground_truth.shape)
        confusion.add(labels, ground_truth)
    return _report(confusion, dataset, len(annotated)) if annotated else None


def ground_truth_labels(sample: Sample, classes: int) -> UInt8[np.ndarray, "H W"]:
    """The ground-truth class of every pixel.

    Raises:
        InputError: there is no such mask, it is not of the photo's size, or holds a number that is no class.
    """
    return _checked(label_map(sample), sample.mask, classes)


def check_ground_truth(dataset: Dataset) -> None:
    """Read every ground-truth mask once, before hours are spent on what it is to score.

    Raises:
        InputError: as :func:`ground_truth_labels`.
    """
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(partial(ground_truth_labels, classes=len(dataset.classes)), _annotated(dataset)):
            pass


def _checked(labels: UInt8[np.ndarray, "H W"], path: Path | None, classes: int) -> UInt8[np.ndarray, "H W"]:
    highest = int(labels.max(where=labels != IGNORE_INDEX, initial=0))
    if highest > classes:
        raise InputError(
            f"{path} holds the label {highest}, but there are {classes} classes: 0 is background, 1 to {classes} are "
            f"they, {IGNORE_INDEX} is not scored. Correct it, or leave it out."
        )
    return labels


def _annotated(dataset: Dataset) -> list[Sample]:
    return [sample for sample in dataset.samples if sample.mask]


def at_size(seed: Seed, size: tuple[int, ...]) -> Float32[np.ndarray, "N H W"]:
    """A seed's maps in pixels of a ground-truth mask, bilinear."""
    maps = full_size(seed.maps, seed.size)
    if maps.shape[1:] == size:
        return maps
    height, width = size
    large = [cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in maps]
    return np.stack(large) if large else np.zeros((0, height, width), np.float32)


def _report(confusion: ConfusionMatrix, dataset: Dataset, samples: int) -> Report:
    names = ("background", *dataset.classes)
    iou = {name: round(float(value), 3) for name, value in zip(names, confusion.iou(), strict=True)}
    present = {name: value for name, value in iou.items() if value == value}
    return {"miou": round(confusion.miou(), 3), "iou": present, "photos": samples}
