"""Seeds: class maps of every photo at several scales and mirrored, added up (Sec. 5.1; IRN, Ahn et al. 2019)."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ..data import Batch, evaluation_loader, image_size, normalise
from ..data.loader import Loader
from ..formats.seeds import STRIDE, Seed, quarter, working_size
from ..types import Collection, Photo

SCALES = (1.0, 0.5, 1.5, 2.0)
"""Of the photo, as in IRN and the authors' code."""
GRID = 16
"""Maps cover the photo padded to a multiple of this: the stride of the networks in use."""


@runtime_checkable
class Mapper(Protocol):
    """A network as seeds need it: normalised images and their multi-hot labels in, class maps >= 0 out."""

    def __call__(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]: ...


def make_seeds(
    mapper: Mapper,
    collection: Collection,
    normalisation: tuple[tuple[float, ...], tuple[float, ...]],
    *,
    scales: Sequence[float] = SCALES,
    batch_size: int = 8,
    device: torch.device | str = "cpu",
    workers: int = 0,
    precision: Callable[[], Any] = nullcontext,
) -> Iterator[tuple[Photo, Seed]]:
    """The seed of every photo, for its own tags only; photos of equal size share a batch.

    Raises:
        InputError: a photo that cannot be read.
    """
    for photos in by_size(collection):
        loader = sized_loader(photos, batch_size, workers)
        for batch in loader:
            with torch.no_grad(), precision():
                summed = multi_scale(mapper, batch, normalisation, scales, device)
            yield from zip(
                (photos.photos[number] for number in batch.index.tolist()),
                _shared_out(summed, batch, photos),
                strict=True,
            )


def multi_scale(
    mapper: Mapper,
    batch: Batch,
    normalisation: tuple[tuple[float, ...], tuple[float, ...]],
    scales: Sequence[float] = SCALES,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "B K h w"]:
    """Maps at a quarter of the view, in [0, 1]: the sum over scales and mirror images, by its maximum per class.

    Absent classes are zero everywhere. The authors divide by the maximum plus 1e-5.
    """
    views = batch.images.to(device, non_blocking=True).float() / 255
    labels = batch.labels.to(device, non_blocking=True)
    height, width = views.shape[2:]
    padded = tuple(-(-side // GRID) * GRID // STRIDE for side in (height, width))
    total = views.new_zeros(len(views), labels.shape[1], *quarter((height, width)))
    for scale in scales:
        images = normalise(_rescaled(views, scale), *normalisation).contiguous(memory_format=torch.channels_last)
        maps = mapper(images, labels).float() + mapper(images.flip(3), labels).float().flip(3)
        large = F.interpolate(maps, size=padded, mode="bilinear", align_corners=False)
        total += large[:, :, : total.shape[2], : total.shape[3]]
    total *= labels[:, :, None, None]
    return total / (total.amax(dim=(2, 3), keepdim=True) + 1e-5)


def full_size(maps: Float[np.ndarray, "N h w"], size: tuple[int, int]) -> Float[np.ndarray, "N H W"]:
    """Maps of the quarter grid in pixels of the working size, bilinear; ``size`` is the photo's own."""
    grid = (maps.shape[1] * STRIDE, maps.shape[2] * STRIDE)  # may reach over the photo's edge
    height, width = working_size(size)
    large = F.interpolate(torch.from_numpy(maps)[None], size=grid, mode="bilinear", align_corners=False)
    return large[0, :, :height, :width].numpy()


def sized_loader(photos: Collection, batch_size: int, workers: int = 0) -> Loader:
    """Photos of one size, at their working size."""
    return evaluation_loader(photos, native_view, batch_size, workers)


def native_view(image: Image.Image) -> UInt8[Tensor, "3 H W"]:
    """The photo at its working size."""
    height, width = working_size((image.height, image.width))
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


def by_size(collection: Collection) -> Iterator[Collection]:
    """The photos in groups of equal size, each a collection of its own, for batches without padding."""
    groups: dict[tuple[int, int], list[Photo]] = defaultdict(list)
    for photo in collection.photos:
        groups[photo.size or image_size(Path(photo.path))].append(photo)
    for photos in groups.values():
        yield Collection(collection.root, collection.classes, tuple(photos))


def _rescaled(views: Float[Tensor, "B 3 H W"], scale: float) -> Float[Tensor, "B 3 h w"]:
    """Bicubic as Pillow does it, in [0, 1]; nothing shrinks below one pixel."""
    if scale == 1:
        return views
    size = [max(1, round(side * scale)) for side in views.shape[2:]]
    return F.interpolate(views, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


def _shared_out(summed: Float[Tensor, "B K h w"], batch: Batch, photos: Collection) -> Iterator[Seed]:
    """Each photo's own maps."""
    for maps, number, size in zip(summed.cpu(), batch.index.tolist(), batch.size.tolist(), strict=True):
        labels = list(photos.photos[number].labels)
        tags = tuple(photos.classes[label] for label in labels)
        yield Seed(maps[labels].numpy(), tags, (size[0], size[1]))
