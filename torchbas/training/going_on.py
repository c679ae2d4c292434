"""Going on with a trained model: what it knows stands as it is, and only tags that are new are learned."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..cards import run_folder
from ..config import Inference, Recipe, Training
from ..errors import InputError
from ..inference.localizer import Localizer
from ..io import stable_hash
from ..methods.bas import BASMethod
from ..methods.trained import TrainedModel
from ..model.weights import is_run
from ..structures import Dataset
from .fabric import Fabric

ADJUSTABLE = {one.name for part in (Training, Inference) for one in fields(part)} - {"f1", "view", "resize", "crop"}
"""Settings that need not be the model's."""


def known_model(source: str | Path | Localizer) -> Localizer:
    """The model of an earlier ``bas label``, to go on with.

    Args:
        source: the model, or the folder that ``bas label`` or ``bas train`` has written.

    Raises:
        InputError: no such model, or one whose classifier is no linear probe.
    """
    if not isinstance(source, Localizer) and not is_run(source):
        raise InputError(f"{source} is no folder of a trained model: give what bas label has written.")
    localizer = source if isinstance(source, Localizer) else Localizer.load(run_folder(source))
    model = localizer.model
    if not isinstance(model, BASMethod) or not model.fits_first or model.architecture.class_agnostic:
        where = "The model" if isinstance(source, Localizer) else f"{source} holds a model that"
        raise InputError(
            f"{where} is of {model.name}, recipe {localizer.recipe or 'unknown'}, and only those with a linear probe,"
            " as of the recipe quick, can be gone on with: label all photos together."
        )
    return localizer


def with_known_tags(dataset: Dataset, localizer: Localizer) -> Dataset:
    """The same photos, their class list that of the model, followed by the tags in use that are new."""
    return dataset.relabeled((*localizer.classes, *new_tags(localizer, dataset)))


def going_on_recipe(localizer: Localizer, recipe: Recipe, new: tuple[str, ...]) -> Recipe:
    """The recipe with the model's network, objective and sizes; without ``new`` tags nothing is learned.

    Raises:
        InputError: another recipe, or a changed setting that only a new model can have.
    """
    if recipe.name not in ("quick", localizer.recipe):
        raise InputError("--recipe is the model's own, which it keeps: leave it out, or label without --model.")
    for name in recipe.changes:
        if name not in ADJUSTABLE:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"{flag} is the model's own, which it keeps: leave it out, or label without --model.")
    model: Any = localizer.model
    steps = {} if new else {"steps": 0}
    given = {name: value for name, value in recipe.changes.items() if hasattr(localizer.inference, name)}
    return replace(
        recipe,
        name=localizer.recipe,
        options=model.options,
        architecture=model.architecture,
        training=replace(recipe.training, f1="cached", resize=localizer.resize, crop=localizer.crop, **steps),
        inference=replace(localizer.inference, **given),
    )


def new_tags(localizer: Localizer, dataset: Dataset) -> tuple[str, ...]:
    """Tags in use that the model does not know, in the order of the dataset's class list."""
    used = {dataset.classes[label] for one in dataset.samples for label in one.labels}
    return tuple(tag for tag in dataset.classes if tag in used and tag not in localizer.classes)


@torch.no_grad()
def still_recognized(before: Localizer, after: Localizer) -> tuple[int, int]:
    """Of the photos that a model remembers, how many another finds the same class in, and how many there are.

    What it remembers are the pooled features of :class:`~torchbas.model.familiarity.Familiarity`; their lengths, which
    are not kept, do not matter for a classifier without a bias.
    """
    model: Any = before.model
    features = model.familiarity.references.cpu()
    heads = (one.model.head.get_parameter("0.weight")[:, :, 0, 0].cpu() for one in (before, after))
    first, second = ((features @ head.T).argmax(dim=1) for head in heads)
    return int((first == second).sum()), len(features)


@dataclass(frozen=True)
class GoingOn:
    """The start of a training that goes on with a model."""

    localizer: Localizer
    dataset: Dataset
    """Photos whose class list is that of the model, followed by what is new."""
    recipe: Recipe
    """See :func:`going_on_recipe`."""

    @property
    def samples(self) -> Dataset:
        """Photos to learn from: those with a new tag, and those without any where the objective learns from them.

        Raises:
            InputError: there is a new tag, but no training photo of it.
        """
        first, untagged = len(self.localizer.classes), self.recipe.options.background_class
        chosen = self.dataset.only("train", "")
        new = [any(label >= first for label in one.labels) for one in chosen.samples]
        if len(self.dataset.classes) > first and not any(new):
            raise InputError(
                f"{chosen.root} has no training photo of {', '.join(self.dataset.classes[first:])}: add one."
            )
        pairs = zip(chosen.samples, new, strict=True)
        return replace(chosen, samples=tuple(one for one, is_new in pairs if is_new or (untagged and not one.labels)))

    @property
    def fingerprint(self) -> str:
        """Hash of all that the weights depend on: the model, settings, class list, samples and their tags."""
        model, settings = self.localizer, asdict(replace(self.recipe.training, save_every=1))
        names = [(sample.name, sample.labels) for sample in self.samples.samples]
        made_of = (model.fingerprint, model.corrections, model.inference, self.recipe.changes)
        return stable_hash(*made_of, settings, self.dataset.classes, names)

    def build(self) -> Localizer:
        """The model with rows for the new tags; all others are those of the model, bit for bit."""
        before, classes, known = self.localizer, self.dataset.classes, self.localizer.model
        network: Any = type(known).build(known.architecture, len(classes), False, known.normalization, known.options)
        fill_known(network, known)
        with torch.no_grad():
            for weights in network.generator.parameters():  # as with shared gradients, a common filter first
                weights[len(before.classes) :] = weights[: len(before.classes)].mean(dim=0)
        network.known = len(before.classes)
        return replace(
            before,
            model=network,
            classes=classes,
            inference=self.recipe.inference,
            changes={**before.changes, **self.recipe.changes},
            fingerprint=self.fingerprint,
            corrections=TrainedModel.corrections,  # none
            began_from=(before.fingerprint, len(before.classes)),
        )

    def setup(self, _: Fabric, trained: TrainedModel[Any]) -> None:
        """What is frozen, before the first batch."""
        trained.model.freeze_f1()
        trained.model.setup(self.samples, self.recipe.training)

    def finish(self, _: Fabric, trained: TrainedModel[Any]) -> None:
        """The generator's filters of known tags, which the optimizer may have moved, are put back."""
        if self.recipe.training.steps != 0:
            known: Any = self.localizer.model
            fill_known(trained.model.generator, known.generator)


@torch.no_grad()
def fill_known(network: nn.Module, known: nn.Module) -> None:
    """Copy all weights; of those that have a row for each class the first ones."""
    state = network.state_dict()
    for name, tensor in known.state_dict().items():
        (state[name][: len(tensor)] if tensor.dim() else state[name]).copy_(tensor)
