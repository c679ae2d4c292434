"""How long a training will take here: one photo and one small step of the network, with random weights, are timed."""

import time
from collections.abc import Callable

import numpy as np
import torch

from ..config import Recipe
from ..data import Batch, decode, train_view
from ..engine import make_fabric
from ..model import BAS
from ..types import Collection
from .cache import feature_bytes, passes, worthwhile_views
from .task import Localization

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TRIED = 4
"""Photos in the step that is timed."""


def estimate(collection: Collection, recipe: Recipe, device: str = "auto") -> float:
    """Seconds that training by ``recipe`` and one look at every photo will take; right within a factor of two."""
    training, photos = recipe.training, len(collection.photos)
    fabric = make_fabric(device, training.precision)
    model = BAS.from_architecture(recipe.architecture, len(collection.classes)).to(fabric.device)
    if training.stem != "train":
        model.freeze_stem()
    rng = np.random.default_rng(0)
    decoding = _seconds(
        lambda: train_view(decode(collection.photos[0].path).image, rng, training.resize, training.crop)
    )
    images = torch.rand(TRIED, 3, training.crop, training.crop, device=fabric.device)
    target = torch.arange(TRIED, device=fabric.device) % len(collection.classes)
    labels = torch.nn.functional.one_hot(target, len(collection.classes)).float()
    with fabric.autocast():
        with torch.no_grad():
            stem = _seconds(lambda: model.features(images)) / TRIED
            whole = _seconds(lambda: model(images)) / TRIED
            features = model.features(images)
        views = 0
        if training.stem == "cached" and recipe.architecture.hide == "features":
            views = worthwhile_views(training, photos, feature_bytes(model, training.crop))
        seen = features if views else images
        task = Localization(model, recipe.objective, IMAGENET, cached=views > 0)
        batch = Batch(seen, target, labels, target, target[:, None].expand(-1, 2))
        step = _seconds(lambda: _step(task, batch, recipe.objective.classifier_steps)) / TRIED
    draws = passes(training, photos) * photos
    cached = photos * (decoding + views * stem) if views else draws * decoding
    return cached + draws * step + photos * (decoding + whole)


def _step(task: Localization, batch: Batch, step: int) -> None:
    torch.stack(list(task(batch, step).values())).sum().backward()


def _seconds(work: Callable[[], object]) -> float:
    work()  # the first time pays for caches and kernels
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
