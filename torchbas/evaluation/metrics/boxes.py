"""Box IoU and the center-prior baseline."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int64


def iou_inclusive(
    boxes: Float[np.ndarray, "... 4"], ground_truth: Float[np.ndarray, "... 4"]
) -> Float[np.ndarray, "..."]:
    """IoU of boxes with inclusive ends (+1), as in the authors' evaluator; broadcasts like NumPy.

    Both are ``(x0, y0, x1, y1)``. A box of one point has area 1; a union that is not positive gives 0.
    """
    wide = np.minimum(boxes[..., 2], ground_truth[..., 2]) - np.maximum(boxes[..., 0], ground_truth[..., 0]) + 1
    high = np.minimum(boxes[..., 3], ground_truth[..., 3]) - np.maximum(boxes[..., 1], ground_truth[..., 1]) + 1
    both = wide.clip(0) * high.clip(0)
    union = _area(boxes) + _area(ground_truth) - both
    return np.where(union > 0, both / np.where(union > 0, union, 1), 0.0)


@dataclass
class CenterPrior:
    """Center-prior baseline: one centered box for all images, on a square grid, in 20 sizes."""

    side: int
    """Of the grid, in pixels."""
    delta: float = 0.5
    """IoU that counts as a hit."""
    images: int = 0
    hits: Int64[np.ndarray, " 20"] = field(default_factory=lambda: np.zeros(20, np.int64))
    """Images that the box of each size hits."""

    SHARES: ClassVar[Float[np.ndarray, " 20"]] = np.linspace(0.05, 1, 20)
    """Sides of the boxes as shares of the grid's side; the last is the whole image."""

    def update(self, ground_truth: Float[np.ndarray, "N 4"]) -> None:
        """Count one image with these true boxes."""
        low, high = self.side * (1 - self.SHARES) / 2, self.side * (1 + self.SHARES) / 2
        boxes = np.stack([low, low, high, high], axis=1)
        self.images += 1
        self.hits += (iou_inclusive(boxes[:, None], ground_truth) >= self.delta).any(axis=1)

    def merge(self, other: "CenterPrior") -> None:
        """Add the counts of another part of the same data."""
        self.images += other.images
        self.hits += other.hits

    def best(self) -> tuple[float, float]:
        """Side of the best box as a share of the grid's, the largest of equals, and its GT-known Loc in percent.

        An oracle: chosen on the boxes it is scored on.
        """
        best = len(self.hits) - 1 - int(self.hits[::-1].argmax())
        return float(self.SHARES[best]), 100 * int(self.hits[best]) / self.images

    def whole(self) -> float:
        """GT-known Loc in percent of the box that covers the whole image."""
        return 100 * int(self.hits[-1]) / self.images


def _area(boxes: Float[np.ndarray, "... 4"]) -> Float[np.ndarray, "..."]:
    return np.asarray((boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1))
