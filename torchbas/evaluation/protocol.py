"""Evaluation protocols: from one heatmap and its ground truth to metrics, for networks and stored heatmaps alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from ..cam import normalize, reference_maps, upsample
from ..data.ground_truth import boxes_after_crop, boxes_on_grid, foreground
from ..errors import InputError
from ..structures import Dataset, Sample
from .metrics import PixelHistogram, Protocol, box_ious, threshold_grid

Threshold = float | str
SIZES = {"under 10 %": 0.1, "10 to 30 %": 0.3, "30 to 50 %": 0.5, "over 50 %": np.inf}
"""Groups by the share of the image that the largest true box covers, each up to its number."""


@dataclass(frozen=True)
class EvalProtocol:
    """Evaluation protocol: its name, its thresholds, and the sides of the photo and of the heatmap in pixels."""

    name: Protocol = "authors"
    thresholds: tuple[Threshold, ...] = (0.1,)
    """Fixed thresholds to report, and the names of those that are chosen per image, such as ``auto``."""
    resize: int = 256
    side: int = 224
    interval: float | None = None
    """Of the grid of thresholds; the protocol's own when not given."""

    @property
    def fixed(self) -> tuple[float, ...]:
        """The thresholds that are the same for every image."""
        return tuple(threshold for threshold in self.thresholds if not isinstance(threshold, str))

    @cached_property
    def grid(self) -> Float64[np.ndarray, " T"]:
        """All thresholds of the sweep, the fixed ones among them."""
        return np.union1d(threshold_grid(self.name, self.interval), self.fixed)

    def prepare(self, maps: Float[Tensor, "B h w"]) -> Float[np.ndarray, "B H W"]:
        """Raw heatmaps of a method in [0, 1] at the side they are scored at."""
        size = self.side, self.side
        if self.name == "wsoleval":
            return reference_maps(maps.cpu().numpy(), size)
        return upsample(normalize(maps.float()), size).cpu().numpy()

    def boxes(self, sample: Sample, size: tuple[int, int]) -> Int64[np.ndarray, "N 4"]:
        """Ground-truth boxes on the heatmap's grid, rounded as the protocol does; ``size``: height, width."""
        if self.name == "authors":
            return boxes_after_crop(sample.boxes, size, self.resize, self.side)
        return boxes_on_grid(sample.boxes, size, self.side)

    def has_mask(self, sample: Sample) -> bool:
        """Whether there is a ground-truth mask that the protocol asks for."""
        return self.name == "wsoleval" and bool(sample.mask or sample.instances)

    def mask(self, sample: Sample) -> UInt8[np.ndarray, "H W"] | None:
        """Ground-truth mask on the heatmap's grid, see :func:`~torchbas.data.ground_truth.foreground`, if any."""
        return foreground(sample, (self.side, self.side)) if self.has_mask(sample) else None


def evaluable_samples(dataset: Dataset, protocol: EvalProtocol) -> tuple[Sample, ...]:
    """The samples with a tag and ground truth: a box or, for ``wsoleval``, a mask.

    Raises:
        InputError: there is none.
    """
    samples = tuple(p for p in dataset.samples if p.labels and (p.boxes or protocol.has_mask(p)))
    if not samples:
        raise InputError(f"{dataset.root} has no true boxes to compare with; bas eval needs them, bas label does not.")
    return samples


class ImageMetrics(NamedTuple):
    """Metrics of one heatmap."""

    box_ious: dict[str, Float64[np.ndarray, " T"]]
    """IoU at each threshold of the grid, of the ``largest`` region and, for ``wsoleval``, of the best of ``all``."""
    iou_at: dict[Threshold, float]
    """IoU of the largest region at each of the protocol's thresholds. Both are empty without ground-truth boxes."""
    pixels: PixelHistogram | None
    """Where there is a ground-truth mask."""


def score_heatmap(
    protocol: EvalProtocol,
    heatmap: Float[np.ndarray, "H W"],
    boxes: Int64[np.ndarray, "N 4"],
    own: Mapping[str, float],
    mask: UInt8[np.ndarray, "H W"] | None = None,
) -> ImageMetrics:
    """Metrics of one heatmap in [0, 1]. Depends on nothing else, so it may run in any process, in any order.

    Args:
        own: the image's own thresholds, by the way they were chosen.
    """
    on_grid, iou_at = {}, {}
    if len(boxes):
        every = np.union1d(protocol.grid, list(own.values()))
        ious = box_ious(protocol.name, heatmap, boxes, every)
        on_grid = {name: iou[np.searchsorted(every, protocol.grid)] for name, iou in ious.items()}
        at = {**{threshold: threshold for threshold in protocol.fixed}, **own}
        iou_at = {name: float(ious["largest"][np.searchsorted(every, threshold)]) for name, threshold in at.items()}
    pixels = None
    if mask is not None:
        pixels = PixelHistogram(threshold_grid("wsoleval"))
        pixels.update(heatmap, mask)
    return ImageMetrics(on_grid, iou_at, pixels)


class EvalTarget(NamedTuple):
    """The class to localize in an image, and its ground truth."""

    name: str
    """Of the sample."""
    label: str
    area: float
    """Share of the image that its largest box covers."""
    boxes: Int64[np.ndarray, "N 4"]
    """On the heatmap's grid."""
    rank: int | None
    """How many classes scored higher than the true one; None without a classification."""

    @property
    def correct(self) -> dict[str, bool]:
        """Whether Top-1 and Top-5 contain the true class; empty without a classification."""
        return {} if self.rank is None else {f"top{k}": self.rank < k for k in (1, 5)}


def target_of(
    protocol: EvalProtocol, sample: Sample, classes: Sequence[str], size: tuple[int, int] | None, rank: int | None
) -> EvalTarget:
    """The target of a sample; ``size`` is its height and width, needed where it has boxes."""
    area, boxes = 0.0, np.zeros((0, 4), np.int64)
    if sample.boxes and size:
        area = max((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in sample.boxes) / (size[0] * size[1])
        boxes = protocol.boxes(sample, size)
    return EvalTarget(sample.name, classes[sample.labels[0]], area, boxes, rank)
