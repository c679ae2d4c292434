"""Seeds: class maps of every photo at several scales and mirrored, added up (Sec. 5.1; IRN, Ahn et al. 2019)."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ...data import Batch, image_size, reduced, standardize
from ...data.loader import Loader, SampleViews, loader_of
from ...data.transforms import to_tensor
from ...methods.base import Normalization
from ...structures import Dataset, Sample, working_size
from .files import STRIDE, Seed, quarter

SCALES = (1.0, 0.5, 1.5, 2.0)
"""Scales of the photo, as in IRN and the authors' code."""
GRID = 16
"""Maps cover the photo padded to a multiple of this many pixels, the stride of the networks in use."""

SeedMaps = Callable[[Float[Tensor, "B 3 H W"], Float[Tensor, "B K"]], Float[Tensor, "B K h w"]]
""":meth:`~torchbas.methods.base.Method.seed_maps`: standardized images and multi-hot labels in, maps from 0 up out."""


def make_seeds(
    seed_maps: SeedMaps,
    dataset: Dataset,
    normalization: Normalization,
    *,
    scales: Sequence[float] = SCALES,
    batch_size: int = 8,
    device: torch.device | str = "cpu",
    workers: int = 0,
    precision: Callable[[], Any] = nullcontext,
) -> Iterator[tuple[Sample, Seed]]:
    """The seed of every sample, for its own tags only, in the order of :func:`sized_loader`.

    Raises:
        InputError: a photo that cannot be read.
    """
    for batch in sized_loader(dataset, batch_size, workers):
        with torch.no_grad(), precision():
            maps = multi_scale(seed_maps, batch, normalization, scales, device)
        yield from _split(maps, batch, dataset)


def multi_scale(
    seed_maps: SeedMaps,
    batch: Batch,
    normalization: Normalization,
    scales: Sequence[float] = SCALES,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "B K h w"]:
    """Maps at a quarter of the view, in [0, 1]: the sum over scales and mirror images, each class by its maximum.

    Absent classes are zero everywhere. As in the authors' code the divisor is the maximum plus 1e-5.
    """
    views = batch.images.to(device, non_blocking=True).float() / 255
    labels = batch.labels.to(device, non_blocking=True)
    height, width = views.shape[2:]
    padded = tuple(-(-side // GRID) * GRID // STRIDE for side in (height, width))
    total = views.new_zeros(len(views), labels.shape[1], *quarter((height, width)))
    for scale in scales:
        images = standardize(_rescaled(views, scale), *normalization).contiguous(memory_format=torch.channels_last)
        maps = seed_maps(images, labels).float() + seed_maps(images.flip(3), labels).float().flip(3)
        large = F.interpolate(maps, size=padded, mode="bilinear", align_corners=False)
        total += large[:, :, : total.shape[2], : total.shape[3]]
    total *= labels[:, :, None, None]
    return total / (total.amax(dim=(2, 3), keepdim=True) + 1e-5)


def full_size(maps: Float[np.ndarray, "N h w"], size: tuple[int, int]) -> Float[np.ndarray, "N H W"]:
    """Maps of the quarter grid in pixels of the working size, bilinear; ``size`` is the photo's own."""
    grid = (maps.shape[1] * STRIDE, maps.shape[2] * STRIDE)  # may reach over the photo's edge
    height, width = working_size(size)
    if not len(maps):
        return np.zeros((0, height, width), maps.dtype)
    large = F.interpolate(torch.from_numpy(maps)[None], size=grid, mode="bilinear", align_corners=False)
    return large[0, :, :height, :width].numpy()


def sized_loader(dataset: Dataset, batch_size: int, workers: int = 0) -> Loader:
    """Every sample once at its working size, those of equal size together: batches without padding."""
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, sample in enumerate(dataset.samples):
        by_size[working_size(image_size(sample.path))].append(index)
    batches = [
        indices[start : start + batch_size]
        for indices in by_size.values()
        for start in range(0, len(indices), batch_size)
    ]
    return loader_of(SampleViews(dataset, native_view), batches, workers)


def native_view(image: Image.Image) -> UInt8[Tensor, "3 H W"]:
    """The photo at its working size."""
    return to_tensor(reduced(image))


def _rescaled(views: Float[Tensor, "B 3 H W"], scale: float) -> Float[Tensor, "B 3 h w"]:
    """Bicubic and antialiased as Pillow resizes, in [0, 1]; at least one pixel."""
    if scale == 1:
        return views
    size = [max(1, round(side * scale)) for side in views.shape[2:]]
    return F.interpolate(views, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


def _split(batched: Float[Tensor, "B K h w"], batch: Batch, dataset: Dataset) -> Iterator[tuple[Sample, Seed]]:
    """Each sample with the maps of its own tags."""
    for maps, index, size in zip(batched.cpu(), batch.index.tolist(), batch.size.tolist(), strict=True):
        sample = dataset.samples[index]
        tags = tuple(dataset.classes[label] for label in sample.labels)
        yield sample, Seed(maps[list(sample.labels)].numpy(), tags, (size[0], size[1]))
