"""Tags in, boxes and masks out, in a few calls; the command line says the same with words.

import torchbas as tb

found = tb.label("photos/")
tb.save(found, "labels/", formats=["coco", "voc", "gallery"])
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from . import data, recipes
from .config import Inference, Recipe
from .engine import Hooks, resolve_precision
from .errors import InputError
from .formats import FORMATS, Sizes, Writer, replacing
from .formats import save as _save
from .localize import Row, Scores
from .localize import evaluate as _evaluate
from .localize.estimate import estimate as _estimate
from .localize.localizer import AUTHORS, Localizer, Progress, silent
from .localize.train import train as _train
from .model import create_model as create_model
from .model.weights import normalisation, open_authors
from .types import Collection, Localization, Problem
from .viz.gallery import write_gallery

Source = str | Path | Collection
SIDE, CROP = 256, 224  # of a photo in front of the authors' networks


@dataclass(frozen=True)
class Compute:
    """Where and how to compute; the same words everywhere."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    workers: int = 0
    """Processes that decode photos beside the one that computes."""
    precision: str = "auto"
    """auto (bf16 where it is faster), 32-true, bf16-mixed or 16-mixed."""

    def place(self) -> torch.device:
        """The device for inference. Raises :class:`InputError` where there is no such one."""
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        try:
            return torch.zeros(0, device=name).device
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"--device {self.device} cannot be used here; use --device cpu or auto.") from error

    def context(self) -> Callable[[], Any]:
        """What to run a network in: autocast, or nothing."""
        kind = self.place().type
        precision = resolve_precision(self.precision, kind)
        if precision == "32-true":
            return nullcontext
        return partial(torch.autocast, kind, torch.bfloat16 if precision == "bf16-mixed" else torch.float16)


@dataclass(frozen=True)
class Watch:
    """How a caller follows long work; the defaults are silent."""

    batches: Progress = silent
    opened: Callable[[int, int], None] | None = None
    hooks: Callable[[Localizer], Hooks] = field(default=lambda _: Hooks())


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
    resume: bool = False,
    compute: Compute = Compute(),
    watch: Watch = Watch(),
) -> Localizer:
    """Train by a recipe and save the model into ``out``; ``resume`` goes on where a stopped run left off.

    Raises:
        InputError: unreadable input, fewer than two tags, weights that cannot be had, other settings on resume.
        Interrupted: Ctrl-C or SIGTERM, after saving.
    """
    chosen = recipes.load(recipe) if isinstance(recipe, str) else recipe
    if compute.precision != "auto":
        chosen = replace(chosen, training=replace(chosen.training, precision=compute.precision))  # type: ignore[arg-type]
    return _train(
        source if isinstance(source, Collection) else data.read(source),
        chosen,
        Path(out),
        weights=weights,
        device=compute.device,
        workers=compute.workers,
        resume=resume,
        hooks=watch.hooks,
        progress=watch.batches,
    )


def load(model: str | Path) -> Localizer:
    """A trained model: a run's folder, a Hub repository ``user/name``, or the authors' ``.pth.tar``.

    The authors' files hold no class names: their classes are called ``0``, ``1``, ...
    """
    if str(model).endswith((".pth.tar", ".pth", ".pt")):
        network = open_authors(model)
        classes = tuple(str(number) for number in range(network.num_classes))
        mean, std = normalisation(network.architecture.backbone, weights=False)
        return Localizer(network, classes, mean, std, SIDE, CROP, Inference(threshold=0.1), AUTHORS)
    folder = Path(model)
    nested = folder / "model"
    return Localizer.load(nested if (nested / "model.json").is_file() else model)


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


def evaluate(
    source: Source,
    model: str | Path | Localizer,
    *,
    rows: Sequence[Row] | None = None,
    ten_crop: bool = True,
    compute: Compute = Compute(),
    watch: Watch = Watch(),
) -> Scores:
    """Score a model against true boxes by the authors' protocol; where there are splits on ``test``, else ``val``.

    ``rows`` says which maps and thresholds; by default the model's own, k = 1, k = all and plain CAM at the
    authors' thresholds.
    """
    localizer = model if isinstance(model, Localizer) else load(model)
    collection = source if isinstance(source, Collection) else data.read(source)
    held_out = "test" if any(photo.split == "test" for photo in collection.photos) else "val"
    localizer.model.to(compute.place())
    return _evaluate(
        localizer.model,
        localizer.adopt(collection.only(held_out)),
        rows or default_rows(localizer.inference),
        (localizer.mean, localizer.std),
        ten_crop=ten_crop,
        resize=localizer.side,
        crop=localizer.crop,
        workers=compute.workers,
        forward=compute.context(),
        progress=watch.batches,
    )


def default_rows(inference: Inference) -> list[Row]:
    """Plain CAM and BAS with k = 1 and k = all at the authors' thresholds and each image's own; the model's own k."""
    levels: tuple[float | str, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, "auto")
    ways = {"CAM": None, "BAS k=1": Inference(top=1), "BAS k=all": Inference(top=0)}
    if inference.top > 1:
        ways[f"BAS k={inference.top}"] = inference
    return [Row(name, way, levels) for name, way in ways.items()]


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
