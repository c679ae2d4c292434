"""Recipes: one file per published or recommended way to train; each is data with a promise."""

import difflib
import importlib
import importlib.util
import pkgutil
from pathlib import Path

from ..config import Recipe
from ..errors import InputError


def names() -> list[str]:
    """The built-in recipes, ``quick`` first."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return sorted(found, key=lambda name: name != "quick")


def load(name: str) -> Recipe:
    """A built-in recipe by name, or one of the user's own: a Python file that defines ``RECIPE``.

    A file is run, so give only one that you trust.

    Raises:
        InputError: no such recipe or file, or a file without a ``RECIPE``.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"there are {', '.join(names())}."
        raise InputError(f'There is no recipe "{name}": {hint}')
    return importlib.import_module(f"{__name__}.{name}").RECIPE


def _from_file(path: Path) -> Recipe:
    if not path.is_file():
        raise InputError(f"{path} does not exist: check the path, or run bas recipes for the built-in ones.")
    spec = importlib.util.spec_from_file_location("torchbas_user_recipe", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's own file does wrong
        raise InputError(
            f"{path} cannot be run ({type(error).__name__}: {error}): mend it, or use --recipe quick."
        ) from error
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise InputError(f"{path} defines no RECIPE: see bas recipes quick for how one looks.")
    return recipe
