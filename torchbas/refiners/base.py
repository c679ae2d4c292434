"""Refiner: contract of the stages that draw foreground to the edges of a photo, and what passes between them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32, UInt8
from torch import Tensor

from ..config import Inference
from ..methods.base import Method
from ..model.classifier import Encoded


class Detections(NamedTuple):
    """``Q`` queries, each a class in an image of the batch."""

    index: Int[Tensor, " Q"]  # pyright: ignore[reportIncompatibleMethodOverride]
    """Index of the image in the batch."""
    label: Int[Tensor, " Q"]
    """Index of the class."""
    confidence: Float[Tensor, " Q"]
    """Softmax probability of the class, in [0, 1]."""
    certainty: Float[Tensor, " Q"]
    """Whether any of the classes is there, in [0, 1], see :attr:`torchbas.localization.Localization.certainty`."""
    heatmaps: Float[Tensor, "Q h w"]
    """In [0, 1]; on the grid of F, after a second pass finer."""
    threshold: Float[Tensor, " Q"]
    """Heatmap value above which a place is foreground."""
    bas_ratio: Float[Tensor, " Q"]
    """S_b / S with all places above the threshold masked, in [0, 1]."""
    replaced: Bool[Tensor, " Q"]
    """Whether the heatmap is Layer-CAM's in place of the method's."""
    queries: Encoded
    """The images of the queries, as encoded for the first pass."""
    parts: list[Int32[np.ndarray, "h w"] | None]
    """Number of the thing that each place belongs to, see :func:`~torchbas.inference.separate.separate`; None where
    there is one thing at most, or only the largest is wanted."""


class Extent(NamedTuple):
    """Foreground of a photo on any grid."""

    map: Float[np.ndarray, "h w"]
    """In [0, 1]."""
    threshold: float
    """Value above which a place is foreground."""
    by: str = ""
    """The refiner whose weights have learned from masks, where it drew this."""

    @property
    def share(self) -> float:
        """Share of the photo that is foreground."""
        return float((self.map > self.threshold).mean())


@dataclass(frozen=True)
class Queries:
    """What is known of the queries of one batch."""

    found: Detections
    model: Method
    inference: Inference
    images: Callable[[int], Float[Tensor, "B 3 H W"]]
    """Standardized, at so many times the size of the network's input."""
    passes: dict[int, Int[Tensor, " _"]]
    """Queries whose heatmap is made at so many times that size; it is the mean where it is made at several."""
    photos: UInt8[Tensor, "B 3 _ _"]
    """RGB, squeezed to a square, at the size of the largest of the images."""
    side: int
    """Side of the network's input in pixels."""
    pool: Executor
    """Threads for what is made a query at a time."""
    things: Callable[[Bool[np.ndarray, "h w"], int], Sequence[Bool[np.ndarray, "h w"]]]
    """Masks of the things in a foreground of a query that are wanted, on any grid."""

    @cached_property
    def squeezed(self) -> list[UInt8[np.ndarray, "S S 3"]]:
        """The photos at the size of the network's input."""
        images = self.photos.permute(0, 2, 3, 1).numpy()
        return [cv2.resize(image, (self.side, self.side), interpolation=cv2.INTER_AREA) for image in images]

    def start(self) -> list[tuple[Extent, ...]]:
        """The heatmap of each query at its threshold, before any refiner."""
        maps = self.found.heatmaps.float().cpu().numpy()
        return [(Extent(one, level),) for one, level in zip(maps, self.found.threshold.tolist(), strict=True)]


class Refiner(ABC):
    """A stage between heatmaps and masks.

    A new refiner is one file with a subclass, one line in :data:`torchbas.refiners.REFINERS` and its name among those
    of :class:`~torchbas.config.Inference`.

    Args:
        weights: name or folder of its weights; empty for its own.
        device: where they are to lie.

    Raises:
        InputError: a package or weights that it needs and that cannot be had.
    """

    name: ClassVar[str]
    """Its key in :data:`torchbas.refiners.REFINERS`."""

    def __init__(self, weights: str, device: str | torch.device) -> None:
        self.weights, self.device = weights, device

    @classmethod
    def seen(cls, weights: str) -> str:
        """What its weights have learned from, in a sentence; empty where it has none."""
        return ""

    @abstractmethod
    def __call__(self, queries: Queries, extents: Sequence[tuple[Extent, ...]]) -> list[tuple[Extent, ...]]:
        """New extents of each query, of which the first that has any foreground counts.

        Args:
            extents: those so far.
        """


def first_filled(extents: Sequence[Extent]) -> Extent:
    """The first that has any foreground, or the first."""
    return next((one for one in extents if one.map.max() > one.threshold), extents[0])
