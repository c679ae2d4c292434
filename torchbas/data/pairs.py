"""Batches of photos with a label for every pixel, for whatever learns from masks.

All that is random about a pair is drawn from (seed, epoch, its position), as in :mod:`torchbas.data.loader`.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from .images import open_image, reduced
from .loader import Draw, Loader, Order, loader_of
from .transforms import MEAN_COLOUR, random_corner, to_tensor, window
from .truth import read_mask, refuse_other_size

IGNORE = 255


class Pairs(NamedTuple):
    """Photos and label maps of one step, before normalisation."""

    images: UInt8[Tensor, "B 3 H W"]
    labels: UInt8[Tensor, "B H W"]
    """0 background, n class n - 1, 255 where nobody knows, padding included."""
    index: Int64[Tensor, " B"]  # pyright: ignore[reportIncompatibleMethodOverride]
    """Positions in the list of pairs."""


class Jitter(NamedTuple):
    """How a pair is varied: enlarged, mirrored, cut out."""

    crop: int = 512
    """Both sides of the cut, in pixels; what lies outside the photo is padded."""
    scales: Sequence[float] = (0.5, 1.5)
    between: bool = True
    """A scale anywhere from the first to the last of ``scales``; or else one of them."""
    flip: bool = True
    fill: tuple[int, int, int] = MEAN_COLOUR
    """RGB of the padding."""

    def __call__(
        self, image: Image.Image, labels: Image.Image, rng: np.random.Generator
    ) -> tuple[UInt8[Tensor, "3 {self.crop} {self.crop}"], UInt8[Tensor, "{self.crop} {self.crop}"]]:
        """The same cut of both: the image resized bicubically, the labels to the nearest."""
        scale = rng.uniform(self.scales[0], self.scales[-1]) if self.between else rng.choice(self.scales)
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        labels = labels.resize((width, height), Image.Resampling.NEAREST)
        if self.flip and rng.random() < 0.5:
            image, labels = (one.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for one in (image, labels))
        left, top = random_corner(image, rng, self.crop)
        cut = window(labels, left, top, self.crop, IGNORE)
        return to_tensor(window(image, left, top, self.crop, self.fill)), torch.from_numpy(np.array(cut))


class _PairedPhotos(Dataset):
    """The pairs, decoded and varied. It can be sent to another process."""

    def __init__(self, pairs: Sequence[tuple[Path, Path]], jitter: Jitter, seed: int):
        self.paths = np.array([(os.fspath(photo), os.fspath(labels)) for photo, labels in pairs])
        self.jitter, self.seed = jitter, seed

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: Draw) -> Pairs | InputError:
        """A batch without its first dimension, or the reason why there is none."""
        try:
            image, labels = _read(*map(Path, self.paths[key.index]))
        except InputError as error:
            return error
        rng = np.random.default_rng((self.seed, key.epoch, key.index + 1))
        return Pairs(*self.jitter(image, labels, rng), torch.tensor(key.index))


def pair_loader(
    pairs: Sequence[tuple[Path, Path]],
    batch_size: int,
    seed: int,
    *,
    crop: int = 512,
    scales: Sequence[float] = (0.5, 1.5),
    between: bool = True,
    flip: bool = True,
    fill: tuple[int, int, int] = MEAN_COLOUR,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> Loader:
    """Random cuts of photos and their label maps, in random order; what is random is :class:`Jitter`'s.

    A label map is a palette or grey PNG of its photo's size; of a large photo both are first reduced to its
    :func:`~torchbas.types.working_size`. ``batch_size`` counts over all ``world_size`` processes;
    ``loader.set_epoch(epoch, start_batch)`` places the next iteration, see
    :func:`~torchbas.data.loader.training_loader`.

    Raises:
        InputError: while iterating, where a file cannot be read or the two are not of one size.
    """
    photos = _PairedPhotos(pairs, Jitter(crop, scales, between, flip, fill), seed)
    return loader_of(photos, Order(len(photos), batch_size, seed, rank, world_size), workers)


def _read(photo: Path, mask: Path) -> tuple[Image.Image, Image.Image]:
    image, labels = open_image(photo), Image.fromarray(read_mask(mask))
    refuse_other_size(mask, labels.size[::-1], photo, image.size[::-1])
    image = reduced(image)
    return image, labels.resize(image.size, Image.Resampling.NEAREST)
