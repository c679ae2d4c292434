"""``bas recipes``: all recipes, or one with its commands, cost and numbers."""

import inspect
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import tyro

from ..config import Recipe
from .common import Common
from .common import parse as read

MOST = 12
"""Measurements that are printed of a recipe."""
MISSING = "not run here with exactly these settings"


@dataclass
class Recipes(Common):
    """List the recipes, or print one, or all of a table or figure, with commands, cost and the paper's numbers.

    A point of a table or figure is called after both: ``table3:layer1``.
    """

    name: tyro.conf.Positional[str] = ""

    def run(self) -> dict[str, Any]:
        """Print to stdout, unless JSON goes there."""
        from .. import recipes

        families = recipes.families()
        if not self.name:
            lines, answer = _overview(families)
        elif self.name in families:
            lines, answer = _family(self.name, families[self.name])
        else:
            lines, answer = _one(self.name)
        if not self.json:
            sys.stdout.write("\n".join(lines) + "\n")
        return answer


def _overview(families: dict[str, dict[str, Recipe]]) -> tuple[list[str], dict[str, Any]]:
    from .. import recipes

    known = {name: recipes.load(name) for name in recipes.names()}
    lines = [f"{name:<20} {recipe.about}" for name, recipe in known.items()]
    for family, variants in families.items():
        about = (inspect.getdoc(_file(family)) or family).splitlines()[0]
        lines += ["", f"{family:<20} {about}", *_wrapped(", ".join(variants))]
        known |= {f"{family}:{variant}": recipe for variant, recipe in variants.items()}
    lines += ["", "A point of a figure or table is called after both, such as table3:layer1."]
    lines += ["Next: bas recipes NAME, which prints the commands that run it."]
    return lines, {name: asdict(recipe) for name, recipe in known.items()}


def _family(family: str, variants: dict[str, Recipe]) -> tuple[list[str], dict[str, Any]]:
    lines = [inspect.getdoc(_file(family)) or family]
    for variant, recipe in variants.items():
        name = f"{family}:{variant}"
        lines += ["", name if recipe.name == name else f"{name} is {recipe.name}", *_described(recipe)]
    return lines, {f"{family}:{variant}": asdict(recipe) for variant, recipe in variants.items()}


def _one(name: str) -> tuple[list[str], dict[str, Any]]:
    from .. import recipes

    recipe = recipes.load(name)
    source = [] if name.endswith(".py") else [inspect.getsource(_file(name.partition(":")[0]))]
    answer = {**asdict(recipe), "measured": recipes.measured(recipe.name)}
    return [*source, recipe.name, *_described(recipe)], answer


def _described(recipe: Recipe) -> list[str]:
    """What it is for, its cost, commands and weights, what the paper reports, and what was measured here."""
    from .. import recipes

    found = [f"  {_measured(result)}" for result in recipes.measured(recipe.name)]
    if len(found) > MOST:
        found[MOST:] = [f"  and {len(found) - MOST} more, in docs/results.md"]
    return [
        recipe.about,
        f"Cost: {recipes.cost(recipe)}",
        *(f"  {command}" for command in recipes.commands(recipe)),
        *_weights(recipes.weights(recipe)),
        *([f"The paper reports: {recipe.paper}"] if recipe.paper else []),
        *(["Measured, by the files of results/:", *found] if found else [f"Measured: {MISSING}"]),
    ]


def _measured(result: dict[str, Any]) -> str:
    """The first number of a result, which its name and protocol are about."""
    metric, value = next(iter(result["metrics"].items()))
    return f"{result['name']}: {metric} {value:g} (commit {result['commit'][:7]})"


def _file(name: str) -> ModuleType:
    """Module of a recipe or a family."""
    from .. import recipes

    return sys.modules[f"{recipes.__name__}.{name}"]


def _wrapped(text: str) -> list[str]:
    indent = " " * 21
    return textwrap.wrap(text, 120, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def parse(words: Sequence[str]) -> Recipes:
    """The command from its words."""
    return read(Recipes, words)


def _weights(by_flag: dict[str, str]) -> list[str]:
    """The weights it starts from, and how to give them where there is no network."""
    flags: dict[str, list[str]] = {}
    for flag, name in by_flag.items():
        flags.setdefault(name, []).append(flag)
    return [
        f"Weights: {name} of the Hugging Face Hub; without a network {' FILE, '.join(flags[name])} FILE"
        for name in flags
    ]
