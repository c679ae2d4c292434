"""Estimated duration of a training on this machine, from timing one photo and one small step at random weights."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from .. import methods
from ..config import Recipe
from ..data import Batch, decode, train_view
from ..inference.localizer import Localizer
from ..methods.base import FeatureBatch, Method
from ..structures import Dataset
from .fabric import make_fabric
from .feature_cache import feature_bytes, passes, worthwhile_views

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TRIED = 4
"""Photos in the step and in the localizing that are timed."""


def estimate(dataset: Dataset, recipe: Recipe, device: str = "auto") -> float:
    """Seconds of a training by ``recipe`` and of one prediction for every photo; right within a factor of two."""
    training, samples = recipe.training, len(dataset.samples)
    fabric = make_fabric(device, training.precision)
    kind = methods.load(recipe.method)
    options = kind.read_options(recipe.options)
    model = kind.build(recipe.architecture, len(dataset.classes), False, IMAGENET, options).to(fabric.device)
    if training.f1 != "train":
        model.freeze_f1()
    if model.fits_first:
        model.freeze_classifier()
    rng = np.random.default_rng(0)
    decoding = _seconds(lambda: train_view(decode(dataset.samples[0].path).image, rng, training.resize, training.crop))
    images = torch.rand(TRIED, 3, training.crop, training.crop, device=fabric.device)
    target = torch.arange(TRIED, device=fabric.device) % len(dataset.classes)
    labels = torch.nn.functional.one_hot(target, len(dataset.classes)).float()
    localizer = Localizer(model, dataset.classes, training.resize, training.crop, recipe.inference)
    few = replace(dataset, samples=dataset.samples[:TRIED])
    localizing = _seconds(lambda: list(localizer.stream(few, tags="predicted"))) / len(few.samples)
    model.train()
    with fabric.autocast():
        with torch.no_grad():
            f1 = _seconds(lambda: model.features(images)) / TRIED
            features = model.features(images)
        views = 0
        if training.f1 == "cached" and not kind.needs_images(recipe.architecture, options):
            views = worthwhile_views(training, samples, feature_bytes(model, training))
        pixels = (255 * images).to(torch.uint8)
        batch = (
            FeatureBatch(features.half(), target, labels, target)
            if views
            else Batch(pixels, target, labels, target, target[:, None].expand(-1, 2))
        )
        first = getattr(options, "classifier_steps", 0)
        step = _seconds(lambda: _step(model, batch, first)) / TRIED
    draws = passes(training, samples) * samples
    cached = samples * (decoding + views * f1) if views else draws * decoding
    return cached + draws * step + samples * localizing


def _step(model: Method, batch: Batch | FeatureBatch, step: int) -> None:
    torch.stack(list(model.losses(batch, step).values())).sum().backward()


def _seconds(work: Callable[[], object]) -> float:
    work()  # the first time pays for caches and kernels
    _wait()
    start = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    """Until a GPU, where one is in use, has done what it was told."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
