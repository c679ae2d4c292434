"""From a collection and a recipe to a trained localizer: the one place where data, model and engine meet."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from lightning.fabric import Fabric

from ..config import Architecture, Recipe
from ..data import Order
from ..engine import CHECKPOINT, Hooks, fit, make_fabric
from ..engine.language import Judge
from ..engine.loop import Loader
from ..engine.preparation import fingerprint, finished, photo_loader, trainable
from ..errors import InputError
from ..model import BAS
from ..model.weights import is_run, normalisation, origin, start_from
from ..types import Collection
from .cache import LARGEST, CachedLoader, Progress, cache_features, feature_bytes, worthwhile_views
from .localizer import Localizer, silent
from .task import Localization

FEATURES = "features.npy"


def train(
    collection: Collection,
    recipe: Recipe,
    out: Path,
    *,
    weights: bool | str | Path = True,
    clip_model: str | Path | None = None,
    prompts: str | Path | None = None,
    device: str = "auto",
    workers: int = 0,
    resume: bool = False,
    hooks: Callable[[Localizer], Hooks] = lambda _: Hooks(),
    progress: Progress = silent,
) -> Localizer:
    """Train by ``recipe`` on the photos of the splits ``train`` and none, and save the model into ``out``.

    Args:
        weights: True fetches ImageNet weights by name, a path reads a local file or goes on from a trained model's
            folder (BAS or a baseline: all but the generator), False starts from nothing.
        clip_model: adds what a CLIP says of the maps, see :func:`torchbas.model.clip.load_clip`.
        prompts: its words, see :func:`torchbas.engine.language.read_sentences`.
        hooks: what to call while training, made when the model stands.

    Raises:
        InputError: fewer than two tags in use; weights or a CLIP that cannot be had; a recipe without images or maps
            that CLIP could look at; a checkpoint of other settings.
        Interrupted: stopped by the user; ``resume`` goes on.
    """
    photos = trainable(collection)
    _check_clip(recipe, clip_model)
    identity = fingerprint(recipe, photos, origin(weights), *([clip_model, prompts] if clip_model else []))
    if resume and (done := finished(out, identity, Localizer.load)):
        return done
    training = recipe.training
    fabric = make_fabric(device, training.precision, unused_parameters=recipe.objective.classifier_steps > 0)
    fabric.seed_everything(training.seed, verbose=False)
    model = _start(recipe.architecture, photos.classes, weights).to(fabric.device)
    if training.channels_last:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    mean, std = normalisation(recipe.architecture.backbone, weights)
    localizer = Localizer(
        model, photos.classes, mean, std, training.resize, training.crop, recipe.inference, recipe.name, identity
    )
    if training.stem != "train":
        model.freeze_stem()
    out.mkdir(parents=True, exist_ok=True)
    loader, cached = _loader(fabric, localizer, photos, recipe, out, workers, progress)
    judge = Judge.load(clip_model, photos.classes, prompts, fabric.device) if clip_model else None
    task = Localization(model, recipe.objective, (mean, std), cached=cached, judge=judge)
    fit(fabric, task, loader, training, out, resume=resume, fingerprint=identity, hooks=hooks(localizer))
    if fabric.is_global_zero:
        localizer.save(out)
        for leftover in (FEATURES, CHECKPOINT):
            (out / leftover).unlink(missing_ok=True)
    return localizer


def _start(architecture: Architecture, classes: tuple[str, ...], weights: bool | str | Path) -> BAS:
    """The network with the weights it starts from."""
    run = is_run(weights)
    model = BAS.from_architecture(architecture, len(classes), not run and weights)
    if run:
        start_from(model, weights, classes)
    return model


def _check_clip(recipe: Recipe, clip_model: str | Path | None) -> None:
    if clip_model and recipe.training.stem == "cached":
        raise InputError(f"{recipe.name} keeps features instead of photos, but CLIP looks at photos: --stem train.")
    if clip_model and recipe.architecture.agnostic:
        raise InputError(
            f"{recipe.name} makes one map of all classes, but CLIP judges each class's: leave out --agnostic."
        )


def _loader(
    fabric: Fabric,
    localizer: Localizer,
    photos: Collection,
    recipe: Recipe,
    out: Path,
    workers: int,
    progress: Progress,
) -> tuple[Loader, bool]:
    """Photos, or the features of a frozen stem where keeping them pays; and which of the two it is."""
    training, model = recipe.training, localizer.model
    views = 0
    if training.stem == "cached" and fabric.world_size == 1 and recipe.architecture.hide == "features":
        (out / FEATURES).unlink(missing_ok=True)  # a stopped run's; they are computed again
        room = min(LARGEST, shutil.disk_usage(out).free / 2)  # a mapped file that outgrows its disk kills the process
        views = worthwhile_views(training, len(photos.photos), feature_bytes(model, training.crop), room)
    if not views:
        return photo_loader(fabric, photos, training, workers), False
    features = cache_features(
        model,
        photos,
        training,
        (localizer.mean, localizer.std),
        out / FEATURES,
        views,
        workers=workers,
        forward=fabric.autocast,
        progress=progress,
    )
    return CachedLoader(features, Order(len(features), training.batch_size, training.seed)), True
