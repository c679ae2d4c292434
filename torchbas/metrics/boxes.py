"""Localisation accuracy by boxes, protocol ``authors``: GT-known, Top-1 and Top-5 Loc."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float


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
class LocalizationAccuracy:
    """GT-known, Top-1 and Top-5 Loc of one way of making boxes, in percent of images.

    A box is right when its IoU with any true box reaches ``delta``. Top-k Loc also asks that the true class is
    among the k most probable ones. Update per image, in any order; two halves can be merged.
    """

    delta: float = 0.5
    images: int = 0
    hits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("gt_known", "top1_loc", "top5_loc"), 0))

    def update(self, box: Float[np.ndarray, " 4"], truth: Float[np.ndarray, "N 4"], top1: bool, top5: bool) -> None:
        """Count one image; ``truth`` holds its true boxes."""
        right = bool((iou_inclusive(box, truth) >= self.delta).any())
        self.images += 1
        self.hits["gt_known"] += right
        self.hits["top1_loc"] += right and top1
        self.hits["top5_loc"] += right and top5

    def merge(self, other: "LocalizationAccuracy") -> None:
        """Add the counts of another part of the same data."""
        self.images += other.images
        for name in self.hits:
            self.hits[name] += other.hits[name]

    def compute(self) -> dict[str, float]:
        """The three accuracies in percent; NaN without images."""
        return {name: 100 * hits / self.images if self.images else float("nan") for name, hits in self.hits.items()}


def best_centred_box(
    truths: list[Float[np.ndarray, "_ 4"]], width: int, height: int, delta: float = 0.5
) -> tuple[float, float]:
    """The baseline that looks at nothing: one centred box for every image, the best of 20 sizes.

    Args:
        truths: true boxes of each image, all on a ``width`` x ``height`` grid.

    Returns:
        Its side as a share of the image's side, and its GT-known Loc in percent. The size is chosen on the same
        truth it is scored on, so the baseline is as strong as it can be. A side of 1 is the whole image.
    """
    scores = []
    for side in np.linspace(0.05, 1, 20):
        box = np.array([width * (1 - side), height * (1 - side), width * (1 + side), height * (1 + side)]) / 2
        hits: Bool[np.ndarray, " I"] = np.array([(iou_inclusive(box, truth) >= delta).any() for truth in truths])
        scores.append((float(100 * hits.mean()), float(side)))
    score, side = max(scores)
    return side, score


def _area(boxes: Float[np.ndarray, "... 4"]) -> Float[np.ndarray, "..."]:
    return np.asarray((boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1))
