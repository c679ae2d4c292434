"""``bas recipes``: what there is, and what each promises."""

import inspect
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import tyro

from .common import Common
from .common import parse as read


@dataclass
class Recipes(Common):
    """List the recipes, or print one with its promise."""

    name: tyro.conf.Positional[str] = ""

    def run(self) -> dict[str, Any]:
        """Print to stdout, unless JSON goes there."""
        from .. import recipes

        if not self.name:
            known = {name: recipes.load(name) for name in recipes.names()}
            if not self.json:
                for name, recipe in known.items():
                    sys.stdout.write(f"{name:<18} {recipe.about}\n")
                sys.stdout.write("\nNext: bas recipes NAME, or bas train DATA --recipe NAME --out RUN\n")
            return {name: asdict(recipe) for name, recipe in known.items()}
        recipe = recipes.load(self.name)
        if not self.json:
            module = sys.modules.get(f"{recipes.__name__}.{self.name}")
            if module is not None:
                sys.stdout.write(inspect.getsource(module) + "\n")
            sys.stdout.write(f"{recipe.name}: {recipe.about}\nCost: {recipe.cost}\n")
            if recipe.paper:
                sys.stdout.write(f"The paper reports: {recipe.paper}\n")
        return asdict(recipe)


def parse(words: Sequence[str]) -> Recipes:
    """The command from its words."""
    return read(Recipes, words)
