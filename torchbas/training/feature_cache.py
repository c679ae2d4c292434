"""Cached features of a frozen F1, so that training takes minutes on a laptop."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config import Training
from ..data import Batch, Draw, Order, Unreadable, evaluation_loader, standardize, train_view
from ..errors import InputError
from ..methods.base import FeatureBatch, Method
from ..model.classifier import Classifier, evaluating
from ..structures import Dataset
from .fabric import ALONE, Together

FEATURES = "features.npy"
LARGEST = 6e9
"""Largest size of the cache in bytes."""

Progress = Callable[[Iterable[Batch], int], Iterable[Batch]]


class CachedFeatures:
    """Features F of random views of every sample in half precision, at one or more resolutions, memory-mapped.

    Batches take turns with the resolutions and epochs with the views, and each time a sample is drawn its features are
    mirrored or not: F1 of a mirrored photo is (nearly) the mirrored F1 of the photo.
    """

    def __init__(
        self, features: Sequence[np.ndarray], dataset: Dataset, seed: int, missing: Collection[int] = ()
    ) -> None:
        """In the place of a ``missing`` sample, which could not be read, the next one is drawn."""
        self.features = features
        """(views, samples, C, h, w) of each resolution."""
        self.there = np.array([index for index in range(len(dataset.samples)) if index not in missing])
        after = np.searchsorted(self.there, np.arange(len(dataset.samples)))
        self.drawn = self.there[after % len(self.there)]
        """Sample that is drawn for each."""
        self.seed = seed
        self.tags = [sample.labels for sample in dataset.samples]
        self.labels = torch.zeros(len(self.tags), len(dataset.classes))
        for row, tags in zip(self.labels, self.tags, strict=True):
            row[list(tags)] = 1

    def __len__(self) -> int:
        return len(self.tags)

    def batch(self, draws: list[Draw], turn: int = 0) -> FeatureBatch:
        """The features of one training step, all of the resolution whose ``turn`` it is."""
        index = self.drawn[[draw.index for draw in draws]]
        rngs = [np.random.default_rng((self.seed, draw.epoch, draw.index + 1)) for draw in draws]
        target = [
            tags[rng.integers(len(tags))] if (tags := self.tags[i]) else -1 for i, rng in zip(index, rngs, strict=True)
        ]
        flipped = torch.tensor([rng.random() < 0.5 for rng in rngs])
        cached = self.features[turn % len(self.features)]
        views = np.array([(draw.epoch + draw.index) % len(cached) for draw in draws])
        features = torch.from_numpy(cached[views, index])
        features = torch.where(flipped[:, None, None, None], features.flip(3), features)
        rows = torch.from_numpy(index)
        return FeatureBatch(features, torch.tensor(target), self.labels[rows], rows)

    def every(self, size: int) -> Iterator[FeatureBatch]:
        """All views of all samples that are there, in order, in batches of ``size``; the first tag is the target."""
        target = torch.tensor([tags[0] if tags else -1 for tags in self.tags])
        for view in chain.from_iterable(self.features):
            for rows in torch.from_numpy(self.there).split(size):
                yield FeatureBatch(torch.from_numpy(view[rows.numpy()]), target[rows], self.labels[rows], rows)


class CachedLoader:
    """Batches of cached features, in the order of :func:`torchbas.data.loader.training_loader`."""

    def __init__(self, data: CachedFeatures, order: Order) -> None:
        self.data, self.order = data, order

    def __len__(self) -> int:
        return len(self.order)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        self.order.set_epoch(epoch, start_batch)

    def __iter__(self) -> Iterator[FeatureBatch]:
        first = self.order.epoch + self.order.start_batch
        return (self.data.batch(draws, turn) for turn, draws in enumerate(self.order, start=first))


def worthwhile_views(
    training: Training, samples: int, bytes_per_view: int, room: float = LARGEST, *, kept: bool = False
) -> int:
    """Number of views to cache of each sample at each resolution; 0 where most would be used only once, unless there
    are several resolutions, or where none fits ``room`` bytes.

    Args:
        bytes_per_view: of a sample, at all resolutions.
        kept: for other trainings too, so that all views that are asked for are of use.
    """
    several = len(training.resolutions) > 1
    useful = max(int(several), int(passes(training, samples) / len(training.resolutions) / 2))
    return min(training.views, training.views if kept else useful, int(room // (samples * bytes_per_view)))


def passes(training: Training, samples: int) -> float:
    """Passes of a training over the samples."""
    steps_per_epoch = math.ceil(math.ceil(samples / training.batch_size) / training.accumulate)
    steps = training.epochs * steps_per_epoch if training.steps is None else training.steps
    return steps / steps_per_epoch


def sides_of(training: Training) -> list[tuple[int, int]]:
    """Sides in pixels of the squeezed photo and of its crop, at each resolution."""
    return [(round(training.resize * one), round(training.crop * one)) for one in training.resolutions]


def feature_bytes(model: Classifier, training: Training) -> int:
    """Bytes of the features of one view of one sample, at all resolutions."""
    return 2 * sum(math.prod(feature_shape(model, crop)) for _, crop in sides_of(training))


@torch.inference_mode()
def feature_shape(model: Classifier, crop: int) -> tuple[int, ...]:
    """Channels, height and width of F."""
    example = torch.zeros(1, 3, crop, crop, device=next(model.parameters()).device)
    with evaluating(model):
        return tuple(model.features(example).shape[1:])


def opened(file: Path, model: Classifier, training: Training, views: int, samples: int, mode: str) -> list[np.ndarray]:
    """The features in a file by resolution, (views, samples, C, h, w) each; a photo's lie side by side.

    Args:
        mode: of a memory map, ``w+`` for a new file.

    Raises:
        ValueError, OSError: a file of another shape, or none at all.
    """
    shapes = [feature_shape(model, crop) for _, crop in sides_of(training)]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    whole = (views, samples, int(ends[-1]))
    new = {"dtype": np.float16, "shape": whole} if mode == "w+" else {}
    flat = np.lib.format.open_memmap(file, mode=mode, **new)  # pyright: ignore[reportArgumentType]
    if flat.shape != whole or flat.dtype != np.float16:
        raise ValueError(f"{file} holds {flat.shape} numbers, not {whole}")
    parts = np.split(flat, ends[:-1], axis=2)
    return [part.reshape(views, samples, *shape) for part, shape in zip(parts, shapes, strict=True)]


@torch.inference_mode()
def compute_features(
    model: Method,
    dataset: Dataset,
    training: Training,
    file: Path,
    views: int,
    *,
    workers: int = 0,
    forward: Callable[[], object],
    progress: Progress,
    unreadable: Unreadable | None = None,
    together: Together = ALONE,
) -> CachedFeatures:
    """Compute F1 of ``views`` random views of every sample at each resolution, and write the features to ``file``.

    Each photo is decoded once for each resolution. ``forward`` gives the context to run the network in (precision). Of
    several processes each computes its share of the photos; all see the same file.

    Raises:
        InputError: a photo that cannot be decoded, where ``unreadable`` is None; none that can.
    """
    device = next(model.parameters()).device
    at_once, sides = max(1, training.batch_size // views), sides_of(training)
    how = {"seed": training.seed, "unreadable": unreadable, "rank": together.rank, "world_size": together.of}
    loaders = [
        evaluation_loader(dataset, partial(_views, count=views, resize=resize, crop=crop), at_once, workers, **how)
        for resize, crop in sides
    ]
    if together.rank == 0:
        opened(file, model, training, views, len(dataset.samples), "w+")
    together.gather(None)
    features = opened(file, model, training, views, len(dataset.samples), "r+")
    of_crop = {crop: cached for (_, crop), cached in zip(sides, features, strict=True)}
    read = Counter[int]()
    for batch in progress(chain(*loaders), sum(map(len, loaders))):
        images = standardize(batch.images.flatten(0, 1).to(device, non_blocking=True), *model.normalization)
        with forward():  # pyright: ignore[reportGeneralTypeIssues]
            block = model.features(images.contiguous(memory_format=torch.channels_last)).half().cpu().numpy()
        block = block.reshape(len(batch.index), views, *block.shape[1:])
        of_crop[images.shape[3]][:, batch.index.numpy()] = block.swapaxes(0, 1)
        read.update(batch.index.tolist())
    everywhere = {index for index, times in read.items() if times == len(sides)}
    there = set[int]().union(*together.gather(everywhere))
    if not there:
        file.unlink(missing_ok=True)
        raise InputError(f"None of the photos of {dataset.root} can be read any more; run bas check {dataset.root}.")
    return CachedFeatures(features, dataset, training.seed, set(range(len(dataset.samples))) - there)


def _views(image: Image.Image, rng: np.random.Generator, count: int, resize: int, crop: int) -> Tensor:
    return torch.stack([train_view(image, rng, resize, crop) for _ in range(count)])
