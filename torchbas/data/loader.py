"""Batches of photos in an order, and with augmentations, that depend on the seed and the epoch alone.

Whatever is random about a photo is drawn from (seed, epoch, its position), and the order from (seed, epoch). So
neither the number of workers, nor the number of processes, nor an interruption in the middle changes what is learned.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from ..errors import InputError
from ..types import Collection
from .images import decode
from .transforms import long_side_view, train_view

View = Callable[..., Tensor]


class Batch(NamedTuple):
    """Photos of one step, before normalisation."""

    images: UInt8[Tensor, "B *crops 3 H W"]
    """One view of each photo; ten with :func:`~torchbas.data.transforms.ten_crops`."""
    target: Int64[Tensor, " B"]
    """One tag of each photo: in training a random one of those present, in evaluation the first; -1 without tags."""
    labels: Float[Tensor, "B K"]
    """1 for every tag of the photo, else 0."""
    index: Int64[Tensor, " B"]  # pyright: ignore[reportIncompatibleMethodOverride]
    """Positions in :attr:`Collection.photos`."""
    size: Int64[Tensor, "B 2"]
    """Height and width of the original photos, EXIF applied."""


class Draw(NamedTuple):
    """A photo's position, and the epoch that seeds what is random about it."""

    epoch: int
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]


class Photos(Dataset):
    """The photos of a collection, decoded, viewed and labelled. It can be sent to another process."""

    def __init__(self, collection: Collection, view: View, seed: int | None = None, at_least: int | None = None):
        """With a ``seed`` the view is called as ``view(image, rng)`` and the target is drawn; without one nothing is
        random. ``at_least`` allows reduced decoding, see :func:`~torchbas.data.images.decode`."""
        self.paths = np.array([os.fspath(photo.path) for photo in collection.photos])
        self.labels = [photo.labels for photo in collection.photos]
        self.classes = len(collection.classes)
        self.view, self.seed, self.at_least = view, seed, at_least

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: int | Draw) -> Batch | InputError:
        """A batch without its first dimension, or the reason why there is none.

        The reason is returned because an exception that leaves a worker arrives wrapped in a traceback.
        """
        epoch, index = key if isinstance(key, Draw) else Draw(0, key)
        present = self.labels[index]
        try:
            image, size = decode(Path(self.paths[index]), self.at_least)
        except InputError as error:
            return error
        if self.seed is None:
            target, view = (present[0] if present else -1), self.view(image)
        else:
            rng = np.random.default_rng((self.seed, epoch, index + 1))  # (seed, epoch, 0) orders the epoch
            target, view = (present[rng.integers(len(present))] if present else -1), self.view(image, rng)
        labels = torch.zeros(self.classes)
        labels[list(present)] = 1
        return Batch(view, torch.tensor(target), labels, torch.tensor(index), torch.tensor(size))


class Order(Sampler[list[Draw]]):
    """Which photos make which batch, for one process among several.

    Batches of ``batch_size`` photos are formed over all processes together and shared out equally, so the mean of the
    processes' gradients is the gradient of the batch. The last batch of an epoch is kept, but trimmed until it can be
    shared equally too.
    """

    def __init__(self, count: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1):
        if batch_size % world_size:
            raise InputError(f"{world_size} processes cannot share a batch of {batch_size}. Change --batch-size.")
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.set_epoch(0)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Go to a place in the training: the next iteration begins at this batch of this epoch."""
        self.epoch, self.start_batch = epoch, start_batch

    def __len__(self) -> int:
        """Batches in a whole epoch, wherever the next iteration begins."""
        return -(-(self.count // self.world_size) // (self.batch_size // self.world_size))

    def __iter__(self) -> Iterator[list[Draw]]:
        usable = self.count - self.count % self.world_size
        order = np.random.default_rng((self.seed, self.epoch, 0)).permutation(self.count)[:usable].tolist()
        for start in range(self.start_batch * self.batch_size, usable, self.batch_size):
            share = order[start : start + self.batch_size][self.rank :: self.world_size]
            yield [Draw(self.epoch, index) for index in share]


class Loader(DataLoader):
    """A DataLoader whose errors are the sentence the worker wrote."""

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Go to a place in the training; only for loaders that train."""
        assert isinstance(self.batch_sampler, Order), "an evaluation has no epochs"
        self.batch_sampler.set_epoch(epoch, start_batch)

    def __iter__(self) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        for batch in super().__iter__():
            if isinstance(batch, InputError):
                raise batch
            yield batch


def training_loader(
    collection: Collection,
    batch_size: int,
    seed: int,
    resize: int = 256,
    crop: int = 224,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    at_least: int | None = None,
    view: Literal["squeeze", "long_side"] = "squeeze",
) -> Loader:
    """Random views of the photos in random order; ``loader.set_epoch(epoch, start_batch)`` places the next iteration.

    ``view`` is :func:`~torchbas.data.transforms.train_view`, or :func:`~torchbas.data.transforms.long_side_view`,
    which has no use for ``resize``.
    ``batch_size`` counts over all ``world_size`` processes. ``len(loader)`` is the number of steps in an epoch. Every
    photo must have a tag. Already shared among processes: Fabric must not replace the sampler.
    """
    squeezed = view == "squeeze"
    drawn = partial(train_view, resize=resize, crop=crop) if squeezed else partial(long_side_view, crop=crop)
    photos = Photos(collection, drawn, seed, at_least)
    return loader_of(photos, Order(len(photos), batch_size, seed, rank, world_size), workers)


def evaluation_loader(
    collection: Collection,
    view: View,
    batch_size: int,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    at_least: int | None = None,
    seed: int | None = None,
) -> Loader:
    """Every photo once, in order; ``view`` makes a tensor of an image, e.g. ``partial(centre_view, crop=224)``.

    Of several processes each takes every ``world_size``-th photo; nothing is repeated, so shares may differ by one.
    With a ``seed`` the view is called as ``view(image, rng)``.
    """
    photos = Photos(collection, view, seed, at_least)
    batches = BatchSampler(range(rank, len(photos), world_size), batch_size, drop_last=False)  # pyright: ignore[reportArgumentType]
    return loader_of(photos, batches, workers)


def loader_of(samples: Dataset, batches: Iterable[list[Any]], workers: int) -> Loader:
    """Batches of a data set whose samples are named tuples of tensors, or the :class:`InputError` that is raised."""
    return Loader(
        samples,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=calm_worker,
        persistent_workers=workers > 0,
    )


def _collate(samples: list[Any]) -> Any:
    for sample in samples:
        if isinstance(sample, InputError):
            return sample
    return type(samples[0])(*(torch.stack(column) for column in zip(*samples, strict=True)))


def calm_worker(_: int) -> None:
    """Start a loading process: one thread, and Ctrl-C left to the main process."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
