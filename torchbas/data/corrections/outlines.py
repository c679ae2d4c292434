"""Outlines of corrected things, filled in a photo whose size is known."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from ..datasets import coco_masks
from .readers import Outline, Runs


def filled(outline: Outline, scale: tuple[float, float], height: int, width: int) -> Bool[np.ndarray, "H W"] | None:
    """The mask; None where there is none.

    Args:
        scale: what x and y of polygons are multiplied by.

    Raises:
        ValueError: an outline that cannot be filled, or not in a photo of this size. Another of
            :data:`~.readers.BROKEN` where it is of another kind.
    """
    if not outline:
        return None
    if isinstance(outline, Runs):
        return _of_runs(outline, height, width)
    if isinstance(outline, Mapping):
        return coco_masks.filled(outline, height, width)
    scaled = [[value * scale[place % 2] for place, value in enumerate(polygon)] for polygon in outline]
    return coco_masks.filled(scaled, height, width)


def _of_runs(runs: Runs, height: int, width: int) -> Bool[np.ndarray, "H W"]:
    x, y, columns, rows, lengths = runs
    inside = min(x, y, columns, rows, *lengths) >= 0 and x + columns <= width and y + rows <= height
    if not inside or sum(lengths) != rows * columns:
        raise ValueError("a mask that is not of its rectangle")
    mask = np.zeros((height, width), bool)
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    mask[y : y + rows, x : x + columns] = flat.reshape(rows, columns)
    return mask
