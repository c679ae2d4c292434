"""Recipes: one file per published or recommended way to train; each is data with a promise, and runs as it is named.

A file with a ``RECIPE`` is called like the file (``cub_resnet50``). A file with ``VARIANTS`` is a family, a table or
figure whose points derive from another recipe: they are called ``family:variant`` (``table3:layer1``). A point that is
another recipe unchanged *is* that recipe, so what tables share is trained and measured once. What a recipe costs and
which commands run it is derived from its settings (:func:`cost`, :func:`commands`).

A promise is what the paper reports. Its MaxBoxAccV2 (Table 4) is, in the authors' code, of one box at one threshold;
``bas eval --protocol wsoleval`` computes the published metric, the best threshold for each IoU. The mIoUs are of the
stages of ``bas segment``: ``seed_miou`` of its score seed (of image_threshold in Table 15), ``mask_miou`` of masks,
``val_miou`` and ``test_miou`` of the segmenter's predictions.
"""

import difflib
import importlib
import importlib.util
import json
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from string import digits
from types import ModuleType
from typing import Any

from ..config import Architecture, Inference, Objective, Recipe, Segmentation, Training
from ..errors import InputError
from ..weight_names import PRETRAINED, trunk_of

RESULTS = Path(__file__).parents[2] / "results"
"""What was measured; an installed copy has none."""
PARTS = {
    "architecture": Architecture,
    "options": Objective,
    "training": Training,
    "inference": Inference,
    "segmentation": Segmentation,
}
PART_OF = {setting.name: part for part, kind in PARTS.items() for setting in fields(kind)}
LEARNED_BY = {
    setting.name: part for part, kind in PARTS.items() if kind is not Segmentation for setting in fields(kind)
}
"""Of the settings of a training and its maps, without those of ``bas segment``, the part that each belongs to."""
SAMPLES = {"cub": 5994, "ilsvrc": 1_281_167, "openimages": 29_819, "voc": 10_582, "coco": 82_081}
"""Training photos of the data sets that the recipes are for."""
FOLDERS = {
    "cub": "CUB_200_2011/",
    "ilsvrc": "ILSVRC/",
    "openimages": "OpenImages/",
    "voc": "VOC2012/",
    "coco": "COCO2014/",
    "": "photos/",
}
"""What these data sets are called in a command."""
CPU_SECONDS = {"vgg16": 0.33, "mobilenetv1": 0.15, "resnet50": 0.38, "inceptionv3": 0.38}
"""CPU seconds of a training step for each photo of 224 x 224, bf16, batches of 16: ``results/speed/step_*.json``."""

RECIPE_FIELDS = {setting.name for setting in fields(Recipe)} - {"name", "about", "paper"}


def names() -> list[str]:
    """The built-in recipes that have a file of their own, ``quick`` first."""
    found = (name for name, module in _modules().items() if hasattr(module, "RECIPE"))
    return sorted(found, key=lambda name: (name != "quick", name))


def families() -> dict[str, dict[str, Recipe]]:
    """The built-in families: every figure and table, its variants by their short names."""
    found = (name for name, module in _modules().items() if hasattr(module, "VARIANTS"))
    in_order = sorted(found, key=lambda name: (name.rstrip(digits), len(name), name))
    return {name: _modules()[name].VARIANTS for name in in_order}


def built_in() -> dict[str, Recipe]:
    """The built-in recipes by name, ``family:variant`` included."""
    known = {name: _modules()[name].RECIPE for name in names()}
    for family, variants in families().items():
        known |= {f"{family}:{variant}": recipe for variant, recipe in variants.items()}
    return known


