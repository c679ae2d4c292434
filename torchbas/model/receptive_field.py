"""Where the cells of F look: the offset of their effective receptive fields, and features without it.

A cell of F stands for a square of the image. But a convolution of stride 2 looks half a pixel before its middle,
at every stage, and trained kernels lean to one side: what a cell responds to lies pixels away from where its value is
drawn (docs/start.md).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .reflect import padded

IMAGES = 16
"""Random images of which the offset is the mean."""
BATCH = 8
SIDE = 224
OCTAVES = (1, 2, 4, 8, 16, 32)
"""Sizes of the patches of one color, in pixels, that random images are made of."""

NEGLIGIBLE = 1 / 8
"""Share of a cell up to which an offset counts as none."""

F1 = Callable[[Tensor], Tensor]


@torch.enable_grad()
def effective_offset(f1: F1, device: torch.device | None = None) -> tuple[int, int]:
    """Pixels, down and right, by which the effective receptive field of a cell of F lies off the cell.

    An effective receptive field (Luo et al. 2016) is the squared gradient of a random combination of a cell's channels;
    its center is the mean over random images, whose error is half a pixel. An eighth of a cell counts as none.
    """
    generator = torch.Generator().manual_seed(0)
    offsets, stride = [], 1.0
    for _ in range(IMAGES // BATCH):
        images = _random_images(generator).to(device).requires_grad_()
        features = f1(images)
        cell = features.shape[2] // 2
        stride = SIDE / features.shape[2]
        mixed = features[:, :, cell, cell] * torch.randn(features.shape[:2], generator=generator).to(device)
        energy = torch.autograd.grad(mixed.sum(), images)[0].square().sum(dim=1).cpu()
        place = torch.arange(SIDE) - (cell * stride + (stride - 1) / 2)
        centers = torch.stack([energy.sum(dim=2) @ place, energy.sum(dim=1) @ place], dim=1)
        offsets.append(centers / energy.sum(dim=(1, 2))[:, None].clamp(min=torch.finfo(energy.dtype).tiny))
    mean = torch.cat(offsets).mean(dim=0)
    down, right = mean.where(mean.abs() > NEGLIGIBLE * stride, 0.0).round().int().tolist()
    return down, right


def _random_images(generator: torch.Generator) -> Float[Tensor, "B 3 S S"]:
    """Standardized images of structure at all scales, as photos have."""
    layers = [
        F.interpolate(torch.randn(BATCH, 3, SIDE // size, SIDE // size, generator=generator), SIDE, mode="bilinear")
        for size in OCTAVES
    ]
    return torch.stack(layers).sum(dim=0) / math.sqrt(len(OCTAVES))


def aligned(f1: F1, images: Float[Tensor, "B 3 H W"], offset: tuple[int, int], stride: int) -> Float[Tensor, "B C h w"]:
    """F of images, its cells where they look: of the image extended by reflection, so that none of it is lost."""
    extra = [stride * math.ceil(abs(pixels) / stride) for pixels in offset]
    before = [some + pixels if pixels < 0 else pixels for some, pixels in zip(extra, offset, strict=True)]
    (top, left), (rows, columns) = before, extra
    features = f1(padded(images, (top, rows - top), (left, columns - left)))
    height, width = (size - some // stride for size, some in zip(features.shape[2:], extra, strict=True))
    y, x = (some // stride if pixels < 0 else 0 for some, pixels in zip(extra, offset, strict=True))
    return features[:, :, y : y + height, x : x + width]
