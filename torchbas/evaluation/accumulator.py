"""Streaming WSOL metrics of one row of heatmaps at every threshold; memory independent of the dataset's size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .metrics import DELTAS, BoxAccuracySweep, PixelHistogram, max_box_acc_v2, threshold_grid
from .protocol import SIZES, EvalProtocol, EvalTarget, ImageMetrics, Threshold


def counts_like(own: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Stored counts in place of one's own. Raises :class:`ValueError` for another shape or type."""
    if stored.shape != own.shape or stored.dtype != own.dtype:
        raise ValueError(f"counts of {stored.shape} {stored.dtype}, not {own.shape} {own.dtype}")
    return stored


@dataclass
class MetricAccumulator:
    """Counts of one row of heatmaps, from which all its metrics are computed."""

    protocol: EvalProtocol
    sweeps: dict[str, BoxAccuracySweep] = field(default_factory=dict)
    pixels: PixelHistogram = field(default_factory=lambda: PixelHistogram(threshold_grid("wsoleval")))

    def add(self, metrics: ImageMetrics, target: EvalTarget) -> None:
        """Count one image."""
        size = next(name for name, most in SIZES.items() if target.area <= most)
        groups = (f"class {target.label}", f"size {size}")
        for name, iou in metrics.box_ious.items():
            self._sweep(name).update(iou, groups, target.correct)
        for threshold, iou in metrics.iou_at.items():
            if isinstance(threshold, str):  # the fixed ones are in the grid
                self._sweep(threshold).update(np.array([iou]), groups, target.correct)
        if metrics.pixels is not None:
            self.pixels.merge(metrics.pixels)

    def merge(self, other: "MetricAccumulator") -> None:
        """Add the counts of another part of the same data."""
        for name, sweep in other.sweeps.items():
            self._sweep(name).merge(sweep)
        self.pixels.merge(other.pixels)

    def restore(self, what: str, kind: str, group: Sequence[str], array: np.ndarray) -> None:
        """Take over one stored array of a sweep."""
        sweep = self._sweep(kind)
        if what == "histogram":
            sweep.histogram = counts_like(sweep.histogram, array)
        elif what == "hits":
            sweep.hits[group[0]] = counts_like(np.empty((len(DELTAS), len(sweep.thresholds)), np.int64), array)
        else:
            sweep.images[group[0]] = int(array)

    def at(self, threshold: Threshold) -> dict[str, float]:
        """GT-known, Top-1 and Top-5 Loc at a fixed threshold, or at each image's own by its name."""
        return _accuracies(*self._place(threshold))

    def at_all(self) -> dict[Threshold, dict[str, float]]:
        """The same at each of the protocol's thresholds that this row has."""
        return {
            threshold: self.at(threshold)
            for threshold in self.protocol.thresholds
            if not isinstance(threshold, str) or threshold in self.sweeps
        }

    def oracle(self) -> float:
        """The threshold of the grid with the highest GT-known, chosen on what it is scored on."""
        sweep = self._sweep("largest")
        return float(sweep.thresholds[sweep.best()[0]])

    def summary(self, threshold: Threshold) -> dict[str, Any]:
        """Metrics without a threshold, the oracle's, and at ``threshold`` the accuracy per class and size."""
        sweep, position = self._place(threshold)
        best = self.oracle()
        groups = {
            kind: {
                group.removeprefix(f"{kind} "): float(sweep.accuracy(0.5, group)[position])
                for group in sorted(sweep.images)
                if group.startswith(f"{kind} ")
            }
            for kind in ("class", "size")
        }
        answer: dict[str, Any] = {
            "oracle": {"threshold": best, **self.at(best)},
            "at": threshold,
            "iou": {str(delta): float(sweep.accuracy(delta)[position]) for delta in DELTAS},
            "median_iou": sweep.median_iou(position),
            "gt_known_per_class": groups["class"],
            "gt_known_per_size": groups["size"],
        }
        if "all" in self.sweeps:
            answer["maxboxacc"] = self._sweep("largest").best()[1]
            answer["maxboxaccv2"] = max_box_acc_v2(self._sweep("all"))
            answer["maxboxaccv2_per_delta"] = {str(delta): self._sweep("all").best(delta)[1] for delta in DELTAS}
        return answer | ({} if not self.pixels.counts.any() else self.pixels.compute())

    def curve(self) -> list[tuple[float, Threshold, float]]:
        """Threshold, delta and accuracy in percent, for drawing; the mask IoU of the pixels under ``pxap-iou``."""
        points: list[tuple[float, Threshold, float]] = []
        sweep = self._sweep("largest")
        for delta in DELTAS:
            curve = zip(sweep.thresholds.tolist(), sweep.accuracy(delta).tolist(), strict=True)
            points += [(threshold, delta, accuracy) for threshold, accuracy in curve]
        if self.pixels.counts.any():
            curve = zip(self.pixels.thresholds.tolist(), self.pixels.iou().tolist(), strict=False)
            points += [(threshold, "pxap-iou", iou) for threshold, iou in curve]
        return points

    def _place(self, threshold: Threshold) -> tuple[BoxAccuracySweep, int]:
        if isinstance(threshold, str):
            return self._sweep(threshold), 0
        sweep = self._sweep("largest")
        return sweep, sweep.nearest(threshold)

    def _sweep(self, name: str) -> BoxAccuracySweep:
        if name not in self.sweeps:
            grid = name in ("largest", "all")
            self.sweeps[name] = BoxAccuracySweep(self.protocol.grid if grid else np.zeros(1))
        return self.sweeps[name]


@dataclass(frozen=True)
class Scores:
    """Metrics on one dataset. Accuracies are in percent of its images."""

    protocol: str
    images: int
    top1_cls: float | None
    top5_cls: float | None
    """None without a classification; Top-1 and Top-5 Loc are absent then."""
    rows: dict[str, dict[Threshold, dict[str, float]]]
    """Row name -> threshold -> gt_known, top1_loc, top5_loc."""
    summaries: dict[str, dict[str, Any]]
    """Row name -> what else there is: the oracle's threshold, MaxBoxAcc, PxAP, per class, per size, ..."""
    curves: dict[str, list[tuple[float, Threshold, float]]] = field(repr=False)
    """Row name -> threshold, delta, accuracy in percent."""
    center_prior: tuple[float, float]
    """Center-prior baseline: side of the best centered box as a share of the image's, and its GT-known in percent."""
    whole_image: float
    """GT-known of the whole image as the box."""

    def best(self, row: str) -> tuple[float, dict[str, float]]:
        """The reported fixed threshold with the highest GT-known, chosen on the data it is scored on: an oracle."""
        fixed = {threshold: scores for threshold, scores in self.rows[row].items() if not isinstance(threshold, str)}
        return max(fixed.items(), key=lambda item: item[1]["gt_known"])


def _accuracies(sweep: BoxAccuracySweep, position: int) -> dict[str, float]:
    groups = {"gt_known": "", "top1_loc": "top1", "top5_loc": "top5"}
    known = {name: group for name, group in groups.items() if group in sweep.hits or not group}
    return {name: float(sweep.accuracy(0.5, group)[position]) for name, group in known.items()}
