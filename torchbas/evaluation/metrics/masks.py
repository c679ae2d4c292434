"""Pixel metrics of heatmaps against masks: PxAP (Choe et al. 2020) and PIoU (Zhu et al. 2022)."""

from dataclasses import dataclass, field
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8

from ...compiled import compiled
from ...structures import IGNORE_INDEX


@dataclass
class PixelHistogram:
    """Histograms over the thresholds of the heatmap values of all foreground and all background pixels of a dataset.

    Pixels are pooled over the images, not averaged by image. Memory does not grow with them, and parts can be merged.
    """

    thresholds: Float64[np.ndarray, " T"]
    counts: Int64[np.ndarray, "2 bins"] = field(init=False)
    """Background and foreground pixels by value. Bins begin at the thresholds, at 1 and at 2."""

    def __post_init__(self) -> None:
        self.edges = np.append(self.thresholds, [1.0, 2.0, 3.0])
        self.counts = np.zeros((2, len(self.edges) - 1), np.int64)

    def update(self, heatmap: Float[np.ndarray, "H W"], mask: UInt8[np.ndarray, "H W"]) -> None:
        """Count one heatmap in [0, 1]; in the mask 1 is foreground, 0 background, 255 ignore."""
        _count(heatmap, mask, self.edges, self.counts)

    def merge(self, other: "PixelHistogram") -> None:
        """Add the counts of another part of the same data."""
        self.counts += other.counts

    def compute(self) -> dict[str, float]:
        """``pxap``, the area under precision over recall without interpolation, and ``piou``, the highest IoU of any
        threshold, in percent; and that threshold. NaN where no pixel is foreground."""
        true, false = self._positives()
        if not true[-1]:
            return {"pxap": float("nan"), "piou": float("nan"), "piou_threshold": float("nan")}
        some = true + false > 0
        precision = true[some] / (true + false)[some]
        recall = np.concatenate([[0], true[some] / true[-1]])
        iou = self.iou()
        best = int(iou.argmax())
        return {
            "pxap": float(100 * (precision * np.diff(recall)).sum()),
            "piou": float(iou[best]),
            "piou_threshold": float(self.edges[best]),
        }

    def iou(self) -> Float64[np.ndarray, " bins"]:
        """IoU in percent of the foreground and the pixels at or above each edge, from the lowest threshold up."""
        true, false = self._positives()
        return (100 * true / np.maximum(false + true[-1], 1))[::-1]

    def _positives(self) -> tuple[Int64[np.ndarray, " bins"], Int64[np.ndarray, " bins"]]:
        """True and false positives: foreground and background pixels at or above each edge, from the highest down."""
        false, true = self.counts[:, ::-1].cumsum(axis=1)
        return true, false


@compiled()
@no_type_check
def _count(heatmap, mask, edges, counts):
    scale = len(edges) - 3
    for y in range(heatmap.shape[0]):
        for x in range(heatmap.shape[1]):
            label = mask[y, x]
            if label != IGNORE_INDEX:
                value = heatmap[y, x]
                i = int(value * scale)  # exact after a step or two where the grid is even
                while edges[i] > value:
                    i -= 1
                while edges[i + 1] <= value:
                    i += 1
                counts[min(label, 1), i] += 1
