"""Batches of photos whose order and augmentation depend on the seed and the epoch alone.

The augmentation of a photo is drawn from (seed, epoch, its position), the order from (seed, epoch). So neither the
number of workers, nor the number of processes, nor an interruption changes the training.
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
from PIL import Image
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from ..errors import InputError
from ..structures import Dataset, Problem
from .images import Decoded, UnreadableImage, decode
from .transforms import long_side_view, train_view

View = Callable[..., Tensor]
"""From an image, and a generator where the view is random, to its uint8 tensor."""


class Batch(NamedTuple):
    """Photos of one step, before normalization."""

    images: UInt8[Tensor, "B *crops 3 H W"]
    """One view of each photo; ten with :func:`~torchbas.data.transforms.ten_crops`."""
    target: Int64[Tensor, " B"]
    """One tag of each photo: in training a random one of those present, in evaluation the first; -1 without tags."""
    labels: Float[Tensor, "B K"]
    """1 for every tag of the photo, else 0."""
    index: Int64[Tensor, " B"]  # pyright: ignore[reportIncompatibleMethodOverride]
    """Positions in :attr:`Dataset.samples <torchbas.structures.Dataset.samples>`."""
    size: Int64[Tensor, "B 2"]
    """Height and width of the original photos, EXIF applied."""


Unreadable = Callable[[Problem], None]
"""Told of each photo that cannot be read any more, every time it is asked for, and that the work goes on without it."""


class Unread(NamedTuple):
    """A photo that cannot be decoded."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]
    error: UnreadableImage
    instead: Batch | None
    """In training the next photo that can, one without a batch's first dimension."""


class Draw(NamedTuple):
    """A photo's position, and the epoch that seeds its augmentation."""

    epoch: int
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]


class SampleViews(TorchDataset):
    """A map-style dataset of the photos as decoded, viewed and labeled tensors. It can be pickled."""

    def __init__(self, dataset: Dataset, view: View, seed: int | None = None, at_least: int | None = None):
        """With a ``seed`` the view is called as ``view(image, rng)`` and the target is drawn; without one the view is
        called as ``view(image)`` and the target is the first tag. ``at_least`` allows reduced decoding, see
        :func:`~torchbas.data.images.decode`."""
        self.paths = np.array([os.fspath(sample.path) for sample in dataset.samples])
        given = [sample.image or sample.content for sample in dataset.samples]
        self.given = given if any(one is not None for one in given) else []
        self.labels = [sample.labels for sample in dataset.samples]
        self.classes = len(dataset.classes)
        self.view, self.seed, self.at_least = view, seed, at_least

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: int | Draw) -> Batch | Unread:
        """A batch without its first dimension, or the error of a photo that cannot be decoded.

        The error is returned because an exception that leaves a worker arrives wrapped in a traceback.
        """
        epoch, index = key if isinstance(key, Draw) else Draw(0, key)
        try:
            return self._read(epoch, index)
        except UnreadableImage as error:
            return Unread(index, error, self._next(epoch, index) if isinstance(key, Draw) else None)

    def _next(self, epoch: int, index: int) -> Batch | None:
        for other in (*range(index + 1, len(self)), *range(index)):
            try:
                return self._read(epoch, other)
            except UnreadableImage:
                continue
        return None

    def _read(self, epoch: int, index: int) -> Batch:
        present = self.labels[index]
        image, size = self._photo(index)
        if self.seed is None:
            target, view = (present[0] if present else -1), self.view(image)
        else:
            rng = np.random.default_rng((self.seed, epoch, index + 1))  # (seed, epoch, 0) orders the epoch
            target, view = (present[rng.integers(len(present))] if present else -1), self.view(image, rng)
        labels = torch.zeros(self.classes)
        labels[list(present)] = 1
        return Batch(view, torch.tensor(target), labels, torch.tensor(index), torch.tensor(size))

    def _photo(self, index: int) -> Decoded:
        given = self.given[index] if self.given else None
        if isinstance(given, Image.Image):
            return Decoded(given, (given.height, given.width))
        return decode(Path(self.paths[index]), self.at_least, given)


