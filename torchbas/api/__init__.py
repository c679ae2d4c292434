"""The Python API: tags in, boxes and masks out, in a few calls.

import torchbas as tb

found = tb.label("photos/")
tb.save(found, "labels/", formats=["coco", "voc", "gallery"])
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from PIL import Image

from .. import data, recipes
from ..config import Recipe
from ..data.given import Photo, is_photo
from ..data.results import read_results as read_results
from ..deploy.hub import write_repository
from ..deploy.onnx import GraphSettings as GraphSettings
from ..deploy.onnx import require
from ..deploy.onnx import write as write_graph
from ..errors import InputError
from ..evaluation.accumulator import Scores as Scores
from ..export.results import Results, Sizes
from ..export.results import save as _save
from ..inference.localizer import Localizer
from ..inference.report import report_per_tag as report_per_tag
from ..localization import Localization, NotFound, TagReport
from ..model import create_model as create_model
from ..structures import Dataset, Problem
from ..training.estimate import estimate as _estimate
from ..training.going_on import known_model, with_known_tags
from ..training.recipe import train_recipe
from ..viz.overlay import draw
from .compute import Compute as Compute
from .compute import Source
from .compute import Watch as Watch
from .compute import load as load
from .corrections import localize_corrected
from .features import features_of as features_of
from .features import usable as usable
from .scores import evaluate as evaluate
from .scores import score_labels as score_labels
from .scores import score_maps as score_maps


def check(source: Source, workers: int = 2, watch: Watch = Watch()) -> Dataset:
    """Dataset of the photos that can be read; the others are its ``problems``. Opens every photo once.

    Raises:
        InputError: a path that is not there, or holds no photos or tags.
    """
    dataset = source if isinstance(source, Dataset) else data.read(source, strict=False)
    return data.inspect(dataset, max(1, workers), watch.opened)


def estimate(dataset: Dataset, recipe: str | Recipe = "quick", device: str = "auto") -> float:
    """Seconds that :func:`label` will take on this machine, from a few timed steps."""
    return _estimate(dataset, recipes.load(recipe) if isinstance(recipe, str) else recipe, device)


def label(
    source: Source,
    out: str | Path | None = None,
    *,
    background: str | Sequence[str] = (),
    recipe: str | Recipe = "quick",
    weights: bool | str | Path = True,
    model: str | Path | Localizer | None = None,
    objects: Literal["largest", "all"] = "largest",
    corrected: Sequence[str | Path] = (),
    resume: bool = False,
    compute: Compute = Compute(),
    watch: Watch = Watch(),
    **settings: Any,
) -> list[Localization]:
    """Localizations of each photo's tags by a model trained on the same photos.

    Where a tag's maps are empty or full, Layer-CAM's stand in: ``method`` of the localization says so, and
    :func:`report_per_tag` what may be wrong.

    Args:
        source: a folder of tags, a CSV or JSON list, the folder of a data set, or a :class:`Dataset`.
        out: folder for the model; without one it is not kept.
        background: see :func:`train`.
        recipe: a name (``bas recipes``), or a :class:`~torchbas.config.Recipe`; for ``quick`` see :func:`usable`.
        weights: True fetches ImageNet weights by name, a path reads a file, False initializes at random.
        model: of an earlier call, to go on with: what it knows stands, and only tags that are new are learned
            (docs/more.md).
        objects: the ``largest`` connected component of each heatmap, or ``all``.
        corrected: files with boxes corrected by hand: learned from, and returned as they are (docs/correct.md).
        settings: values in place of the recipe's, by name, as ``steps=300`` or ``backbone="resnet50"``; ``bas recipes
            NAME`` prints them.

    Raises:
        InputError: see :func:`train`.
    """
    chosen = _changed(recipe, settings)
    dataset = _read(source, background)
    if model is not None:
        model = known_model(model)
        dataset = with_known_tags(dataset, model)
    corrections = data.read_corrections(map(Path, corrected), dataset)
    checked = check(corrections.tagged(dataset), compute.workers, watch)
    with TemporaryDirectory() if out is None else nullcontext(out) as folder:
        start = {"recipe": chosen, "weights": weights, "model": model}
        localizer = train(checked, folder, **start, resume=resume, compute=compute, watch=watch)
        how = {"objects": objects, "compute": compute, "watch": watch}
        own = localize_corrected(
            checked,
            localizer,
            corrections,
            lambda some, by: predict(some, by, **how),
            compute.context(),
            objects=objects,
        )
        if own.localizer != localizer:
            own.localizer.save(folder)
    return own.found


def train(
    source: Source,
    out: str | Path,
    *,
    background: str | Sequence[str] = (),
    recipe: str | Recipe = "quick",
    weights: bool | str | Path = True,
    model: str | Path | Localizer | None = None,
    resume: bool = False,
    compute: Compute = Compute(),
    watch: Watch = Watch(),
    **settings: Any,
) -> Localizer:
    """Train by a recipe, BAS or any other method, and save the model into ``out``.

    Args:
        background: tags whose photos show none of the others, see :meth:`Dataset.with_background
            <torchbas.structures.Dataset.with_background>`.
        weights: True fetches ImageNet weights by name, a path reads a file or goes on from the folder of any trained
            model, False initializes at random.
        model: see :func:`label`; without a new tag nothing is trained.
        resume: go on where a stopped run left off.
        settings: see :func:`label`.

    Raises:
        InputError: unreadable input, an unknown tag or setting, one tag without photos to tell it from, weights that
            cannot be had, a recipe that needs another run first, other settings on resume.
        Interrupted: Ctrl-C or SIGTERM, after saving.
    """
    if model is not None and weights is not True:
        raise InputError("weights are those of the model that is gone on with: give one of the two.")
    chosen = _changed(recipe, settings)
    if model is None:
        chosen = usable(chosen, weights)
    return train_recipe(
        _read(source, background),
        _precise(chosen, compute),
        Path(out),
        weights=weights,
        model=None if model is None else known_model(model),
        device=compute.device,
        workers=compute.workers,
        feature_cache=compute.feature_cache,
        resume=resume,
        hooks=watch.hooks,
        progress=watch.batches,
        unreadable=watch.unreadable,
    )


def _read(source: Source, background: str | Sequence[str]) -> Dataset:
    """The dataset, without the tags that mean none of the others."""
    dataset = source if isinstance(source, Dataset) else data.read(source)
    return dataset.with_background(*([background] if isinstance(background, str) else background))


def _changed(recipe: str | Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with some values in place of its own, which are its ``changes``."""
    chosen = recipes.load(recipe) if isinstance(recipe, str) else recipe
    return recipes.with_settings(chosen, settings) if settings else chosen


