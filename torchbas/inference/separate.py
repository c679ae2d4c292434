"""Several things in one foreground: a high threshold separates what a low one gives the extent of.

The regions above the high threshold are markers; a place belongs to the nearest. A marker counts only where a crop
around its part alone keeps the class's score, so that one thing with two bright ends stays one.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor

from ..methods.base import Method
from .zoom import crop_regions

MARGIN = 0.2
"""Margin of a crop on each side, as a share of the longer side of the part."""
KEPT = 0.5
"""Share of the class's score in the photo that a crop must have."""
SMALLEST = 2
"""Cells of the smallest marker."""


def separate(
    model: Method,
    views: Float[Tensor, "B 3 H W"],
    index: Int[Tensor, " Q"],
    label: Int[Tensor, " Q"],
    scores: Float[Tensor, " Q"],
    heatmaps: Float[Tensor, "Q h w"],
    thresholds: Float[Tensor, " Q"],
    size: tuple[int, int],
) -> list[Int32[np.ndarray, "h w"] | None]:
    """Number of the thing that each place is nearest to, from 1; None where there is one thing at most.

    Args:
        scores: logits of the class above those of nothing, in the whole photo.
        size: height and width of the network's input.
    """
    maps, levels = heatmaps.float().cpu().numpy(), thresholds.tolist()
    found = [markers(one, level) for one, level in zip(maps, levels, strict=True)]
    query = [q for q, parts in enumerate(found) for _ in range(parts.max()) if parts.max() > 1]
    if not query:
        return [None] * len(found)
    squares = [
        region((nearest(found[q]) == k) & (maps[q] > levels[q]))
        for q in dict.fromkeys(query)
        for k in range(1, found[q].max() + 1)
    ]
    places = torch.tensor(query, device=label.device)
    good = _keep(model, views, index[places], label[places], scores[places], heatmaps.new_tensor(squares), size)
    result: list[Int32[np.ndarray, "h w"] | None] = [None] * len(found)
    for q in dict.fromkeys(query):
        kept = 1 + np.flatnonzero([ok for ok, owner in zip(good, query, strict=True) if owner == q])
        if len(kept) > 1:
            result[q] = nearest(np.where(np.isin(found[q], kept), found[q], 0))
    return result


def markers(heatmap: Float[np.ndarray, "h w"], threshold: float) -> Int32[np.ndarray, "h w"]:
    """8-connected regions above the middle of threshold and maximum, numbered from 1; 0 elsewhere."""
    high = (threshold + heatmap.max()) / 2
    count, labels, stats, _ = cv2.connectedComponentsWithStats((heatmap > high).astype(np.uint8), connectivity=8)
    large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= SMALLEST]
    number = np.zeros(count, np.int32)
    number[large] = 1 + np.arange(len(large))
    return number[labels]


def nearest(markers: Int32[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
    """Number of the marker that each place is nearest to."""
    _, piece = cv2.distanceTransformWithLabels(
        (markers == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    numbers = np.zeros(piece.max() + 1, np.int32)
    numbers[piece[markers > 0]] = markers[markers > 0]  # each place of a marker has a piece of its own
    return numbers[piece]


def region(part: Bool[np.ndarray, "h w"]) -> tuple[float, float, float]:
    """Square ``(left, top, side)`` around a part with a margin, in shares of width and height, inside the image."""
    x, y, width, height = cv2.boundingRect(part.astype(np.uint8))
    left, right, top, bottom = (
        x / part.shape[1],
        (x + width) / part.shape[1],
        y / part.shape[0],
        (y + height) / part.shape[0],
    )
    side = min(max(right - left, bottom - top) * (1 + 2 * MARGIN), 1.0)
    corner = (min(max((a + b - side) / 2, 0.0), 1 - side) for a, b in ((left, right), (top, bottom)))
    return *corner, side


def _keep(
    model: Method,
    views: Float[Tensor, "B 3 H W"],
    index: Int[Tensor, " P"],
    label: Int[Tensor, " P"],
    scores: Float[Tensor, " P"],
    squares: Float[Tensor, "P 3"],
    size: tuple[int, int],
) -> list[bool]:
    """Whether the crop of each region alone keeps the class's score."""
    kept = []
    for few in torch.arange(len(index), device=index.device).split(16):
        crops = crop_regions(views, index[few], squares[few], size)
        encoded = model.encode(crops.contiguous(memory_format=torch.channels_last))
        kept += (encoded.scores(label[few]) >= KEPT * scores[few]).tolist()
    return kept
