"""Pixel metrics of score maps against masks: PxAP (Choe et al. 2020) and PIoU (Zhu et al. 2022)."""

from dataclasses import dataclass, field
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8
from numba import njit

IGNORED = 255


@dataclass
class PixelScores:
    """Scores of all object and all background pixels of a data set, pooled, as histograms over the thresholds.

    Pixels are pooled over the images, not averaged per image; memory does not grow with them, parts can be merged.
    """

    thresholds: Float64[np.ndarray, " T"]
    counts: Int64[np.ndarray, "2 bins"] = field(init=False)
    """Background and object pixels by score. Bins begin at the thresholds, at 1 and at 2."""

    def __post_init__(self) -> None:
        self.edges = np.append(self.thresholds, [1.0, 2.0, 3.0])
        self.counts = np.zeros((2, len(self.edges) - 1), np.int64)

    def update(self, heat: Float[np.ndarray, "H W"], mask: UInt8[np.ndarray, "H W"]) -> None:
        """Count one map in [0, 1]; in the mask 1 is object, 0 background, 255 not judged."""
        _count(heat, mask, self.edges, self.counts)

    def merge(self, other: "PixelScores") -> None:
        """Add the counts of another part of the same data."""
        self.counts += other.counts

    def compute(self) -> dict[str, float]:
        """``pxap``, the area under precision over recall without interpolation, and ``piou``, the highest IoU of any
        threshold, in percent; and that threshold. NaN where no pixel is object."""
        hits, false = self._above()
        if not hits[-1]:
            return {"pxap": float("nan"), "piou": float("nan"), "piou_threshold": float("nan")}
        some = hits + false > 0
        precision = hits[some] / (hits + false)[some]
        recall = np.concatenate([[0], hits[some] / hits[-1]])
        iou = self.iou()
        at = int(iou.argmax())
        return {
            "pxap": float(100 * (precision * np.diff(recall)).sum()),
            "piou": float(iou[at]),
            "piou_threshold": float(self.edges[at]),
        }

    def iou(self) -> Float64[np.ndarray, " bins"]:
        """IoU of object and what is at or above each edge, in percent, from the lowest threshold up."""
        hits, false = self._above()
        return (100 * hits / np.maximum(false + hits[-1], 1))[::-1]

    def _above(self) -> tuple[Int64[np.ndarray, " bins"], Int64[np.ndarray, " bins"]]:
        """Object and background pixels at or above each edge, from the highest down."""
        false, hits = self.counts[:, ::-1].cumsum(axis=1)
        return hits, false


@njit(cache=True, nogil=True)
@no_type_check  # compiled
def _count(heat, mask, edges, counts):
    scale = len(edges) - 3
    for y in range(heat.shape[0]):
        for x in range(heat.shape[1]):
            kind = mask[y, x]
            if kind != IGNORED:
                value = heat[y, x]
                i = int(value * scale)  # near the right bin of an even grid, exactly right after a step or two
                while edges[i] > value:
                    i -= 1
                while edges[i + 1] <= value:
                    i += 1
                counts[min(kind, 1), i] += 1