def _precise(recipe: Recipe, compute: Compute) -> Recipe:
    """The recipe with the precision of ``compute``, unless that is ``auto``."""
    if compute.precision == "auto":
        return recipe
    return replace(recipe, training=replace(recipe.training, precision=compute.precision))  # type: ignore[arg-type]


def predict(
    source: Source | Photo | Iterable[Photo],
    model: str | Path | Localizer,
    *,
    tags: Literal["known", "predicted"] | Sequence[str] = "known",
    objects: Literal["largest", "all"] = "largest",
    threshold: float | Literal["auto", "image_specific"] | None = None,
    input_size: int | None = None,
    refine: str | Sequence[str] | None = None,
    refiner_weights: str | Path = "",
    min_score: float = 0.0,
    compute: Compute = Compute(),
    watch: Watch = Watch(),
) -> Iterator[Localization]:
    """Iterator over the localizations in every photo of ``source``, in constant memory.

    Args:
        source: a folder, list or :class:`Dataset`; or photos as a program has them, one or an iterable of them, whose
            localizations come while it is read, without progress or workers: paths, URLs, bytes, Pillow images,
            arrays, tensors (:data:`~torchbas.data.given.Photo`).
        tags: each photo's ``known`` tags, its ``predicted`` (most probable) one, or names of tags for all photos.
            Photos as a program has them have no known tags: there it is the predicted one.
        objects: the ``largest`` connected component of each heatmap, or ``all``.
        threshold: value of the heatmap above which a pixel is foreground, ``auto`` or ``image_specific``; None: the
            model's own.
        input_size: both sides in pixels that photos are squeezed to; None: the model's own.
        refine: stages that draw masks and boxes to the photo's edges, ``shift``, ``crf``, ``sam2``, one or more in
            their order, or ``none``; None: the model's own (docs/refine.md).
        refiner_weights: of ``sam2``, a name on the Hugging Face Hub or a folder; its own when not given.
        min_score: localizations with a lower certainty are left out, for photos that show none of the tags.

    Raises:
        InputError: unreadable photos (:func:`check` leaves them out), tags that the model does not know, weights of a
            refiner that cannot be had.
    """
    localizer = model if isinstance(model, Localizer) else load(model)
    localizer = localizer.with_inference(threshold=threshold, input_size=input_size)
    localizer = localizer.with_refine(refine, str(refiner_weights))
    named = tags not in ("known", "predicted")
    labels = localizer.labels_of(tags) if named else ()
    localizer.model.to(compute.place())
    settings = {
        "objects": objects,
        "min_score": min_score,
        "precision": compute.context(),
        "unreadable": watch.unreadable,
    }
    if not isinstance(source, Dataset) and (is_photo(source) or not isinstance(source, (str, Path))):
        return localizer.stream_photos(source, labels, **settings)
    if not isinstance(source, Dataset):
        source = data.read(source) if tags == "known" else data.read_untagged(source)
    if named:
        samples = tuple(replace(sample, labels=labels) for sample in source.samples)
        source = replace(source, classes=localizer.classes, samples=samples)
    chosen = "predicted" if tags == "predicted" else "known"
    return localizer.stream(source, tags=chosen, workers=compute.workers, progress=watch.batches, **settings)


