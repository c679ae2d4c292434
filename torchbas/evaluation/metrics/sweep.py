"""Box IoUs of a heatmap at all thresholds, and localization accuracy of a dataset (MaxBoxAcc, MaxBoxAccV2).

Two protocols, never mixed. ``authors``: foreground is above the threshold, the box is that of the largest connected
component. ``wsoleval`` (Choe et al. 2020): the heatmap in gray levels of 0 .. 255, foreground is above
``floor(threshold * highest level)``, boxes of the largest contour (MaxBoxAcc) or of all contours (MaxBoxAccV2).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Int64

from .regions import component_ious, contour_ious

Protocol = Literal["authors", "wsoleval"]
DELTAS = (0.3, 0.5, 0.7)
"""IoUs that count as a hit: MaxBoxAccV2 averages over the three, other metrics use 0.5."""
BINS = 1000
"""Of the histogram of IoUs; a median IoU is exact to 1 / BINS."""


def threshold_grid(protocol: Protocol, interval: float | None = None) -> Float64[np.ndarray, " T"]:
    """Thresholds from 0 up to, not including, 1; a thousand for ``wsoleval``, a hundred for ``authors``.

    Raises:
        ValueError: more than 255 thresholds for ``authors``, which numbers their intervals in one byte.
    """
    grid = np.arange(0, 1, interval or (0.001 if protocol == "wsoleval" else 0.01))
    if protocol == "authors" and len(grid) > 255:
        raise ValueError(f"an interval of {interval} gives more than 255 thresholds; give 0.004 or more.")
    return grid


def box_ious(
    protocol: Protocol,
    heatmap: Float[np.ndarray, "H W"],
    ground_truth: Int64[np.ndarray, "N 4"],
    thresholds: Float64[np.ndarray, " T"],
) -> dict[str, Float64[np.ndarray, " T"]]:
    """IoU of a heatmap's box with the best matching true box at each threshold.

    Args:
        heatmap: in [0, 1].
        ground_truth: boxes ``x0, y0, x1, y1`` on the heatmap's grid, rounded as the protocol does.
        thresholds: ascending; for ``authors`` at most 255.

    Returns:
        ``largest`` (component or contour), and for ``wsoleval`` the best of ``all`` contours.
    """
    if protocol == "authors":
        return {"largest": component_ious(heatmap, ground_truth, thresholds)}
    gray = (255 * heatmap).astype(np.uint8)
    levels = (thresholds * gray.max()).astype(np.int64)
    ious = contour_ious(gray, ground_truth)
    return {"largest": ious.largest[levels], "all": ious.best[levels]}


@dataclass
class BoxAccuracySweep:
    """Localization accuracy of a dataset at every threshold, by group of images.

    Holds counts alone: memory does not grow with the images, their order does not matter, and parts can be merged.
    """

    thresholds: Float64[np.ndarray, " T"]
    hits: dict[str, Int64[np.ndarray, "deltas T"]] = field(default_factory=dict)
    """By group: number of images whose box is a hit, for each delta and threshold."""
    images: dict[str, int] = field(default_factory=dict)
    """By group: number of images."""
    histogram: Int64[np.ndarray, "T bins"] = field(init=False)
    """Number of images by IoU, for each threshold."""

    def __post_init__(self) -> None:
        self.histogram = np.zeros((len(self.thresholds), BINS + 1), np.int64)

    def update(
        self, iou: Float64[np.ndarray, " T"], groups: Iterable[str] = (), correct: Mapping[str, bool] | None = None
    ) -> None:
        """Count one image.

        Args:
            iou: at each threshold, from :func:`box_ious`.
            groups: groups that the image belongs to, e.g. its class; their accuracy is a share of their own images.
            correct: further conditions of a hit by group, e.g. ``top1``; their accuracy is a share of all images.
        """
        hit = iou >= np.array(DELTAS)[:, None]
        for group in ("", *groups):
            self._hits(group)[...] += hit
            self.images[group] = self.images.get(group, 0) + 1
        for group, condition in (correct or {}).items():
            self._hits(group)[...] += hit & condition
        self.histogram[np.arange(len(iou)), np.round(iou * BINS).astype(np.int64)] += 1

    def merge(self, other: "BoxAccuracySweep") -> None:
        """Add the counts of another part of the same data, at the same thresholds."""
        for group, hits in other.hits.items():
            self._hits(group)[...] += hits
        for group, images in other.images.items():
            self.images[group] = self.images.get(group, 0) + images
        self.histogram += other.histogram

    def accuracy(self, delta: float = 0.5, group: str = "") -> Float64[np.ndarray, " T"]:
        """Percent of the images that are hits at each threshold, see :meth:`update`; NaN without images."""
        images = self.images.get(group, self.images.get("", 0))
        hits = self._hits(group)[DELTAS.index(delta)]
        return 100 * hits / images if images else np.full(len(hits), np.nan)

    def best(self, delta: float = 0.5) -> tuple[int, float]:
        """Index of the threshold with the highest accuracy, the lowest of equals, and that accuracy."""
        accuracy = self.accuracy(delta)
        index = int(accuracy.argmax())
        return index, float(accuracy[index])

    def median_iou(self, index: int) -> float:
        """Median IoU of the images at a threshold, to the width of a bin; the lower of two in the middle."""
        below = self.histogram[index].cumsum()
        return float(np.searchsorted(below, (below[-1] + 1) // 2)) / BINS

    def nearest(self, threshold: float) -> int:
        """Index of the nearest threshold."""
        return int(np.abs(self.thresholds - threshold).argmin())

    def _hits(self, group: str) -> Int64[np.ndarray, "deltas T"]:
        return self.hits.setdefault(group, np.zeros((len(DELTAS), len(self.thresholds)), np.int64))


def max_box_acc_v2(sweep: BoxAccuracySweep) -> float:
    """MaxBoxAccV2: mean over the deltas of the best accuracy, each at a threshold of its own."""
    return float(np.mean([sweep.best(delta)[1] for delta in DELTAS]))
