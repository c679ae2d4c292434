"""Training pairs, a photo and its label map, in augmented batches.

The augmentation of a pair is drawn from (seed, epoch, its position), as in :mod:`torchbas.data.loader`.
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
from torch.utils.data import Dataset as TorchDataset

from ..errors import InputError
from ..structures import IGNORE_INDEX
from .ground_truth import read_mask
from .images import open_image, reduced, require_same_size
from .loader import Draw, Loader, Order, loader_of
from .transforms import MEAN_COLOR, random_corner, to_tensor, window


class PairBatch(NamedTuple):
    """Photos and label maps of one step, before normalization."""

    images: UInt8[Tensor, "B 3 H W"]
    labels: UInt8[Tensor, "B H W"]
    """0 background, n class n - 1, ``IGNORE_INDEX`` unknown and padding."""
    index: Int64[Tensor, " B"]  # pyright: ignore[reportIncompatibleMethodOverride]
    """Positions in the list of pairs."""


class PairAugmentation(NamedTuple):
    """Random scale, mirroring and crop, the same for a photo and its label map."""

    crop: int = 512
    """Height and width of the crop in pixels; padded where the photo is smaller."""
    scales: Sequence[float] = (0.5, 1.5)
    between: bool = True
    """Draw the scale uniformly between the first and the last of ``scales``; or else from ``scales``."""
    flip: bool = True
    fill: tuple[int, int, int] = MEAN_COLOR
    """RGB of the padding."""

    def __call__(
        self, image: Image.Image, labels: Image.Image, rng: np.random.Generator
    ) -> tuple[UInt8[Tensor, "3 {self.crop} {self.crop}"], UInt8[Tensor, "{self.crop} {self.crop}"]]:
        """Image and labels after augmentation: the image resized bicubically, the labels to the nearest pixel."""
        scale = rng.uniform(self.scales[0], self.scales[-1]) if self.between else rng.choice(self.scales)
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        labels = labels.resize((width, height), Image.Resampling.NEAREST)
        if self.flip and rng.random() < 0.5:
            image, labels = (one.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for one in (image, labels))
        left, top = random_corner(image, rng, self.crop)
        cropped = window(labels, left, top, self.crop, IGNORE_INDEX)
        return to_tensor(window(image, left, top, self.crop, self.fill)), torch.from_numpy(np.array(cropped))


class _AugmentedPairs(TorchDataset):
    """A map-style dataset of the pairs, decoded and augmented. It can be pickled."""

    def __init__(self, pairs: Sequence[tuple[Path, Path]], augmentation: PairAugmentation, seed: int):
        self.paths = np.array([(os.fspath(photo), os.fspath(labels)) for photo, labels in pairs])
        self.augmentation, self.seed = augmentation, seed

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: Draw) -> PairBatch | InputError:
        """A batch without its first dimension, or the error of a pair that cannot be read."""
        try:
            image, labels = _read(*map(Path, self.paths[key.index]))
        except InputError as error:
            return error
        rng = np.random.default_rng((self.seed, key.epoch, key.index + 1))
        return PairBatch(*self.augmentation(image, labels, rng), torch.tensor(key.index))


def pair_loader(
    pairs: Sequence[tuple[Path, Path]],
    batch_size: int,
    seed: int,
    *,
    crop: int = 512,
    scales: Sequence[float] = (0.5, 1.5),
    between: bool = True,
    flip: bool = True,
    fill: tuple[int, int, int] = MEAN_COLOR,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> Loader:
    """Augmented photos and label maps in random order, as :class:`PairBatch`.

    A label map is a palette or gray PNG of its photo's size; both are first reduced to the photo's
    :func:`~torchbas.structures.working_size`. ``loader.set_epoch(epoch, start_batch)`` sets where the next iteration
    begins, see :func:`~torchbas.data.loader.training_loader`.

    Args:
        pairs: files of photos and label maps.
        batch_size: pairs per step, over all ``world_size`` processes.
        crop, scales, between, flip, fill: see :class:`PairAugmentation`.

    Raises:
        InputError: while iterating, a file that cannot be read, or two of different sizes.
    """
    samples = _AugmentedPairs(pairs, PairAugmentation(crop, scales, between, flip, fill), seed)
    return loader_of(samples, Order(len(samples), batch_size, seed, rank, world_size), workers)


def _read(photo: Path, mask: Path) -> tuple[Image.Image, Image.Image]:
    image, labels = open_image(photo), Image.fromarray(read_mask(mask))
    require_same_size(mask, labels.size[::-1], photo, image.size[::-1])
    image = reduced(image)
    return image, labels.resize(image.size, Image.Resampling.NEAREST)
