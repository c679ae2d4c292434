"""Shifted photos: heatmaps of a photo moved by fractions of a cell, side by side on a finer grid.

Nothing is trained (arXiv 2410.19836 does so with features). A cell of F stands for ``stride`` pixels; where the photo
is moved by a part of that, the cells lie between those of the photo as it is.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..cam import normalize, upsample
from .base import Extent, Queries, Refiner

FINER = 2
"""How many times as fine the grid is; the photo is passed through the network the square of that often."""
AT_ONCE = 4
"""Photos in one pass."""


class Shift(Refiner):
    """The heatmap's extent on a finer grid, at the same threshold. Layer-CAM's maps stay as they are."""

    name = "shift"

    @torch.inference_mode()
    def __call__(self, queries: Queries, extents: Sequence[tuple[Extent, ...]]) -> list[tuple[Extent, ...]]:
        maps = defaultdict[int, list[Float[Tensor, "h w"]]](list)
        for times, rows in queries.passes.items():
            for query, one in zip(rows.tolist(), _finer(queries, times), strict=True):
                maps[query].append(one)
        result = list(extents)
        for query, some in maps.items():
            size = max(tuple(one.shape) for one in some)
            mean = torch.cat([upsample(one[None], (size[0], size[1])) for one in some]).mean(dim=0)
            level = float(queries.found.threshold[query])
            result[query] = (Extent(mean.cpu().numpy(), level), *extents[query])
        return result


def _finer(queries: Queries, times: int) -> list[Float[Tensor, "h w"]]:
    """Heatmaps in [0, 1] of the queries that are passed at so many times the network's size, in their order."""
    rows, model, inference = queries.passes[times], queries.model, queries.inference
    if not len(rows):
        return []
    images, index = queries.images(times), queries.found.index[rows]
    maps: dict[int, Float[Tensor, "h w"]] = {}
    for photos in index.unique().split(AT_ONCE):
        here = torch.isin(index, photos).nonzero()[:, 0]
        place, some = torch.searchsorted(photos, index[here]), rows[here]
        passed = []
        for down, right in shifts(model.stride):
            encoded = model.encode(shifted(images[photos], down, right)).at(place)
            encoded.logits = queries.found.queries.logits[some]  # which classes are averaged is not asked again
            raw = model.heatmaps(encoded, queries.found.label[some], inference).float()
            grid = encoded.features.shape[2:]
            passed.append(raw if raw.shape[1:] == grid else upsample(raw, (grid[0], grid[1])))
        fine = interleaved(passed)
        bounded = model.bounded and not inference.normalized
        maps |= dict(zip(here.tolist(), fine if bounded else normalize(fine), strict=True))
    return [maps[place] for place in range(len(rows))]


def shifts(stride: int, finer: int = FINER) -> list[tuple[int, int]]:
    """By how many pixels down and right the cells are to lie off their places, for each place of a cell's finer grid in
    raster order.

    The center of cell i is at (i + 1/2) s, that of the j-th of its ``k`` finer ones at (k i + j + 1/2) s / k, which is
    (2 j + 1 - k) s / (2 k) further; for k = 2 a quarter of a cell to either side. To the nearest pixel.
    """
    each = [round((2 * place + 1 - finer) * stride / (2 * finer)) for place in range(finer)]
    return list(product(each, each))


def shifted(images: Float[Tensor, "B 3 H W"], down: int, right: int) -> Float[Tensor, "B 3 H W"]:
    """Images whose pixel (y, x) is that at (y + down, x + right).

    What enters is the image reflected: textures go on, where its edge repeated would be stripes, which are no texture
    and whose mean is not the image's.
    """
    width = max(abs(down), abs(right))
    height, across = images.shape[2:]
    padded = F.pad(images, (width,) * 4, mode="reflect")
    top, left = width + down, width + right
    return padded[:, :, top : top + height, left : left + across].contiguous(memory_format=torch.channels_last)


def interleaved(maps: Sequence[Float[Tensor, "Q h w"]]) -> Float[Tensor, "Q _ _"]:
    """One map of ``k`` times ``k`` that lie between each other, in the order of :func:`shifts`."""
    return F.pixel_shuffle(torch.stack(list(maps), dim=1), round(len(maps) ** 0.5))[:, 0]
