"""Seeds: class maps of every photo at several scales and mirrored, added up (Sec. 5.1; IRN, Ahn et al. 2019)."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ..data import Batch, image_size, normalise, reduced
from ..data.loader import Loader, Photos, loader_of
from ..data.transforms import to_tensor
from ..formats.seeds import STRIDE, Seed, quarter
from ..types import Collection, Photo, working_size

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
    """The seed of every photo, for its own tags only, in the order of :func:`sized_loader`.

    Raises:
        InputError: a photo that cannot be read.
    """
    for batch in sized_loader(collection, batch_size, workers):
        with torch.no_grad(), precision():
            summed = multi_scale(mapper, batch, normalisation, scales, device)
        yield from _shared_out(summed, batch, collection)


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
    if not len(maps):
        return np.zeros((0, height, width), maps.dtype)
    large = F.interpolate(torch.from_numpy(maps)[None], size=grid, mode="bilinear", align_corners=False)
    return large[0, :, :height, :width].numpy()


def sized_loader(collection: Collection, batch_size: int, workers: int = 0) -> Loader:
    """Every photo once at its working size, photos of equal size together: batches without padding."""
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, photo in enumerate(collection.photos):
        alike[working_size(image_size(photo.path))].append(place)
    batches = [
        places[start : start + batch_size] for places in alike.values() for start in range(0, len(places), batch_size)
    ]
    return loader_of(Photos(collection, native_view), batches, workers)


def native_view(image: Image.Image) -> UInt8[Tensor, "3 H W"]:
    """The photo at its working size."""
    return to_tensor(reduced(image))


def _rescaled(views: Float[Tensor, "B 3 H W"], scale: float) -> Float[Tensor, "B 3 h w"]:
    """Bicubic as Pillow does it, in [0, 1]; nothing shrinks below one pixel."""
    if scale == 1:
        return views
    size = [max(1, round(side * scale)) for side in views.shape[2:]]
    return F.interpolate(views, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


def _shared_out(summed: Float[Tensor, "B K h w"], batch: Batch, collection: Collection) -> Iterator[tuple[Photo, Seed]]:
    """Each photo's own maps."""
    for maps, number, size in zip(summed.cpu(), batch.index.tolist(), batch.size.tolist(), strict=True):
        photo = collection.photos[number]
        tags = tuple(collection.classes[label] for label in photo.labels)
        yield photo, Seed(maps[list(photo.labels)].numpy(), tags, (size[0], size[1]))
