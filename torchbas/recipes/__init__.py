"""Recipes: one file per published or recommended way to train; each is data with a promise.

A file with a ``RECIPE`` is called like the file (``cub_resnet50``). A file with ``VARIANTS`` is a family, a table or
figure whose points derive from another recipe: they are called ``family:variant`` (``table3:layer1``). A point that is
another recipe unchanged *is* that recipe, so what tables share is trained and measured once. Where the settings are
another recipe's and only what it is put together with differs, the point says by which commands (:func:`also`).

A promise is what the paper reports. Its MaxBoxAccV2 (Table 4) is, in the authors' code, of one box at one threshold;
``bas eval --protocol wsoleval`` computes the published metric, the best threshold for each IoU. The mIoUs are of the
stages of ``bas segment``: ``seed_miou`` of its score seed (of image_threshold in Table 15), ``mask_miou`` of masks,
``val_miou`` and ``test_miou`` of the student's predictions.
"""

import difflib
import importlib
import importlib.util
import json
import pkgutil
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from string import digits
from types import ModuleType
from typing import Any

from ..config import Architecture, Inference, Objective, Recipe, Segmentation, Training
from ..errors import InputError

RESULTS = Path(__file__).parents[2] / "results"
"""What was measured; an installed copy has none."""
PARTS = {
    "architecture": Architecture,
    "objective": Objective,
    "training": Training,
    "inference": Inference,
    "segmentation": Segmentation,
}
PART_OF = {setting.name: part for part, kind in PARTS.items() for setting in fields(kind)}


def names() -> list[str]:
    """The built-in recipes that have a file of their own, ``quick`` first."""
    found = (name for name, module in _modules().items() if hasattr(module, "RECIPE"))
    return sorted(found, key=lambda name: (name != "quick", name))


def families() -> dict[str, dict[str, Recipe]]:
    """The built-in families: every figure and table, its variants by their short names."""
    found = (name for name, module in _modules().items() if hasattr(module, "VARIANTS"))
    in_order = sorted(found, key=lambda name: (name.rstrip(digits), len(name), name))
    return {name: _modules()[name].VARIANTS for name in in_order}


def load(name: str) -> Recipe:
    """A recipe by name, ``family:variant`` included, or one of the user's own: a Python file that defines ``RECIPE``.

    A file is run, so give only one that you trust.

    Raises:
        InputError: no such recipe or file, or a file without a ``RECIPE``.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    known = {name: _modules()[name].RECIPE for name in names()}
    for family, variants in families().items():
        known |= {f"{family}:{variant}": recipe for variant, recipe in variants.items()}
    if name not in known:
        raise InputError(f'There is no recipe "{name}": {_hint(name, list(known))}')
    return known[name]


def measured(name: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The results of exactly this recipe: those whose field ``recipe`` is its name and nothing more."""
    found = (json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*/*.json")))
    return [result for result in found if result["recipe"] == name]


def vary(base: Recipe, name: str, about: str, paper: dict[str, float] | None = None, /, **settings: Any) -> Recipe:
    """``base`` with some settings changed, whichever of its parts they belong to; ``base`` itself if nothing changes.

    Where only the reading of the maps changes there is nothing to train, and the cost says so.
    """
    varied = base
    for setting, value in settings.items():
        part = PART_OF[setting]
        varied = replace(varied, **{part: replace(getattr(varied, part), **{setting: value})})
    if varied == base:
        return base
    trained_alike = varied == replace(base, inference=varied.inference, segmentation=varied.segmentation)
    cost = f"None beyond {base.name}: the same weights, their maps read in another way." if trained_alike else base.cost
    return replace(varied, name=name, about=about, paper=paper or {}, cost=cost)


def also(base: Recipe, name: str, about: str, paper: dict[str, float], /, *, cost: str = "") -> Recipe:
    """``base`` in another role: its settings, and in ``about`` the commands that make the difference.

    Without ``cost`` nothing is trained but ``base`` and the other runs that ``about`` names.
    """
    cost = cost or f"None beyond {base.name} and the other runs it names."
    return replace(base, name=name, about=about, paper=paper, cost=cost)


@cache
def _modules() -> dict[str, ModuleType]:
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in found}


def _hint(name: str, known: list[str]) -> str:
    if name in families():
        return f"{name} is a family, so choose one of its variants, such as {name}:{next(iter(families()[name]))}."
    close = difflib.get_close_matches(name, [*known, *families()], n=1)
    return f'did you mean "{close[0]}"?' if close else f"there are {', '.join([*names(), *families()])}."


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