def load(name: str) -> Recipe:
    """A recipe by name, ``family:variant`` included, or one of the user's own: a Python file that defines ``RECIPE``.

    A file is run, so give only one that you trust, and never a name that stands in a file: :func:`built_in` has those.

    Raises:
        InputError: no such recipe or file, or a file without a ``RECIPE``.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    known = built_in()
    if name not in known:
        raise InputError(f'There is no recipe "{name}": {_hint(name, list(known))}')
    return known[name]


def measured(name: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The results of exactly this recipe: those whose field ``recipe`` is its name and nothing more."""
    found = (json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*/*.json")))
    return [result for result in found if result["recipe"] == name]


def vary(base: Recipe, name: str, about: str, paper: dict[str, float] | None = None, /, **settings: Any) -> Recipe:
    """``base`` with some settings changed, whichever of its parts they belong to; ``base`` itself if nothing changes.

    ``settings`` may also be fields of the recipe itself, such as ``method`` or ``init_from``.
    """
    varied = base
    for setting, value in settings.items():
        if setting in RECIPE_FIELDS:
            varied = replace(varied, **{setting: value})
        else:
            part = PART_OF[setting]
            varied = replace(varied, **{part: replace(getattr(varied, part), **{setting: value})})
    return base if varied == base else replace(varied, name=name, about=about, paper=paper or {})


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with values in place of its training's own, by name, which are its ``changes`` where they differ.

    Epochs without steps end the training in place of the recipe's steps.

    Raises:
        InputError: no recipe has a setting of that name.
        SettingError: a value out of range, or one that does not go with another.
    """
    part_of = {setting: part for setting, part in LEARNED_BY.items() if setting in settings}
    if unknown := next((name for name in settings if name not in part_of), None):
        raise InputError(f'There is no setting "{unknown}"{_close(unknown)}')
    if "epochs" in settings:
        settings, part_of = {"steps": None, **settings}, {"steps": "training", **part_of}
    changes = dict(recipe.changes)
    for part in dict.fromkeys(part_of.values()):
        own, before = {name: settings[name] for name in part_of if part_of[name] == part}, getattr(recipe, part)
        if not isinstance(before, PARTS[part]):  # options of another method than bas
            raise InputError(f"{recipe.name} learns {recipe.method}, which has no setting {_listed(own)}.")
        changes |= {name: value for name, value in own.items() if value != getattr(before, name)}
        recipe = replace(recipe, **{part: replace(before, **own)})
    return replace(recipe, changes=changes)


def reread(base: Recipe, name: str, about: str, paper: dict[str, float], /, **settings: Any) -> Recipe:
    """The weights of a run of ``base``, read with other settings or by another method: nothing is learned."""
    return vary(base, name, about, paper, init_from=base.name, steps=0, **settings)


def combine(base: Recipe, name: str, about: str, paper: dict[str, float], /, *parts: str) -> Recipe:
    """The seeds of the recipes named ``parts`` added (Sec. 5.3), refined with the settings of ``base``."""
    return replace(base, name=name, about=about, paper=paper, combine_with=parts)


def trained_part(recipe: Recipe) -> tuple[Any, ...]:
    """All that decides on a recipe's run; two recipes that agree on it make the same one."""
    settings = recipe.architecture, recipe.training, recipe.inference
    return recipe.method, recipe.options, tuple(recipe.needs), recipe.init_from, recipe.data, *settings


def same_run(recipe: Recipe) -> str:
    """The first built-in recipe, by name, whose run has is the same; the recipe's own name where there is none."""
    own = trained_part(recipe)
    return next((name for name in names() if trained_part(load(name)) == own), recipe.name)


def steps(recipe: Recipe) -> int | None:
    """Optimizer steps of its training; None where they depend on the user's photos."""
    training = recipe.training
    if recipe.combine_with:
        return 0
    if training.steps is not None or not recipe.data:
        return training.steps
    return training.epochs * -(-SAMPLES[recipe.data] // training.batch_size)


def cost(recipe: Recipe) -> str:
    """What it takes, in words made of its settings."""
    if recipe.combine_with:
        return f"No training beyond the runs of {_listed(recipe.combine_with)}: their seeds are added."
    if recipe.training.steps == 0:
        return f"No training beyond {recipe.init_from}: its weights, read in another way."
    if (run := same_run(recipe)) != recipe.name:
        others = [name for name in (recipe.foreground, recipe.threshold_model) if name not in ("", run)]
        return f"No training beyond {_listed([run, *others])}: the same run, its seeds used in another way."
    training, count = recipe.training, steps(recipe)
    start = f" from a run of {recipe.init_from}" if recipe.init_from else ""
    taken = f"{count:,} steps" if count is not None else f"{training.epochs} passes in steps"
    return f"{taken} of {training.batch_size} photos at {training.crop} pixels{start}{_time(recipe)}{_masks(recipe)}."


def _time(recipe: Recipe) -> str:
    """CPU hours, where a step of this kind was timed."""
    training, count = recipe.training, steps(recipe)
    seconds = CPU_SECONDS.get(recipe.architecture.backbone.removesuffix("_wsss"))
    if not seconds or count is None or training.f1 != "train" or recipe.method != "bas":
        return ""
    hours = count * training.batch_size * seconds * (training.crop / 224) ** 2 / 3600
    return (
        f", about {hours:,.1f} hours of one CPU core" if hours < 10 else f", about {hours:,.0f} hours of one CPU core"
    )


def _masks(recipe: Recipe) -> str:
    if not _segments(recipe):
        return ""
    segmenter = recipe.segmentation.segmenter
    return f"; the segmenter {segmenter.steps:,} steps of {segmenter.batch_size} more"


def commands(recipe: Recipe) -> list[str]:
    """The commands that run it, in order; what other recipes' runs it needs, ``bas recipes`` says of those."""
    data, base = FOLDERS[recipe.data], same_run(recipe)
    run = _run_of(base)
    if recipe.name in ("quick", "demo"):
        return ["bas demo"] if recipe.name == "demo" else [f"bas label {data} --out labels/"]
    train = [f"bas train {data} --out {run} --recipe {base}"]
    train += [f"--weights {_run_of(recipe.init_from)}"] if recipe.init_from else []
    train += [f"--{flag.replace('_', '-')} {flag.upper()}" for flag in recipe.needs]
    lines = [] if recipe.combine_with else [" ".join(train)]
    if _segments(recipe):
        models = " ".join(map(_run_of, recipe.combine_with)) or run
        words = [
            f"bas segment {data} --model {models} --recipe {recipe.name} --out masks/{recipe.name.replace(':', '_')}"
        ]
        words += [f"--foreground {_run_of(recipe.foreground)}"] if recipe.foreground else []
        words += [f"--threshold-model {_run_of(recipe.threshold_model)}"] if recipe.threshold_model else []
        lines.append(" ".join(words))
    elif recipe.data:
        lines.append(f"bas eval {data} --model {run}")
    return lines


def _segments(recipe: Recipe) -> bool:
    """Whether ``bas segment`` is one of its commands."""
    own = recipe.architecture.backbone.endswith("_wsss") or recipe.segmentation != Segmentation()
    return own and not recipe.architecture.class_agnostic


def weights(recipe: Recipe) -> dict[str, str]:
    """timm's name of the pretrained weights that its commands start from, by the flag that takes a file of them."""
    settings, found = recipe.segmentation, {}
    if not (recipe.combine_with or recipe.init_from or recipe.name == "demo"):  # bas demo starts from none
        found["--weights"] = PRETRAINED.get(recipe.architecture.backbone, recipe.architecture.backbone)
    if _segments(recipe):
        if settings.refine == "irn":
            found["--irn-weights"] = PRETRAINED["resnet50_wsss"]
        found["--segmenter-weights"] = trunk_of(settings.segmenter_network)
    return found


def _run_of(name: str) -> str:
    return f"runs/{name.replace(':', '_')}"


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


@cache
def _modules() -> dict[str, ModuleType]:
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in found}


def _hint(name: str, known: list[str]) -> str:
    if name in families():
        return f"{name} is a family, so choose one of its variants, such as {name}:{next(iter(families()[name]))}."
    close = difflib.get_close_matches(name, [*known, *families()], n=1)
    return f'did you mean "{close[0]}"?' if close else f"there are {', '.join([*names(), *families()])}."


def _close(setting: str) -> str:
    close = difflib.get_close_matches(setting, LEARNED_BY, n=1)
    return f': did you mean "{close[0]}"?' if close else "; bas train --help-all lists them."


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
