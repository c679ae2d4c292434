"""Boxes against true boxes: their IoU, what is right, and the baseline that looks at nothing."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int64


def iou_inclusive(boxes: Float[np.ndarray, "... 4"], truth: Float[np.ndarray, "... 4"]) -> Float[np.ndarray, "..."]:
    """IoU with ends counted as pixels (+1), as the authors' evaluator does; broadcasts like NumPy.

    Both are ``(x0, y0, x1, y1)``. A box of one point has area one; a union that is not positive gives 0.
    """
    wide = np.minimum(boxes[..., 2], truth[..., 2]) - np.maximum(boxes[..., 0], truth[..., 0]) + 1
    high = np.minimum(boxes[..., 3], truth[..., 3]) - np.maximum(boxes[..., 1], truth[..., 1]) + 1
    both = wide.clip(0) * high.clip(0)
    union = _area(boxes) + _area(truth) - both
    return np.where(union > 0, both / np.where(union > 0, union, 1), 0.0)


@dataclass
class CentredBoxes:
    """The baseline that looks at nothing: one centred box for every image of a square grid, in 20 sizes."""

    side: int
    """Of the grid, in pixels."""
    delta: float = 0.5
    images: int = 0
    hits: Int64[np.ndarray, " 20"] = field(default_factory=lambda: np.zeros(20, np.int64))

    SHARES: ClassVar[Float[np.ndarray, " 20"]] = np.linspace(0.05, 1, 20)
    """Sides of the boxes as shares of the image's side; the last is the whole image."""

    def update(self, truth: Float[np.ndarray, "N 4"]) -> None:
        """Count one image; ``truth`` holds its true boxes."""
        low, high = self.side * (1 - self.SHARES) / 2, self.side * (1 + self.SHARES) / 2
        boxes = np.stack([low, low, high, high], axis=1)
        self.images += 1
        self.hits += (iou_inclusive(boxes[:, None], truth) >= self.delta).any(axis=1)

    def merge(self, other: "CentredBoxes") -> None:
        """Add the counts of another part of the same data."""
        self.images += other.images
        self.hits += other.hits

    def best(self) -> tuple[float, float]:
        """Side of the best box as a share of the image's, the largest of equals, and its GT-known Loc in percent.

        Chosen on the same truth it is scored on, so the baseline is as strong as it can be.
        """
        best = len(self.hits) - 1 - int(self.hits[::-1].argmax())
        return float(self.SHARES[best]), 100 * int(self.hits[best]) / self.images

    def whole(self) -> float:
        """GT-known Loc of the whole image as the box, in percent."""
        return 100 * int(self.hits[-1]) / self.images


def _area(boxes: Float[np.ndarray, "... 4"]) -> Float[np.ndarray, "..."]:
    return np.asarray((boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1))
