"""Train a baseline by a recipe of BAS: same photos, order, augmentation, optimiser, schedule and steps."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..config import Architecture, Recipe
from ..engine import CHECKPOINT, Hooks, fit, make_fabric
from ..engine.preparation import fingerprint, finished, photo_loader, trainable
from ..errors import InputError
from ..model.weights import CARD, is_run, load_network, normalisation, origin, save_model, start_from
from ..types import Collection
from . import Classifier, build
from .classifier import Normalisation


@dataclass(frozen=True)
class Baseline:
    """A trained method with all that is needed to use it."""

    method: str
    """Its name in :data:`METHODS`."""
    model: Classifier
    classes: tuple[str, ...]
    side: int
    """Pixels of both sides to which training squeezed a photo before it cropped."""
    crop: int
    """Pixels of both sides of the crop."""
    recipe: str
    """Name of the recipe that trained it."""
    fingerprint: str
    """Of the settings and data it was trained with."""
    options: dict[str, Any] = field(default_factory=dict)
    """The method's own arguments, where they are not the usual ones."""

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``: all that :func:`load` needs, on any machine."""
        mean, std = self.model.normalisation
        card = {
            "method": self.method,
            "options": self.options,
            "architecture": asdict(self.model.architecture),
            "classes": list(self.classes),
            "mean": list(mean),
            "std": list(std),
            "side": self.side,
            "crop": self.crop,
            "recipe": self.recipe,
            "fingerprint": self.fingerprint,
        }
        save_model(self.model, folder, card)


def is_baseline(folder: Path) -> bool:
    """Whether the folder holds a trained baseline."""
    card = folder / CARD
    return card.is_file() and '"method"' in card.read_text(encoding="utf-8")


def load(folder: str | Path, method: str | None = None, **options: Any) -> Baseline:
    """Read a folder that :meth:`Baseline.save` wrote; as another ``method`` where that has the same network.

    Raises:
        InputError: no baseline there, a damaged one, or not the network of ``method``.
    """

    def network(architecture: Architecture, card: dict[str, Any]) -> Classifier:
        colours = tuple(card["mean"]), tuple(card["std"])
        name, chosen = (method, options) if method else (card["method"], card["options"])
        return build(name, architecture, len(card["classes"]), False, colours, **chosen)

    try:
        model, card = load_network(folder, network)
        name, chosen = (method, options) if method else (card["method"], card["options"])
        place = (card["side"], card["crop"], card["recipe"], card["fingerprint"])
        return Baseline(name, model, tuple(card["classes"]), *place, options=chosen)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder}/model.json describes no baseline ({error}): train one, or copy it again."
        ) from error


def train(
    collection: Collection,
    recipe: Recipe,
    method: str,
    out: Path,
    *,
    weights: bool | str | Path = True,
    device: str = "auto",
    workers: int = 0,
    resume: bool = False,
    hooks: Callable[[Baseline], Hooks] = lambda _: Hooks(),
    **options: Any,
) -> Baseline:
    """Train ``method`` on the photos of the splits ``train`` and none, and save the model into ``out``.

    Of the recipe count architecture and training; the objective is the method's own.

    Args:
        weights: True fetches ImageNet weights by name, a path reads a local file or goes on from a trained model's
            folder, False starts from nothing.
        hooks: what to call while training, made when the model stands.
        options: the method's own arguments.

    Raises:
        InputError: an unknown method; a recipe that caches the stem's features; fewer than two tags in use; weights
            that cannot be had; a method that lacks what it needs; a checkpoint of other settings.
        Interrupted: stopped by the user; ``resume`` goes on.
    """
    training, architecture = recipe.training, recipe.architecture
    if training.stem == "cached":
        raise InputError(f"{recipe.name} keeps the stem's features, which baselines do not: --stem frozen or train.")
    photos = trainable(collection)
    options = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    identity = fingerprint(recipe, photos, origin(weights), method, sorted(options.items()))
    if resume and (done := finished(out, identity, load)):
        return done
    fabric = make_fabric(device, training.precision)
    fabric.seed_everything(training.seed, verbose=False)
    colours = normalisation(architecture.backbone, weights)
    model = _start(method, architecture, photos, weights, colours, options).to(fabric.device)
    model.equip(photos, training)
    if training.stem == "frozen":
        model.freeze_stem()
    if training.channels_last:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    place = (training.resize, training.crop, recipe.name, identity)
    baseline = Baseline(method, model, photos.classes, *place, options=options)
    out.mkdir(parents=True, exist_ok=True)
    loader = photo_loader(fabric, photos, training, workers)
    chosen = hooks(baseline)
    fit(fabric, model, loader, training, out, resume=resume, fingerprint=identity, hooks=chosen, new=model.new)
    if fabric.is_global_zero:
        baseline.save(out)
        (out / CHECKPOINT).unlink(missing_ok=True)
    return baseline


def _start(
    method: str,
    architecture: Architecture,
    photos: Collection,
    weights: bool | str | Path,
    colours: Normalisation,
    options: dict[str, Any],
) -> Classifier:
    """The method's network with the weights it starts from."""
    run = is_run(weights)
    model = build(method, architecture, len(photos.classes), not run and weights, colours, **options)
    trained = run and start_from(model, weights, photos.classes)
    if model.continues and not trained:
        raise InputError(
            f"{method} goes on from a classifier of the same tags: train one with --method irn, "
            "then give its folder as --weights."
        )
    return model
