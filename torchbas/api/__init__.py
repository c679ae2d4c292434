"""Tags in, boxes and masks out, in a few calls; the command line says the same with words.

import torchbas as tb

found = tb.label("photos/")
tb.save(found, "labels/", formats=["coco", "voc", "gallery"])
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from .. import data, recipes
from ..baselines.train import Baseline
from ..baselines.train import train as _train_baseline
from ..config import Recipe
from ..engine import Hooks
from ..formats import FORMATS, Sizes, Writer, replacing
from ..formats import save as _save
from ..localize import Scores as Scores
from ..localize.estimate import estimate as _estimate
from ..localize.localizer import Localizer
from ..localize.train import train as _train
from ..model import create_model as create_model
from ..types import Collection, Localization, Problem
from ..viz.gallery import write_gallery
from .compute import Compute as Compute
from .compute import Source
from .compute import Watch as Watch
from .compute import load as load
from .scores import evaluate as evaluate
from .scores import score_labels as score_labels
from .scores import score_maps as score_maps


def check(source: Source, workers: int = 2, watch: Watch = Watch()) -> Collection:
    """Read tags and open every photo once; what cannot be used is among the ``problems`` of the result."""
    collection = source if isinstance(source, Collection) else data.read(source, strict=False)
    return data.inspect(collection, max(1, workers), watch.opened)


def estimate(collection: Collection, recipe: str | Recipe = "quick", device: str = "auto") -> float:
    """Seconds that :func:`label` will take here, from a few timed steps."""
    return _estimate(collection, recipes.load(recipe) if isinstance(recipe, str) else recipe, device)


def label(
    source: Source,
    out: str | Path | None = None,
    *,
    recipe: str | Recipe = "quick",
    weights: bool | str | Path = True,
    objects: Literal["largest", "all"] = "largest",
    resume: bool = False,
    compute: Compute = Compute(),
    watch: Watch = Watch(),
) -> list[Localization]:
    """Train on tagged photos and find each photo's tags in it: the whole main job.

    Args:
        source: a folder of tags, a CSV or JSON list, a CUB-format folder, or a :class:`Collection`.
        out: folder in which to keep the model; without one it is forgotten.
        recipe: its name, or a :class:`Recipe`.
        weights: True fetches ImageNet weights by name, a path reads a file, False starts from nothing.
        objects: the ``largest`` piece of each map, or ``all``.

    Raises:
        InputError: see :func:`train`.
    """
    collection = source if isinstance(source, Collection) else data.read(source)
    checked = check(collection, compute.workers, watch)
    with TemporaryDirectory() if out is None else nullcontext(out) as folder:
        localizer = train(checked, folder, recipe=recipe, weights=weights, resume=resume, compute=compute, watch=watch)
    return predict(checked, localizer, objects=objects, compute=compute, watch=watch)


def train(
    source: Source,
    out: str | Path,
    *,
    recipe: str | Recipe = "quick",
    weights: bool | str | Path = True,
    clip_model: str | Path | None = None,
    prompts: str | Path | None = None,
    resume: bool = False,
    compute: Compute = Compute(),
    watch: Watch = Watch(),
) -> Localizer:
    """Train by a recipe and save the model into ``out``; ``resume`` goes on where a stopped run left off.

    Args:
        weights: True fetches ImageNet weights by name, a path reads a file or goes on from the folder of any trained
            model or baseline, False starts from nothing.
        clip_model: ``NAME:FILE`` of open_clip or a folder of transformers: learn from what this CLIP says of maps, too.
        prompts: JSON of its words, see :func:`torchbas.engine.language.read_sentences`.

    Raises:
        InputError: unreadable input, fewer than two tags, weights that cannot be had, other settings on resume.
        Interrupted: Ctrl-C or SIGTERM, after saving.
    """
    return _train(
        source if isinstance(source, Collection) else data.read(source),
        _precise(recipe, compute),
        Path(out),
        weights=weights,
        clip_model=clip_model,
        prompts=prompts,
        device=compute.device,
        workers=compute.workers,
        resume=resume,
        hooks=watch.hooks,
        progress=watch.batches,
    )


def train_baseline(
    source: Source,
    out: str | Path,
    method: str,
    *,
    recipe: str | Recipe = "small",
    weights: bool | str | Path = True,
    resume: bool = False,
    compute: Compute = Compute(),
    hooks: Hooks = Hooks(),
    **options: Any,
) -> Baseline:
    """Train a method that BAS is compared with, by a recipe of BAS; :func:`evaluate` scores it.

    Args:
        method: a name in :data:`torchbas.baselines.METHODS`.
        weights: as for :func:`train`.
        options: the method's own arguments.

    Raises:
        InputError: as :func:`train`; an unknown method; a recipe that caches the stem's features.
        Interrupted: Ctrl-C or SIGTERM, after saving.
    """
    return _train_baseline(
        source if isinstance(source, Collection) else data.read(source),
        _precise(recipe, compute),
        method,
        Path(out),
        weights=weights,
        device=compute.device,
        workers=compute.workers,
        resume=resume,
        hooks=lambda _: hooks,
        **options,
    )


def _precise(recipe: str | Recipe, compute: Compute) -> Recipe:
    """The recipe in the precision that was asked for."""
    chosen = recipes.load(recipe) if isinstance(recipe, str) else recipe
    if compute.precision == "auto":
        return chosen
    return replace(chosen, training=replace(chosen.training, precision=compute.precision))  # type: ignore[arg-type]


def predict(
    source: Source,
    model: str | Path | Localizer,
    *,
    tags: Literal["known", "predicted"] | Sequence[str] = "known",
    objects: Literal["largest", "all"] = "largest",
    compute: Compute = Compute(),
    watch: Watch = Watch(),
) -> list[Localization]:
    """Find objects in every photo of ``source``: its known tags, the most probable one, or tags given by name.

    Raises:
        InputError: unreadable photos (:func:`check` sorts them out), tags that the model does not know.
    """
    localizer = model if isinstance(model, Localizer) else load(model)
    if not isinstance(source, Collection):
        source = data.read(source) if tags == "known" else data.read_untagged(source)
    if tags not in ("known", "predicted"):
        labels = tuple(sorted(localizer.label_of(tag) for tag in ([tags] if isinstance(tags, str) else tags)))
        source = replace(
            source, classes=localizer.classes, photos=tuple(replace(photo, labels=labels) for photo in source.photos)
        )
    localizer.model.to(compute.place())
    found = localizer.stream(
        source,
        tags="predicted" if tags == "predicted" else "known",
        objects=objects,
        workers=compute.workers,
        precision=compute.context(),
        progress=watch.batches,
    )
    return list(found)


def save(
    found: Sequence[Localization],
    out: str | Path,
    formats: Sequence[str] = ("coco", "voc", "gallery"),
    *,
    classes: Sequence[str] | None = None,
    images: Sizes | None = None,
    problems: Sequence[Problem] = (),
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write what was found: ``coco`` (boxes and masks), ``coco-outlines``, ``voc`` (masks as PNG), ``gallery``.

    ``classes`` and ``images`` (every photo's height and width by name) default to those of ``found``; give them to
    list tags and photos without a finding too. ``problems`` and ``facts`` go into the gallery.

    Raises:
        InputError: an unknown format, a disk that is full.
    """

    def gallery(found: Sequence[Localization], classes: Sequence[str], images: Sizes, folder: Path) -> None:
        with replacing(folder / "index.html") as page:
            write_gallery(found, classes, images, page, read=data.open_image, problems=problems, facts=facts)

    writers: dict[str, Writer] = {**FORMATS, "gallery": gallery}
    _save(
        found,
        Path(out),
        classes or tuple(dict.fromkeys(one.label for one in found)),
        images or {one.name: one.size for one in found},
        formats,
        writers,
    )
