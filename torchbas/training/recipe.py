"""Training of a method by a recipe: makes a :class:`torchbas.training.train.Task` of dataset and settings."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import methods
from ..cards import read_card, run_folder
from ..config import Recipe, Training
from ..data import Batch, Order, Unreadable, too_few_tags, training_loader
from ..errors import InputError
from ..inference.localizer import Localizer, Progress, silent
from ..io import make_folder, stable_hash
from ..methods.base import FeatureBatch, Method
from ..methods.trained import TrainedModel
from ..model.weights import is_run, normalization, origin, pretrained_of, start_from
from ..refiners import stages
from ..structures import Dataset
from .fabric import Fabric, together_of
from .feature_cache import (
    FEATURES,
    LARGEST,
    CachedFeatures,
    CachedLoader,
    compute_features,
    feature_bytes,
    worthwhile_views,
)
from .going_on import GoingOn, going_on_recipe, new_tags, with_known_tags
from .kept_features import kept_features
from .loop import Hooks, Loader
from .train import Task, train


def train_recipe(
    dataset: Dataset,
    recipe: Recipe,
    out: Path,
    *,
    weights: bool | str | Path = True,
    model: Localizer | None = None,
    device: str = "auto",
    workers: int = 0,
    feature_cache: Path | None = None,
    resume: bool = False,
    hooks: Callable[[Localizer], Hooks] = lambda _: Hooks(),
    progress: Progress = silent,
    unreadable: Unreadable | None = None,
) -> Localizer:
    """Train the recipe's method on the photos of the splits ``train`` and none, and save the model into ``out``.

    Args:
        weights: True fetches ImageNet weights by name, a path reads a local file or goes on from the folder of any
            trained model, False starts from nothing.
        model: one to go on with: what it knows stands, and only tags that are new are learned.
        feature_cache: folder to keep the features of a cached F1 in, and to take them from.
        hooks: makes the callbacks from the untrained model, before the first step.
        unreadable: told of photos that cannot be read any more, in whose place the next one is learned from.

    Raises:
        InputError: an unreadable photo where ``unreadable`` is None; one tag without photos to tell it from; a recipe
            that needs another run first; weights that cannot be had; a method that lacks what it needs; a checkpoint
            of other settings.
        Interrupted: stopped by the user; ``resume`` goes on.
    """
    how = {"workers": workers, "feature_cache": feature_cache, "progress": progress, "unreadable": unreadable}
    job = method_task(dataset, recipe, out, weights=weights, model=model, **how)
    return train(job, out, device=device, resume=resume, hooks=hooks)  # pyright: ignore[reportArgumentType, reportReturnType]


def method_task(
    dataset: Dataset,
    recipe: Recipe,
    out: Path,
    *,
    weights: bool | str | Path = True,
    model: Localizer | None = None,
    workers: int = 0,
    feature_cache: Path | None = None,
    progress: Progress = silent,
    unreadable: Unreadable | None = None,
) -> Task:
    """Task of :func:`torchbas.training.recipe.train_recipe`, with the same errors; nothing is computed yet."""
    if model is not None:
        recipe = going_on_recipe(model, recipe, new_tags(model, dataset))
    kind = methods.load(recipe.method)
    options = kind.read_options(recipe.options)
    check_needs(recipe, options, weights)
    # Where only masking needs the images (Fig. 11), F1 is frozen and its features are computed at every step.
    masked_features = replace(recipe.architecture, mask_at="features")
    if recipe.training.f1 == "cached" and kind.needs_images(masked_features, options):
        raise InputError(
            f"{recipe.name} caches the features of F1, but {recipe.method} learns from the photos: "
            "--f1 frozen or train."
        )
    if model is not None:
        start = GoingOn(model, with_known_tags(dataset, model), recipe)
    else:
        samples = trainable(dataset, untagged=kind.learns_background(options))
        start = _Start(samples, replace(recipe, options=options), kind, weights)
    cached = recipe.training.f1 == "cached" and not kind.needs_images(recipe.architecture, options)
    if feature_cache is not None and not cached:
        raise InputError(f"{recipe.name} keeps no features: leave out --feature-cache, or add --f1 cached.")
    if feature_cache is not None and feature_cache.exists() and not feature_cache.is_dir():
        raise InputError(f"--feature-cache {feature_cache} is a file: give a folder, which may be new.")
    batches = _Batches(start.samples, recipe.training, cached, out, feature_cache, workers, progress, unreadable)
    return Task(
        recipe.training,
        start.fingerprint,
        start.build,
        batches.loader,
        Localizer.load,
        start.setup,
        start.finish,
        leftovers=(FEATURES,),
        unused_parameters=getattr(options, "classifier_steps", 0) > 0,
    )


def check_needs(recipe: Recipe, options: Any, weights: bool | str | Path) -> None:
    """Check that a recipe has all it needs to be trained.

    Raises:
        InputError: the recipe trains nothing, starts from a run that was not given or is another recipe's, or needs
            something else, or a refiner's package or weights cannot be had; the sentence names it.
    """
    if recipe.combine_with:
        *others, last = recipe.combine_with
        raise InputError(
            f"{recipe.name} trains nothing, it adds the seeds of runs of {', '.join(others)} and {last}: train these, "
            f"then run bas segment DATA --model RUN RUN --recipe {recipe.name} --out FOLDER."
        )
    for name, what in recipe.needs.items():
        if getattr(options, name) is None:
            raise InputError(f"{recipe.name} needs --{name.replace('_', '-')}: {what}.")
    stages(recipe.inference)  # whose weights may be missing, which is not to be found out after the training
    if not recipe.init_from:
        return
    first = f"bas train DATA --recipe {recipe.init_from} --out RUN"
    if not is_run(weights):
        raise InputError(f"{recipe.name} starts from a run of {recipe.init_from}: {first}, then add --weights RUN.")
    if (given := read_card(run_folder(weights)).get("recipe")) != recipe.init_from:
        raise InputError(
            f"{weights} is a run of {given}, but {recipe.name} starts from one of {recipe.init_from}: {first}."
        )


def trainable(dataset: Dataset, *, untagged: bool = False) -> Dataset:
    """The tagged samples of the splits ``train`` and none, and with ``untagged`` those without a tag.

    Raises:
        InputError: no tagged sample, or one tag in use and no photo without it to learn from.
    """
    chosen = dataset.only("train", "")
    samples = tuple(sample for sample in chosen.samples if sample.labels)
    if not samples:
        raise InputError(f"{dataset.root} has no tagged photos to train on; run bas check {dataset.root}.")
    if sentence := too_few_tags(chosen, learns_background=untagged):
        raise InputError(sentence)
    return chosen if untagged else replace(chosen, samples=samples)


@dataclass(frozen=True)
class _Start:
    """The network before its first step."""

    samples: Dataset
    recipe: Recipe
    kind: type[Method]
    weights: bool | str | Path

    @property
    def fingerprint(self) -> str:
        """Hash of all that the weights depend on: settings, class list, samples and their tags, starting point."""
        recipe = self.recipe
        settings = asdict(replace(recipe.training, save_every=1))
        names = [(sample.name, sample.labels) for sample in self.samples.samples]
        made_of = (recipe.name, recipe.method, recipe.options, recipe.architecture, settings, origin(self.weights))
        return stable_hash(*made_of, self.samples.classes, names)

    def build(self) -> Localizer:
        recipe, classes, weights = self.recipe, self.samples.classes, self.weights
        colors = normalization(recipe.architecture.backbone, weights)
        run = is_run(weights)
        network = self.kind.build(recipe.architecture, len(classes), not run and weights, colors, recipe.options)
        whole = recipe.training.steps == 0
        has_head = run and start_from(network, weights, classes, whole=whole)
        if self.kind.needs_classifier and not has_head:
            raise InputError(
                f"{recipe.method} goes on from a classifier of the same tags: train one with --method irn, "
                "then give its folder as --weights."
            )
        return Localizer(
            network,
            classes,
            recipe.training.resize,
            recipe.training.crop,
            recipe.inference,
            recipe.name,
            recipe.changes,
            self.fingerprint,
            pretrained=pretrained_of(recipe.architecture.backbone, weights),
        )

    def setup(self, _: Fabric, trained: TrainedModel[Any]) -> None:
        if self.recipe.training.f1 != "train":
            trained.model.freeze_f1()
        if self.recipe.architecture.align:
            trained.model.align()
        trained.model.setup(self.samples, self.recipe.training)

    def finish(self, _: Fabric, trained: TrainedModel[Any]) -> None:
        """Nothing is left to do after the last step."""


@dataclass(frozen=True)
class _Batches:
    """Photos, or the features of a frozen F1 where caching them pays."""

    samples: Dataset
    training: Training
    cached: bool
    out: Path
    feature_cache: Path | None
    workers: int
    progress: Progress
    unreadable: Unreadable | None

    def loader(self, fabric: Fabric, trained: TrainedModel[Any]) -> Loader:
        training, network = self.training, trained.model
        if self.cached and (features := self._features(fabric, network)):
            if network.fits_first:
                _fit_first(network, fabric, features.every(training.batch_size))
            order = Order(len(features), training.batch_size, training.seed, fabric.global_rank, fabric.world_size)
            return CachedLoader(features, order)
        if network.fits_first:  # every process on all of the photos, so that all get the same
            whole = self._photos(0, 1)
            _fit_first(network, fabric, self.progress(whole, len(whole)))
        return self._photos(fabric.global_rank, fabric.world_size)

    def _features(self, fabric: Fabric, network: Method) -> CachedFeatures | None:
        """Features of F1; None where caching does not pay."""
        together, training, folder = together_of(fabric), self.training, self.feature_cache or self.out
        room = LARGEST
        if fabric.is_global_zero:
            make_folder(folder)
            (self.out / FEATURES).unlink(missing_ok=True)  # a stopped run's; they are computed again
            # A memory-mapped file that outgrows its disk kills the process.
            room = min(LARGEST, shutil.disk_usage(folder).free / 2)
        size = feature_bytes(network, training)
        kept = self.feature_cache is not None
        views, *_ = together.gather(worthwhile_views(training, len(self.samples.samples), size, room, kept=kept))
        if not views:
            return None
        what = network, self.samples, training
        how = {
            "workers": self.workers,
            "forward": fabric.autocast,
            "progress": self.progress,
            "unreadable": self.unreadable,
            "together": together,
        }
        if self.feature_cache is None:
            return compute_features(*what, self.out / FEATURES, views, **how)
        precision = fabric.strategy.precision.precision
        return kept_features(self.feature_cache, *what, views, precision=precision, **how)

    def _photos(self, rank: int, world_size: int) -> Loader:
        training = self.training
        return training_loader(
            self.samples,
            training.batch_size,
            training.seed,
            training.resize,
            training.crop,
            self.workers,
            rank=rank,
            world_size=world_size,
            view=training.view,
            unreadable=self.unreadable,
        )


def _fit_first(network: Method, fabric: Fabric, batches: Iterable[Batch] | Iterable[FeatureBatch]) -> None:
    with fabric.autocast():
        network.fit_first(fabric.to_device(batch) for batch in batches)
