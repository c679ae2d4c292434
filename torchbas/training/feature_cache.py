"""Cached features of a frozen F1, so that training takes minutes on a laptop."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
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
    """Features F of random views of every sample in half precision, in one memory-mapped file.

    Epochs take turns with the views, and each time a sample is drawn its features are mirrored or not: F1 of a mirrored
    photo is (nearly) the mirrored F1 of the photo.
    """

    def __init__(self, features: np.ndarray, dataset: Dataset, seed: int, missing: Collection[int] = ()) -> None:
        """In the place of a ``missing`` sample, which could not be read, the next one is drawn."""
        self.features = features
        """(views, samples, C, h, w)"""
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

    def batch(self, draws: list[Draw]) -> FeatureBatch:
        """The features of one training step."""
        index = self.drawn[[draw.index for draw in draws]]
        rngs = [np.random.default_rng((self.seed, draw.epoch, draw.index + 1)) for draw in draws]
        target = [
            tags[rng.integers(len(tags))] if (tags := self.tags[i]) else -1 for i, rng in zip(index, rngs, strict=True)
        ]
        flipped = torch.tensor([rng.random() < 0.5 for rng in rngs])
        views = np.array([(draw.epoch + draw.index) % len(self.features) for draw in draws])
        features = torch.from_numpy(self.features[views, index])
        features = torch.where(flipped[:, None, None, None], features.flip(3), features)
        rows = torch.from_numpy(index)
        return FeatureBatch(features, torch.tensor(target), self.labels[rows], rows)

    def every(self, size: int) -> Iterator[FeatureBatch]:
        """All views of all samples that are there, in order, in batches of ``size``; the first tag is the target."""
        target = torch.tensor([tags[0] if tags else -1 for tags in self.tags])
        for view in self.features:
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
        return (self.data.batch(draws) for draws in self.order)


def worthwhile_views(training: Training, samples: int, bytes_per_view: int, room: float = LARGEST) -> int:
    """Number of views to cache of each sample; 0 where most would be used only once, or none fits ``room`` bytes."""
    return min(training.views, int(passes(training, samples) / 2), int(room // (samples * bytes_per_view)))


def passes(training: Training, samples: int) -> float:
    """Passes of a training over the samples."""
    steps_per_epoch = math.ceil(math.ceil(samples / training.batch_size) / training.accumulate)
    steps = training.epochs * steps_per_epoch if training.steps is None else training.steps
    return steps / steps_per_epoch


def feature_bytes(model: Classifier, crop: int) -> int:
    """Bytes of the features of one view of one sample."""
    return 2 * math.prod(_feature_shape(model, crop))


@torch.inference_mode()
def _feature_shape(model: Classifier, crop: int) -> tuple[int, ...]:
    """Channels, height and width of F."""
    example = torch.zeros(1, 3, crop, crop, device=next(model.parameters()).device)
    with evaluating(model):
        return tuple(model.features(example).shape[1:])


@torch.inference_mode()
def cache_features(
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
    """Compute F1 of ``views`` random views of every sample, and write the features to ``file``.

    Each photo is decoded once. ``forward`` gives the context to run the network in (precision). Of several processes
    each computes its share of the photos; all see the same file.

    Raises:
        InputError: a photo that cannot be decoded, where ``unreadable`` is None; none that can.
    """
    device = next(model.parameters()).device
    view = partial(_views, count=views, resize=training.resize, crop=training.crop)
    at_once = max(1, training.batch_size // views)
    share = {"rank": together.rank, "world_size": together.of}
    loader = evaluation_loader(dataset, view, at_once, workers, seed=training.seed, unreadable=unreadable, **share)
    shape = (views, len(dataset.samples), *_feature_shape(model, training.crop))
    if together.rank == 0:
        np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
    together.gather(None)
    features = np.lib.format.open_memmap(file, mode="r+")
    there = set[int]()
    for batch in progress(loader, len(loader)):
        images = standardize(batch.images.flatten(0, 1).to(device, non_blocking=True), *model.normalization)
        with forward():  # pyright: ignore[reportGeneralTypeIssues]
            block = model.features(images.contiguous(memory_format=torch.channels_last)).half().cpu().numpy()
        block = block.reshape(len(batch.index), views, *block.shape[1:])
        features[:, batch.index.numpy()] = block.swapaxes(0, 1)
        there.update(batch.index.tolist())
    there = set[int]().union(*together.gather(there))
    if not there:
        file.unlink(missing_ok=True)
        raise InputError(f"None of the photos of {dataset.root} can be read any more; run bas check {dataset.root}.")
    return CachedFeatures(features, dataset, training.seed, set(range(len(dataset.samples))) - there)


def _views(image: Image.Image, rng: np.random.Generator, count: int, resize: int, crop: int) -> Tensor:
    return torch.stack([train_view(image, rng, resize, crop) for _ in range(count)])
