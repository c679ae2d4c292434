"""From a heatmap to objects: threshold, connected components, boxes."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from ..structures import Box


class Component(NamedTuple):
    """One 8-connected component of the foreground."""

    box: Box
    """Bounding box, the end exclusive."""
    mask: Bool[np.ndarray, "H W"]
    """Its pixels."""


def components(
    foreground: Bool[np.ndarray, "H W"],
    objects: str = "largest",
    parts: Int[np.ndarray, "h w"] | None = None,
    smallest: float = 0.001,
) -> list[Component]:
    """The 8-connected components of a mask, largest first.

    Args:
        objects: ``largest`` gives that one, ``all`` those of at least ``smallest`` times the photo's area, and the
            largest however small it is.
        parts: numbers of the things that places belong to, on any grid; pixels of different things do not connect.
        smallest: about one of 28 x 28 cells.
    """
    if parts is not None:
        large = cv2.resize(parts, (foreground.shape[1], foreground.shape[0]), interpolation=cv2.INTER_NEAREST)
        each = [components(foreground & (large == number), objects, None, smallest) for number in np.unique(parts)]
        found = sorted((one for ones in each for one in ones), key=lambda one: -one.mask.sum())
        return found[:1] + [one for one in found[1:] if one.mask.sum() >= smallest * foreground.size]
    labels, stats, order = _label(foreground)
    kept = order[:1]
    if objects == "all":
        area = stats[:, cv2.CC_STAT_AREA]
        kept = order[(area[order] >= smallest * foreground.size) | (order == order[:1])]
    return [Component(_box(stats[label]), labels == label) for label in kept]


def component(mask: Bool[np.ndarray, "H W"]) -> Component:
    """A mask, which is not empty, as one component, connected or not."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return Component((float(x), float(y), float(x + width), float(y + height)), mask)


def largest_box(heatmap: Float[np.ndarray, "H W"], threshold: float) -> Box:
    """Box of the largest component, the same as that of :func:`components`, without its mask.

    Where nothing exceeds the threshold it is the whole image, as in the authors' evaluator.
    """
    _, stats, order = _label(heatmap > threshold)
    if len(order):
        return _box(stats[order[0]])
    height, width = heatmap.shape
    return 0.0, 0.0, float(width), float(height)


def _label(
    foreground: Bool[np.ndarray, "H W"],
) -> tuple[Int[np.ndarray, "H W"], Int[np.ndarray, "N 5"], Int[np.ndarray, " M"]]:
    """Label map, OpenCV's statistics, and labels by decreasing area; of equal areas the first in raster order leads."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground.astype(np.uint8), connectivity=8)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")
    largest = stats[order[:1], cv2.CC_STAT_AREA]
    ties = order[stats[order, cv2.CC_STAT_AREA] == largest] if count > 1 else order
    if len(ties) > 1:  # OpenCV numbers by 2x2 blocks, so its order is not raster order
        first = ties[np.argmin([np.flatnonzero(labels == label)[0] for label in ties])]
        order = np.concatenate([[first], order[order != first]])
    return labels, stats, order


def _box(stats: Int[np.ndarray, " 5"]) -> Box:
    x, y, width, height = (float(value) for value in stats[:4])
    return x, y, x + width, y + height
