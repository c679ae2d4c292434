"""Several things in one foreground: a high threshold separates what a low one gives the extent of.

The regions above the high threshold are markers; a place belongs to the nearest. A marker counts only where a crop
around its part alone keeps the class's score, so that one thing with two bright ends stays one.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, Int32
from torch import Tensor

from ..methods.base import Method
from .zoom import crop_regions, regions

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
    result: list[Int32[np.ndarray, "h w"] | None] = [None] * len(found)
    several = [
        (query, number) for query, one in enumerate(found) if one.max() > 1 for number in range(1, one.max() + 1)
    ]
    if not several:
        return result
    places, numbers = torch.tensor(several, device=label.device).unbind(1)
    owner = {q: nearest(found[q]) for q, _ in several}
    owners = torch.from_numpy(np.stack([owner[q] for q, _ in several])).to(label.device)
    # Outside the part the heatmap is below every threshold.
    parts = torch.where(owners == numbers[:, None, None], heatmaps[places].float(), -1.0)
    squares = regions(parts, thresholds[places], MARGIN)
    good = _keep(model, views, index[places], label[places], scores[places], squares, size)
    for q in owner:
        kept = [number for (query, number), ok in zip(several, good, strict=True) if ok and query == q]
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
    kept: list[Tensor] = []
    for few in torch.arange(len(index), device=index.device).split(16):
        crops = crop_regions(views, index[few], squares[few], size)
        encoded = model.encode(crops.contiguous(memory_format=torch.channels_last))
        kept.append(encoded.scores(label[few]) >= KEPT * scores[few])
    return torch.cat(kept).tolist()  # a GPU is waited for only now that it has been told everything
