"""Mean IoU of label maps, and of seeds at every background threshold in one pass.

Label maps are uint8: 0 background, n the n-th class, 255 ignore. Pixels are counted over the whole dataset, never
averaged by image, and IoUs are percent of 1 + K classes, background first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, no_type_check

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from ...compiled import compiled
from ...structures import IGNORE_INDEX


@dataclass
class ConfusionMatrix:
    """Confusion matrix of the pixels of a dataset. Parts of a dataset are added with ``+``."""

    num_classes: int
    """K, without the background."""
    ignored: Literal["background", "left_out"] = "background"
    """Meaning of a predicted 255: background, as in IRN's evaluation of masks, or a pixel that does not count."""
    counts: Int64[np.ndarray, "classes classes"] = field(init=False)
    """Number of pixels by true class (rows) and predicted class (columns)."""

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.num_classes + 1,) * 2, np.int64)

    def add(self, predicted: UInt8[np.ndarray, "..."], ground_truth: UInt8[np.ndarray, "..."]) -> None:
        """Count one label map.

        Raises:
            ValueError: the two differ in size, or hold an unknown class.
        """
        _check(ground_truth, predicted.shape, self.num_classes)
        _check(predicted, ground_truth.shape, self.num_classes)
        pairs = np.zeros((256, 256), np.int64)
        _count_pairs(ground_truth.ravel(), predicted.ravel(), pairs)
        classes = self.num_classes + 1
        self.counts += pairs[:classes, :classes]
        if self.ignored == "background":
            self.counts[:, 0] += pairs[:classes, IGNORE_INDEX]

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        total = ConfusionMatrix(self.num_classes, self.ignored)
        total.counts = self.counts + other.counts
        return total

    def iou(self) -> Float64[np.ndarray, " classes"]:
        """IoU of each class; NaN where it is neither in the ground truth nor predicted."""
        return _iou(self.counts)

    def miou(self) -> float:
        """Mean of the IoUs, background included, over the classes that have one; NaN where none has."""
        return float(_mean(self.iou()))


@dataclass
class ThresholdSweep:
    """Confusion matrices of seeds at every threshold t.

    Predicted is the class of the highest map, or background where none exceeds t. The highest map does not depend on
    t, so one pass counts how many thresholds it exceeds. The counts are those of ``argmax([t, *maps])`` in the maps'
    float32, to the last pixel. Parts of a dataset are added with ``+``.
    """

    num_classes: int
    """K, without the background."""
    thresholds: Sequence[float] | Float64[np.ndarray, " T"]
    """Ascending."""
    counts: Int64[np.ndarray, "classes classes exceeded"] = field(init=False)
    """Number of pixels by true class, class of the highest map and number of thresholds below its value."""

    def __post_init__(self) -> None:
        self.thresholds = np.asarray(self.thresholds, np.float64)
        if not (self.thresholds[1:] >= self.thresholds[:-1]).all() or np.isnan(self.thresholds).any():
            raise ValueError("the thresholds must be ascending numbers.")
        self.counts = np.zeros((self.num_classes + 1, self.num_classes + 1, len(self.thresholds) + 1), np.int64)

    def add(
        self, maps: Float32[np.ndarray, "N H W"], labels: Sequence[int], ground_truth: UInt8[np.ndarray, "..."]
    ) -> None:
        """Count one image: a map for each of its labels, class indices from 0, at the size of the ground truth.

        Of equal maps the first wins. Without labels the prediction is all background.

        Raises:
            ValueError: maps and labels differ in number, maps and ground truth in size; an unknown class; NaN.
        """
        _check(ground_truth, maps.shape[1:], self.num_classes)
        if len(labels) != len(maps) or not all(0 <= label < self.num_classes for label in labels):
            raise ValueError(f"{len(maps)} maps need as many labels from 0 to {self.num_classes - 1}, not {labels}.")
        if np.isnan(maps.max(initial=0)):
            raise ValueError("a map holds NaN.")
        columns = np.array(labels, np.int64) + 1
        _count_exceeded(maps, columns, ground_truth, np.asarray(self.thresholds, np.float32), self.counts)

    def __add__(self, other: "ThresholdSweep") -> "ThresholdSweep":
        if not np.array_equal(self.thresholds, other.thresholds):
            raise ValueError("sweeps of different thresholds cannot be added.")
        total = ThresholdSweep(self.num_classes, self.thresholds)
        total.counts = self.counts + other.counts
        return total

    def confusion(self, index: int) -> ConfusionMatrix:
        """Confusion matrix at one of the thresholds."""
        total = ConfusionMatrix(self.num_classes)
        total.counts = self._confusions()[index]
        return total

    def miou(self) -> Float64[np.ndarray, " T"]:
        """Mean IoU at each threshold, as :meth:`ConfusionMatrix.miou`."""
        return _mean(_iou(self._confusions()))

    def best(self) -> tuple[int, float]:
        """Index of the threshold with the highest mean IoU, the lowest of equals, and that mean."""
        miou = self.miou()
        index = int(np.nan_to_num(miou).argmax())
        return index, float(miou[index])

    def _confusions(self) -> Int64[np.ndarray, "T classes classes"]:
        above = self.counts[..., :0:-1].cumsum(axis=2)[..., ::-1]  # [:, :, j]: pixels above threshold j
        confusions = np.moveaxis(above, 2, 0).copy()
        confusions[..., 0] += self.counts.sum(axis=(1, 2)) - confusions.sum(axis=2)
        return confusions


def _check(labels: UInt8[np.ndarray, "..."], shape: tuple[int, ...], num_classes: int) -> None:
    if labels.shape != shape:
        raise ValueError(f"the label map and its ground truth differ in size: {labels.shape} and {shape}.")
    unknown = labels[(labels > num_classes) & (labels != IGNORE_INDEX)]
    if unknown.size:
        raise ValueError(f"a label map holds {unknown[0]}, but there are {num_classes} classes.")


def _iou(counts: Int64[np.ndarray, "*T classes classes"]) -> Float64[np.ndarray, "*T classes"]:
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    union = counts.sum(axis=-1) + counts.sum(axis=-2) - hits
    return np.divide(100 * hits, union, out=np.full(hits.shape, np.nan), where=union > 0)


def _mean(iou: Float64[np.ndarray, "*T classes"]) -> Float64[np.ndarray, "*T"]:
    known = ~np.isnan(iou)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, iou, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)


@compiled()
@no_type_check
def _count_pairs(ground_truth, predicted, pairs):
    for i in range(len(ground_truth)):
        pairs[ground_truth[i], predicted[i]] += 1


@compiled()
@no_type_check
def _count_exceeded(maps, columns, ground_truth, thresholds, counts):
    rows, height, width = maps.shape
    steps = 256  # a power of two: scaling is exact, so ``start[i]`` never skips a threshold below a value of step i
    start = np.searchsorted(thresholds, (np.arange(steps + 1) / steps).astype(np.float32))
    start[0] = 0
    for y in range(height):
        for x in range(width):
            label = ground_truth[y, x]
            if label == IGNORE_INDEX:
                continue
            best, column, exceeded = np.float32(-np.inf), 0, 0
            for row in range(rows):
                if maps[row, y, x] > best:
                    best, column = maps[row, y, x], columns[row]
            if rows:
                exceeded = start[int(min(max(best, 0.0), 1.0) * steps)]
                while exceeded < len(thresholds) and thresholds[exceeded] < best:
                    exceeded += 1
            counts[label, column, exceeded] += 1