class Order(Sampler[list[Draw]]):
    """A batch sampler in random order, for one process among several.

    Batches of ``batch_size`` photos are formed over all processes together and shared out equally, so the mean of the
    processes' gradients is the gradient of the batch. The last batch of an epoch is kept, but trimmed until it can be
    shared equally too.

    Raises:
        InputError: a ``batch_size`` that ``world_size`` does not divide.
    """

    def __init__(self, count: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1):
        if batch_size % world_size:
            raise InputError(f"{world_size} processes cannot share a batch of {batch_size}. Change --batch-size.")
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.set_epoch(0)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Let the next iteration begin at this batch of this epoch."""
        self.epoch, self.start_batch = epoch, start_batch

    def __len__(self) -> int:
        """Batches in a whole epoch, independent of ``start_batch``."""
        return -(-(self.count // self.world_size) // (self.batch_size // self.world_size))

    def __iter__(self) -> Iterator[list[Draw]]:
        usable = self.count - self.count % self.world_size
        order = np.random.default_rng((self.seed, self.epoch, 0)).permutation(self.count)[:usable].tolist()
        for start in range(self.start_batch * self.batch_size, usable, self.batch_size):
            share = order[start : start + self.batch_size][self.rank :: self.world_size]
            yield [Draw(self.epoch, index) for index in share]


class Loader(DataLoader):
    """A DataLoader that raises the :class:`InputError` of a worker as the worker made it, or does without a photo."""

    unread: Callable[[Unread], None] | None = None
    """Told of photos that cannot be decoded; None raises their error."""

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Let the next iteration begin at this batch of this epoch; for training loaders only."""
        assert isinstance(self.batch_sampler, Order), "an evaluation has no epochs"
        self.batch_sampler.set_epoch(epoch, start_batch)

    def __iter__(self) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        for found in super().__iter__():
            if isinstance(found, InputError):
                raise found
            batch, unread = found
            for one in unread:
                if self.unread is None or (batch is None and isinstance(self.batch_sampler, Order)):
                    raise one.error
                self.unread(one)
            if batch is not None:
                yield batch


def training_loader(
    dataset: Dataset,
    batch_size: int,
    seed: int,
    resize: int = 256,
    crop: int = 224,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    at_least: int | None = None,
    view: Literal["squeeze", "long_side"] = "squeeze",
    unreadable: Unreadable | None = None,
) -> Loader:
    """Random views of the photos in random order, as :class:`Batch`; every photo must have a tag.

    ``loader.set_epoch(epoch, start_batch)`` sets where the next iteration begins, and ``len(loader)`` is the number of
    steps in an epoch. The photos are already shared among processes: Fabric must not replace the sampler.

    Args:
        batch_size: photos per step, over all ``world_size`` processes.
        view: ``squeeze`` is :func:`~torchbas.data.transforms.train_view`, ``long_side``
            :func:`~torchbas.data.transforms.long_side_view`, which does not use ``resize``.
        at_least: allows reduced decoding, see :func:`~torchbas.data.images.decode`.
        unreadable: told of photos that cannot be decoded, in whose place the next one is taken.

    Raises:
        InputError: while iterating, a photo that cannot be decoded, where ``unreadable`` is None; no photo that can.
    """
    views = {
        "squeeze": partial(train_view, resize=resize, crop=crop),
        "long_side": partial(long_side_view, crop=crop),
    }
    samples = SampleViews(dataset, views[view], seed, at_least)
    order = Order(len(samples), batch_size, seed, rank, world_size)
    return loader_of(samples, order, workers, _named(dataset, unreadable))


def evaluation_loader(
    dataset: Dataset,
    view: View,
    batch_size: int,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    at_least: int | None = None,
    seed: int | None = None,
    unreadable: Unreadable | None = None,
) -> Loader:
    """Every photo once, in order, as :class:`Batch`; ``view`` is e.g. ``partial(center_view, crop=224)``.

    Of several processes each takes every ``world_size``-th photo; none is repeated, so shares may differ by one.
    With a ``seed`` the view is called as ``view(image, rng)``. Photos that cannot be decoded are left out where
    ``unreadable`` is told of them.

    Raises:
        InputError: while iterating, a photo that cannot be decoded, where ``unreadable`` is None.
    """
    samples = SampleViews(dataset, view, seed, at_least)
    batches = BatchSampler(range(rank, len(samples), world_size), batch_size, drop_last=False)  # pyright: ignore[reportArgumentType]
    return loader_of(samples, batches, workers, _named(dataset, unreadable))


def _named(dataset: Dataset, unreadable: Unreadable | None) -> Callable[[Unread], None] | None:
    """``unreadable``, told of a photo by its name in the dataset."""
    if unreadable is None:
        return None
    return lambda one: unreadable(Problem(dataset.samples[one.index].name, str(one.error)))


def loader_of(
    items: TorchDataset,
    batches: Iterable[list[Any]],
    workers: int,
    unread: Callable[[Unread], None] | None = None,
) -> Loader:
    """A loader of ``items`` that are named tuples of tensors, stacked, an :class:`Unread`, or an :class:`InputError`,
    raised."""
    loader = Loader(
        items,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=init_worker,
        persistent_workers=workers > 0,
    )
    loader.unread = unread
    return loader


def _collate(items: list[Any]) -> InputError | tuple[Any, list[Unread]]:
    """A batch, None where it has no photo, and those that could not be decoded."""
    for item in items:
        if isinstance(item, InputError):
            return item
    unread = [item for item in items if isinstance(item, Unread)]
    read = [one for one in (item.instead if isinstance(item, Unread) else item for item in items) if one is not None]
    batch = type(read[0])(*(torch.stack(column) for column in zip(*read, strict=True))) if read else None
    return batch, [one._replace(instead=None) for one in unread]  # sent once


def init_worker(_: int) -> None:
    """Set up a loading process: one thread; SIGINT is left to the main process."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
