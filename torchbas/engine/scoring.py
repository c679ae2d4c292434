"""From score maps and true boxes to scores: what a network's maps and anybody's stored maps go through alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8

from ..data.truth import boxes_after_crop, boxes_on_grid, foreground
from ..errors import InputError
from ..metrics import PixelScores, Protocol, overlaps, threshold_grid
from ..types import Collection, Photo

Level = float | str
SIZES = {"under 10 %": 0.1, "10 to 30 %": 0.3, "30 to 50 %": 0.5, "over 50 %": np.inf}
"""Groups by the share of the image that the largest true box covers, each up to its number."""


@dataclass(frozen=True)
class Rules:
    """How maps are judged: protocol, grid of thresholds, and the sides of the photo and of the map in pixels."""

    protocol: Protocol = "authors"
    levels: tuple[Level, ...] = (0.1,)
    """Fixed thresholds to report, and the names of those that are found per image, such as ``auto``."""
    resize: int = 256
    side: int = 224
    interval: float | None = None
    """Of the grid of thresholds; the protocol's own when not given."""

    @property
    def fixed(self) -> tuple[float, ...]:
        """The thresholds that are the same for every image."""
        return tuple(level for level in self.levels if not isinstance(level, str))

    @cached_property
    def thresholds(self) -> Float64[np.ndarray, " T"]:
        """The grid, with the fixed thresholds in it."""
        return np.union1d(threshold_grid(self.protocol, self.interval), self.fixed)

    def boxes(self, photo: Photo, size: tuple[int, int]) -> Int64[np.ndarray, "N 4"]:
        """True boxes on the map's grid, rounded as the protocol does; ``size`` is the photo's height and width."""
        if self.protocol == "authors":
            return boxes_after_crop(photo.boxes, size, self.resize, self.side)
        return boxes_on_grid(photo.boxes, size, self.side)

    def has_mask(self, photo: Photo) -> bool:
        """Whether there is a true mask that the protocol asks for."""
        return self.protocol == "wsoleval" and bool(photo.mask or photo.instances)

    def mask(self, photo: Photo) -> UInt8[np.ndarray, "H W"] | None:
        """The true mask on the map's grid, as :func:`~torchbas.data.truth.foreground` makes it, if there is one."""
        return foreground(photo, (self.side, self.side)) if self.has_mask(photo) else None


def judgeable(collection: Collection, rules: Rules) -> tuple[Photo, ...]:
    """The photos that have a tag and something to be judged by: a true box or, for ``wsoleval``, a true mask.

    Raises:
        InputError: there is none.
    """
    photos = tuple(p for p in collection.photos if p.labels and (p.boxes or rules.has_mask(p)))
    if not photos:
        raise InputError(
            f"{collection.root} has no true boxes to compare with; bas eval needs them, bas label does not."
        )
    return photos


class Verdict(NamedTuple):
    """What one map is worth."""

    overlaps: dict[str, Float64[np.ndarray, " T"]]
    """IoU at each threshold of the grid, of the ``largest`` region and, for ``wsoleval``, of the best of ``all``."""
    levels: dict[Level, float]
    """IoU of the largest region at each of the rules' levels. Both are empty where there are no true boxes."""
    pixels: PixelScores | None
    """Where there is a true mask."""


def judge(
    rules: Rules,
    heat: Float[np.ndarray, "H W"],
    boxes: Int64[np.ndarray, "N 4"],
    own: Mapping[str, float],
    mask: UInt8[np.ndarray, "H W"] | None = None,
) -> Verdict:
    """Judge one map in [0, 1]. It depends on nothing else, so it may happen in any process, in any order.

    Args:
        own: the image's own thresholds, by the way they were chosen.
    """
    found, levels = {}, {}
    if len(boxes):
        every = np.union1d(rules.thresholds, list(own.values()))
        ious = overlaps(rules.protocol, heat, boxes, every)
        found = {name: iou[np.searchsorted(every, rules.thresholds)] for name, iou in ious.items()}
        at = {**{level: level for level in rules.fixed}, **own}
        levels = {level: float(ious["largest"][np.searchsorted(every, threshold)]) for level, threshold in at.items()}
    pixels = None
    if mask is not None:
        pixels = PixelScores(threshold_grid("wsoleval"))
        pixels.update(heat, mask)
    return Verdict(found, levels, pixels)


class Case(NamedTuple):
    """What is known of the image that a map is judged for."""

    name: str
    label: str
    area: float
    """Share of the image that its largest true box covers."""
    boxes: Int64[np.ndarray, "N 4"]
    """On the map's grid."""
    rank: int | None
    """How many classes were held more probable than the true one; None where nobody classified."""

    @property
    def right(self) -> dict[str, bool]:
        """Whether Top-1 and Top-5 contain the true class; nothing where nobody classified."""
        return {} if self.rank is None else {f"top{k}": self.rank < k for k in (1, 5)}


def case_of(rules: Rules, photo: Photo, classes: Sequence[str], size: tuple[int, int] | None, rank: int | None) -> Case:
    """The case of a photo; ``size`` is its height and width, needed where it has boxes."""
    area, boxes = 0.0, np.zeros((0, 4), np.int64)
    if photo.boxes and size:
        area = max((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in photo.boxes) / (size[0] * size[1])
        boxes = rules.boxes(photo, size)
    return Case(photo.name, classes[photo.labels[0]], area, boxes, rank)
