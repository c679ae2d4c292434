"""Localisation accuracy at every threshold, by protocol, and what to report of it.

Two protocols, never mixed. ``authors``: foreground is above the threshold, the box that of the largest region.
``wsoleval`` (Choe et al. 2020): the map in 255 levels, foreground above ``floor(threshold * brightest level)``, boxes
of the largest contour (MaxBoxAcc) or of all of them (MaxBoxAccV2).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Int64

from .regions import component_overlap, contour_overlap

Protocol = Literal["authors", "wsoleval"]
DELTAS = (0.3, 0.5, 0.7)
"""IoUs that count as a hit: MaxBoxAccV2 averages over them, all else uses the second."""
BINS = 1000
"""Of the histogram of IoUs, hence the precision of a median."""


def threshold_grid(protocol: Protocol, interval: float | None = None) -> Float64[np.ndarray, " T"]:
    """Thresholds from 0 up to, not including, 1; a thousand for ``wsoleval``, a hundred for ``authors``.

    Raises:
        ValueError: more than 255 steps for ``authors``, whose maps are cut at the thresholds themselves.
    """
    grid = np.arange(0, 1, interval or (0.001 if protocol == "wsoleval" else 0.01))
    if protocol == "authors" and len(grid) > 255:
        raise ValueError(f"an interval of {interval} gives more than 255 thresholds; give 0.004 or more.")
    return grid


def overlaps(
    protocol: Protocol,
    heat: Float[np.ndarray, "H W"],
    truth: Int64[np.ndarray, "N 4"],
    thresholds: Float64[np.ndarray, " T"],
) -> dict[str, Float64[np.ndarray, " T"]]:
    """IoU of a map's box with the best fitting true box at each threshold.

    Args:
        heat: map in [0, 1].
        truth: true boxes ``x0, y0, x1, y1`` on the map's grid, as the protocol rounds them.
        thresholds: ascending; for ``authors`` at most 255.

    Returns:
        ``largest``, and for ``wsoleval`` ``all``.
    """
    if protocol == "authors":
        return {"largest": component_overlap(heat, truth, thresholds)}
    grey = (255 * heat).astype(np.uint8)
    levels = (thresholds * grey.max()).astype(np.int64)
    found = contour_overlap(grey, truth)
    return {"largest": found.largest[levels], "all": found.best[levels]}


@dataclass
class Sweep:
    """Hits of one way of choosing boxes at every threshold, image by image, in memory that does not grow with them.

    Images may come in any order, and parts of a data set can be merged: all of it is counts.
    """

    thresholds: Float64[np.ndarray, " T"]
    hits: dict[str, Int64[np.ndarray, "deltas T"]] = field(default_factory=dict)
    """By group: images whose box hits, for each delta and threshold."""
    images: dict[str, int] = field(default_factory=dict)
    """By group: how many images there were."""
    histogram: Int64[np.ndarray, "T bins"] = field(init=False)
    """Images by IoU, for each threshold."""

    def __post_init__(self) -> None:
        self.histogram = np.zeros((len(self.thresholds), BINS + 1), np.int64)

    def update(
        self, iou: Float64[np.ndarray, " T"], groups: Iterable[str] = (), right: Mapping[str, bool] | None = None
    ) -> None:
        """Count one image.

        Args:
            iou: at each threshold, from :func:`overlaps`.
            groups: what the image belongs to, e.g. its class; accuracies of a group are shares of its images.
            right: what else was right about it or not, e.g. ``top1``; those hits are shares of all images.
        """
        hit = iou >= np.array(DELTAS)[:, None]
        for group in ("", *groups):
            self._hits(group)[...] += hit
            self.images[group] = self.images.get(group, 0) + 1
        for group, too in (right or {}).items():
            self._hits(group)[...] += hit & too
        self.histogram[np.arange(len(iou)), np.round(iou * BINS).astype(np.int64)] += 1

    def merge(self, other: "Sweep") -> None:
        """Add the counts of another part of the same data, made with the same thresholds."""
        for group, hits in other.hits.items():
            self._hits(group)[...] += hits
        for group, images in other.images.items():
            self.images[group] = self.images.get(group, 0) + images
        self.histogram += other.histogram

    def accuracy(self, delta: float = 0.5, group: str = "") -> Float64[np.ndarray, " T"]:
        """Percent of the images that hit at each threshold; NaN without images.

        For what was given as ``right`` the images are all, for a group its own.
        """
        images = self.images.get(group, self.images.get("", 0))
        hits = self._hits(group)[DELTAS.index(delta)]
        return 100 * hits / images if images else np.full(len(hits), np.nan)

    def best(self, delta: float = 0.5) -> tuple[int, float]:
        """Position of the threshold with the highest accuracy, the lowest of equals, and that accuracy."""
        accuracy = self.accuracy(delta)
        position = int(accuracy.argmax())
        return position, float(accuracy[position])

    def median_iou(self, position: int) -> float:
        """The median of the images' IoUs at a threshold, to the width of a bin; the lower of two in the middle."""
        below = self.histogram[position].cumsum()
        return float(np.searchsorted(below, (below[-1] + 1) // 2)) / BINS

    def nearest(self, threshold: float) -> int:
        """Position of a threshold in the grid."""
        return int(np.abs(self.thresholds - threshold).argmin())

    def _hits(self, group: str) -> Int64[np.ndarray, "deltas T"]:
        return self.hits.setdefault(group, np.zeros((len(DELTAS), len(self.thresholds)), np.int64))


def max_box_acc_v2(every: Sweep) -> float:
    """MaxBoxAccV2: the mean over the deltas of each one's best accuracy, each at a threshold of its own."""
    return float(np.mean([every.best(delta)[1] for delta in DELTAS]))
