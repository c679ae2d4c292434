"""Mean IoU of label maps, and of seeds at every background threshold in one pass.

Label maps are uint8: 0 background, n the n-th class, in the truth 255 what nobody judges. Pixels are counted over the
whole data set, never averaged by photo, and IoUs are percent of 1 + K classes, background first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, no_type_check

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8
from numba import njit

IGNORED = 255


@dataclass
class Confusion:
    """How often each class was taken for which. Parts of a data set are added with ``+``."""

    num_classes: int
    """K, without the background."""
    unsure: Literal["background", "left out"] = "background"
    """What a predicted 255 is: background, as in IRN's evaluation of masks, or a pixel that does not count."""
    counts: Int64[np.ndarray, "classes classes"] = field(init=False)
    """Pixels by true and by predicted class."""

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.num_classes + 1,) * 2, np.int64)

    def add(self, predicted: UInt8[np.ndarray, "..."], truth: UInt8[np.ndarray, "..."]) -> None:
        """Count one label map.

        Raises:
            ValueError: the two differ in size, or hold a number that is no class.
        """
        _check(truth, predicted.shape, self.num_classes)
        _check(predicted, truth.shape, self.num_classes)
        pairs = np.zeros((256, 256), np.int64)
        _count_pairs(truth.ravel(), predicted.ravel(), pairs)
        classes = self.num_classes + 1
        self.counts += pairs[:classes, :classes]
        if self.unsure == "background":
            self.counts[:, 0] += pairs[:classes, IGNORED]

    def __add__(self, other: "Confusion") -> "Confusion":
        total = Confusion(self.num_classes, self.unsure)
        total.counts = self.counts + other.counts
        return total

    def iou(self) -> Float64[np.ndarray, " classes"]:
        """IoU of each class; NaN where it is neither in the truth nor predicted."""
        return _iou(self.counts)

    def miou(self) -> float:
        """The mean of the IoUs, background included, without classes that are NaN; NaN where all are."""
        return float(_mean(self.iou()))


@dataclass
class ThresholdSweep:
    """Seeds as predictions at every threshold t: the class of the highest map, or background where none is above t.

    What is highest does not depend on t: one pass counts by how many thresholds it clears. The counts are those of
    ``argmax([t, *maps])`` in the maps' float32, to the last pixel. Parts of a data set are added with ``+``.
    """

    num_classes: int
    """K, without the background."""
    thresholds: Sequence[float] | Float64[np.ndarray, " T"]
    """Ascending."""
    counts: Int64[np.ndarray, "classes classes cleared"] = field(init=False)
    """Pixels by true class, class of the highest map and number of thresholds below it."""

    def __post_init__(self) -> None:
        self.thresholds = np.asarray(self.thresholds, np.float64)
        if not (self.thresholds[1:] >= self.thresholds[:-1]).all() or np.isnan(self.thresholds).any():
            raise ValueError("the thresholds must be ascending numbers.")
        self.counts = np.zeros((self.num_classes + 1, self.num_classes + 1, len(self.thresholds) + 1), np.int64)

    def add(self, maps: Float32[np.ndarray, "N H W"], labels: Sequence[int], truth: UInt8[np.ndarray, "..."]) -> None:
        """Count one photo: a map for each of its labels, numbers of classes from 0 on, at the truth's size.

        Of equal maps the first wins. A photo without labels is all background.

        Raises:
            ValueError: maps and labels differ in number, maps and truth in size; a number that is no class; NaN.
        """
        _check(truth, maps.shape[1:], self.num_classes)
        if len(labels) != len(maps) or not all(0 <= label < self.num_classes for label in labels):
            raise ValueError(f"{len(maps)} maps need as many labels from 0 to {self.num_classes - 1}, not {labels}.")
        if np.isnan(maps.max(initial=0)):
            raise ValueError("a map holds NaN.")
        columns = np.array(labels, np.int64) + 1
        _count_cleared(maps, columns, truth, np.asarray(self.thresholds, np.float32), self.counts)

    def __add__(self, other: "ThresholdSweep") -> "ThresholdSweep":
        if not np.array_equal(self.thresholds, other.thresholds):
            raise ValueError("sweeps of different thresholds cannot be added.")
        total = ThresholdSweep(self.num_classes, self.thresholds)
        total.counts = self.counts + other.counts
        return total

    def confusion(self, position: int) -> Confusion:
        """The confusion at one of the thresholds."""
        total = Confusion(self.num_classes)
        total.counts = self._confusions()[position]
        return total

    def miou(self) -> Float64[np.ndarray, " T"]:
        """The mean IoU at each threshold, as :meth:`Confusion.miou`."""
        return _mean(_iou(self._confusions()))

    def best(self) -> tuple[int, float]:
        """Position of the threshold with the highest mean IoU, the lowest of equals, and that mean."""
        miou = self.miou()
        position = int(np.nan_to_num(miou).argmax())
        return position, float(miou[position])

    def _confusions(self) -> Int64[np.ndarray, "T classes classes"]:
        above = self.counts[..., :0:-1].cumsum(axis=2)[..., ::-1]  # [:, :, j]: pixels that clear threshold j
        confusions = np.moveaxis(above, 2, 0).copy()
        confusions[..., 0] += self.counts.sum(axis=(1, 2)) - confusions.sum(axis=2)
        return confusions


def _check(labels: UInt8[np.ndarray, "..."], shape: tuple[int, ...], num_classes: int) -> None:
    if labels.shape != shape:
        raise ValueError(f"the truth and what is judged by it differ in size: {labels.shape} and {shape}.")
    strange = labels[(labels > num_classes) & (labels != IGNORED)]
    if strange.size:
        raise ValueError(f"a label map holds {strange[0]}, but there are {num_classes} classes.")


def _iou(counts: Int64[np.ndarray, "*T classes classes"]) -> Float64[np.ndarray, "*T classes"]:
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    union = counts.sum(axis=-1) + counts.sum(axis=-2) - hits
    return np.divide(100 * hits, union, out=np.full(hits.shape, np.nan), where=union > 0)


def _mean(iou: Float64[np.ndarray, "*T classes"]) -> Float64[np.ndarray, "*T"]:
    known = ~np.isnan(iou)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, iou, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)


@njit(cache=True, nogil=True)
@no_type_check  # compiled
def _count_pairs(truth, predicted, pairs):
    for i in range(len(truth)):
        pairs[truth[i], predicted[i]] += 1


@njit(cache=True, nogil=True)
@no_type_check
def _count_cleared(maps, columns, truth, thresholds, counts):
    rows, height, width = maps.shape
    steps = 256  # scaling by a power of two is exact, so a step's first threshold never lies above its values
    start = np.searchsorted(thresholds, (np.arange(steps + 1) / steps).astype(np.float32))
    start[0] = 0
    for y in range(height):
        for x in range(width):
            kind = truth[y, x]
            if kind == IGNORED:
                continue
            best, column, cleared = np.float32(-np.inf), 0, 0
            for row in range(rows):
                if maps[row, y, x] > best:
                    best, column = maps[row, y, x], columns[row]
            if rows:
                cleared = start[int(min(max(best, 0.0), 1.0) * steps)]
                while cleared < len(thresholds) and thresholds[cleared] < best:
                    cleared += 1
            counts[kind, column, cleared] += 1
