"""Features of a frozen stem, computed once: what makes training on a laptop a matter of minutes."""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config import Training
from ..data import Batch, Draw, Order, evaluation_loader, normalise, train_view
from ..model import BAS
from ..types import Collection

LARGEST = 6e9
"""Bytes of features that may be kept on disk."""

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
Progress = Callable[[Iterable[Batch], int], Iterable[Batch]]


class CachedFeatures:
    """Random views of every photo as features F in half precision, in one memory-mapped file.

    Epochs take turns with the views, and each time a photo is drawn its features are mirrored or not: a stem answers
    a mirrored photo with (nearly) mirrored features.
    """

    def __init__(self, features: np.ndarray, collection: Collection, seed: int) -> None:
        self.features = features
        """(views, photos, C, h, w)"""
        self.seed = seed
        self.tags = [photo.labels for photo in collection.photos]
        self.labels = torch.zeros(len(self.tags), len(collection.classes))
        for row, tags in zip(self.labels, self.tags, strict=True):
            row[list(tags)] = 1

    def __len__(self) -> int:
        return len(self.tags)

    def batch(self, draws: list[Draw]) -> Batch:
        """The features of one training step."""
        index = np.array([draw.index for draw in draws])
        rngs = [np.random.default_rng((self.seed, draw.epoch, draw.index + 1)) for draw in draws]
        target = [self.tags[i][rng.integers(len(self.tags[i]))] for i, rng in zip(index, rngs, strict=True)]
        flipped = torch.tensor([rng.random() < 0.5 for rng in rngs])
        views = np.array([(draw.epoch + draw.index) % len(self.features) for draw in draws])
        features = torch.from_numpy(self.features[views, index])
        features = torch.where(flipped[:, None, None, None], features.flip(3), features)
        rows = torch.from_numpy(index)
        return Batch(features, torch.tensor(target), self.labels[rows], rows, torch.zeros(len(rows), 2).long())


class CachedLoader:
    """Batches of cached features in the same resumable order as photos would come."""

    def __init__(self, data: CachedFeatures, order: Order) -> None:
        self.data, self.order = data, order

    def __len__(self) -> int:
        return len(self.order)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        self.order.set_epoch(epoch, start_batch)

    def __iter__(self) -> Iterator[Batch]:
        return (self.data.batch(draws) for draws in self.order)


def worthwhile_views(training: Training, photos: int, bytes_per_view: int, room: float = LARGEST) -> int:
    """How many views of each photo pay: 0 when most would be used at most once, or too large for ``room`` bytes."""
    return min(training.views, int(passes(training, photos) / 2), int(room // (photos * bytes_per_view)))


def passes(training: Training, photos: int) -> float:
    """How often a training looks at each photo."""
    steps_per_epoch = math.ceil(math.ceil(photos / training.batch_size) / training.accumulate)
    return (training.steps or training.epochs * steps_per_epoch) / steps_per_epoch


@torch.inference_mode()
def feature_bytes(model: BAS, crop: int) -> int:
    """Bytes of one view's features."""
    example = torch.zeros(1, 3, crop, crop, device=next(model.parameters()).device)
    was_training = model.training
    size = model.eval().features(example).numel() * 2
    model.train(was_training)
    return size


@torch.inference_mode()
def cache_features(
    model: BAS,
    collection: Collection,
    training: Training,
    normalisation: Normalisation,
    file: Path,
    views: int,
    *,
    workers: int = 0,
    forward: Callable[[], object],
    progress: Progress,
) -> CachedFeatures:
    """Run the stem over ``views`` random views of every photo and keep the features in ``file``.

    Each photo is decoded once. ``forward`` gives the context to run the network in (precision).
    """
    device = next(model.parameters()).device
    view = partial(_views, count=views, resize=training.resize, crop=training.crop)
    loader = evaluation_loader(collection, view, max(1, training.batch_size // views), workers, seed=training.seed)
    features: np.ndarray | None = None
    for batch in progress(loader, len(loader)):
        images = normalise(batch.images.flatten(0, 1).to(device, non_blocking=True), *normalisation)
        with forward():  # pyright: ignore[reportGeneralTypeIssues]
            block = model.features(images.contiguous(memory_format=torch.channels_last)).half().cpu().numpy()
        block = block.reshape(len(batch.index), views, *block.shape[1:])
        if features is None:
            shape = (views, len(collection.photos), *block.shape[2:])
            features = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
        features[:, batch.index.numpy()] = block.swapaxes(0, 1)
    assert features is not None, "a training has photos"
    return CachedFeatures(features, collection, training.seed)


def _views(image: Image.Image, rng: np.random.Generator, count: int, resize: int, crop: int) -> Tensor:
    return torch.stack([train_view(image, rng, resize, crop) for _ in range(count)])
