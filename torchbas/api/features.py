"""Features that ``quick`` learns on: those of the best pretrained network whose weights lie on this machine."""

from pathlib import Path
from typing import NamedTuple

from .. import recipes
from ..config import Recipe
from ..model.hub import on_this_machine, reachable
from ..model.weights import pretrained_of
from ..weight_names import PRETRAINED

BETTER = ("dinov2",)
"""Recipes that ``quick`` gives way to where their weights are there, the best first: by others' numbers, as no weights
of theirs were at hand here (docs/frozen.md). Their licenses allow any use."""


class Features(NamedTuple):
    """Pretrained network that a recipe learns on."""

    recipe: str
    weights: str
    """timm's name."""
    license: str
    """As timm knows it; empty where it does not."""
    here: bool
    """Whether they lie on this machine; else they are fetched."""

    @property
    def sentence(self) -> str:
        """What they are, in words."""
        place = "which lie on this machine" if self.here else "which will be fetched"
        return f"features: {self.weights} (license {self.license or 'not known'}), {place}"

    @property
    def usable(self) -> bool:
        """Whether they are here or can be fetched; asks the network where they are not here."""
        return self.here or reachable()


def usable(recipe: Recipe, weights: bool | str | Path) -> Recipe:
    """The recipe, or in place of ``quick`` the first of :data:`BETTER` whose weights lie on this machine.

    What was changed of ``quick`` is changed of the other; one with another backbone, or weights of its own, stays.
    """
    if recipe.name != "quick" or recipe.method != "bas" or weights is not True or "backbone" in recipe.changes:
        return recipe
    better = next((name for name in BETTER if features_of(recipes.load(name)).here), None)
    return recipe if better is None else recipes.with_settings(recipes.load(better), recipe.changes)


def features_of(recipe: Recipe) -> Features:
    """The pretrained network of a recipe that starts from weights by name."""
    backbone = recipe.architecture.backbone
    return Features(recipe.name, *pretrained_of(backbone, True), on_this_machine(PRETRAINED.get(backbone, backbone)))