def plot(found: Localization | Sequence[Localization], *, heat: bool = False) -> Image.Image:
    """The photo with the masks, boxes and tags of one or more of its objects drawn into it.

    Args:
        heat: with the heatmaps over it.

    Raises:
        InputError: nothing was found, or the objects are of several photos.
        UnreadableImage: the photo is not there any more.
    """
    objects = [found] if isinstance(found, Localization) else [*found]
    if len({one.name for one in objects}) != 1:
        raise InputError("There is no one photo to draw into: give the objects that were found in one photo.")
    return draw(objects[0].photo or data.open_image(objects[0].image), objects, heat=heat)


def save(
    detections: Iterable[Localization] | Results,
    out: str | Path,
    formats: Sequence[str] = ("coco", "voc", "gallery"),
    *,
    classes: Sequence[str] | None = None,
    images: Sizes | None = None,
    problems: Sequence[Problem] = (),
    facts: Mapping[str, str] | None = None,
    reports: Sequence[TagReport] = (),
    not_found: Sequence[NotFound] = (),
) -> None:
    """Write detections into a folder, or results that :func:`read_results` has read, all else being theirs.

    Args:
        formats: names in :data:`torchbas.export.FORMATS`.
        classes: all tags, those without a detection too; by default those of ``detections``.
        images: height and width of all photos by name; by default of those in ``detections``.
        problems: photos that were left out, for the gallery.
        facts: lines about the model by name, for the gallery.
        reports: what :func:`report_per_tag` says, for the gallery.
        not_found: tags of photos to draw a box of, for the gallery.

    Raises:
        InputError: an unknown format, or one that cannot hold all classes; a tag or photo outside ``classes`` and
            ``images``; a disk that is full.
    """
    if not isinstance(detections, Results):
        found = list(detections)
        detections = Results(
            found,
            classes or tuple(dict.fromkeys(one.label for one in found)),
            images or {one.name: one.size for one in found},
            data.open_image,
            problems,
            facts or {},
            reports,
            not_found=not_found,
        )
    _save(detections, Path(out), formats)


def export_model(
    model: str | Path | Localizer,
    out: str | Path,
    formats: Sequence[str] = ("onnx",),
    settings: GraphSettings = GraphSettings(),
    *,
    run: str | Path | None = None,
) -> list[str]:
    """Write a model for other programs into a folder: ``onnx``, ``openvino``, ``hub`` (docs/deploy.md).

    Args:
        run: folder of the command that has made the model, for the README of ``hub``; by default that of ``model``.

    Returns:
        What the graph and its post-processor leave out of what the model does, a sentence each.

    Raises:
        InputError: an unknown format, a package that is not installed, a network that cannot be written as a graph.
    """
    require(formats)
    localizer = model if isinstance(model, Localizer) else load(model)
    if "hub" in formats:
        write_repository(localizer, Path(out) / "hub", run or (None if model is localizer else str(model)))
    graphs = [name for name in formats if name != "hub"]
    return write_graph(localizer, Path(out), graphs, settings) if graphs else []
