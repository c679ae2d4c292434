"""From a collection and a recipe to a trained localizer: the one place where data, model and engine meet."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from ..config import Recipe
from ..data import Order, training_loader
from ..engine import CHECKPOINT, Hooks, fit, make_fabric
from ..engine.loop import Loader
from ..errors import InputError
from ..model import BAS
from ..model.weights import CARD, normalisation
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
    device: str = "auto",
    workers: int = 0,
    resume: bool = False,
    hooks: Callable[[Localizer], Hooks] = lambda _: Hooks(),
    progress: Progress = silent,
) -> Localizer:
    """Train by ``recipe`` on the photos of the splits ``train`` and none, and save the model into ``out``.

    Args:
        weights: True fetches ImageNet weights by name, a path reads a local file, False starts from nothing.
        hooks: what to call while training, made when the model stands.

    Raises:
        InputError: fewer than two tags in use; weights that cannot be had; a checkpoint of other settings.
        Interrupted: stopped by the user; ``resume`` goes on.
    """
    photos = _trainable(collection)
    identity = fingerprint(recipe, photos, weights)
    if resume and (finished := _finished(out, identity)):
        return finished
    training = recipe.training
    fabric = make_fabric(device, training.precision, unused_parameters=recipe.objective.classifier_steps > 0)
    fabric.launch()
    fabric.seed_everything(training.seed, verbose=False)
    model = BAS.from_architecture(recipe.architecture, len(photos.classes), weights).to(fabric.device)
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
    task = Localization(model, recipe.objective, (mean, std), cached=cached)
    fit(fabric, task, loader, training, out, resume=resume, fingerprint=identity, hooks=hooks(localizer))
    if fabric.is_global_zero:
        localizer.save(out)
        for leftover in (FEATURES, CHECKPOINT):
            (out / leftover).unlink(missing_ok=True)
    return localizer


def fingerprint(recipe: Recipe, photos: Collection, weights: object) -> str:
    """What a checkpoint must agree with to be resumed: settings, class list, photos and their tags."""
    settings = asdict(replace(recipe, about="", cost="", paper={}))
    del settings["inference"], settings["training"]["save_every"]
    names = [(photo.name, photo.labels) for photo in photos.photos]
    said = json.dumps([settings, photos.classes, names, str(weights)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _finished(out: Path, identity: str) -> Localizer | None:
    """The model of a training that a stopped command had already completed."""
    if not (out / CARD).is_file():
        return None
    done = Localizer.load(out)
    if done.fingerprint != identity:
        raise InputError(f"{out} holds a model of other settings or data; give the same, or --overwrite to restart.")
    return done


def _trainable(collection: Collection) -> Collection:
    """The tagged training photos, if there is something to tell apart."""
    chosen = collection.only("train", "")
    photos = tuple(photo for photo in chosen.photos if photo.labels)
    used = sorted({label for photo in photos for label in photo.labels})
    if not photos:
        raise InputError(f"{collection.root} has no tagged photos to train on; run bas check {collection.root}.")
    if len(used) < 2:
        raise InputError(
            f'{collection.root} has one tag only ("{collection.classes[used[0]]}"), and BAS learns what a tag is from '
            "photos without it: add some under another tag, e.g. a folder named other."
        )
    return replace(chosen, photos=photos)


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
    share: dict[str, Any] = {"rank": fabric.global_rank, "world_size": fabric.world_size}
    views = 0
    if training.stem == "cached" and fabric.world_size == 1 and recipe.architecture.hide == "features":
        (out / FEATURES).unlink(missing_ok=True)  # a stopped run's; they are computed again
        room = min(LARGEST, shutil.disk_usage(out).free / 2)  # a mapped file that outgrows its disk kills the process
        views = worthwhile_views(training, len(photos.photos), feature_bytes(model, training.crop), room)
    if not views:
        plain = training_loader(
            photos, training.batch_size, training.seed, training.resize, training.crop, workers, **share
        )
        return plain, False
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
