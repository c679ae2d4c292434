"""What every training of a recipe shares before its first step, whatever it trains."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from lightning.fabric import Fabric

from ..config import Recipe, Training
from ..data import training_loader
from ..data.loader import Loader
from ..errors import InputError
from ..model.weights import CARD
from ..types import Collection


@runtime_checkable
class Trained(Protocol):
    """A model that remembers what it was trained with."""

    @property
    def fingerprint(self) -> str: ...


T = TypeVar("T", bound=Trained)


def trainable(collection: Collection) -> Collection:
    """The tagged photos of the splits ``train`` and none, if there is something to tell apart.

    Raises:
        InputError: no such photo, or fewer than two tags in use.
    """
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


def photo_loader(fabric: Fabric, photos: Collection, training: Training, workers: int) -> Loader:
    """This process's share of the photos, in the views and batches that ``training`` says."""
    return training_loader(
        photos,
        training.batch_size,
        training.seed,
        training.resize,
        training.crop,
        workers,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        view=training.view,
    )


def fingerprint(recipe: Recipe, photos: Collection, *more: object) -> str:
    """What a checkpoint must agree with to be resumed: settings, class list, photos and their tags, and ``more``."""
    settings = asdict(replace(recipe, about="", cost="", paper={}))
    del settings["inference"], settings["segmentation"], settings["training"]["save_every"]
    names = [(photo.name, photo.labels) for photo in photos.photos]
    said = json.dumps([settings, photos.classes, names, *map(str, more)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def finished(out: Path, identity: str, load: Callable[[Path], T]) -> T | None:
    """The model of a training that a stopped command had already completed.

    Raises:
        InputError: it was trained with something else.
    """
    if not (out / CARD).is_file():
        return None
    done = load(out)
    if done.fingerprint != identity:
        raise InputError(f"{out} holds a model of other settings or data; give the same, or --overwrite to restart.")
    return done
