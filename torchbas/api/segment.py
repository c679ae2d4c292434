"""Tags to pseudo masks to a segmenter: trained models and folders of seeds put together into a pipeline."""

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import data
from ..baselines.train import load as load_baseline
from ..config import Segmentation
from ..errors import InputError
from ..localize.localizer import Localizer
from ..segment.pipeline import Objects, Pipeline, Until
from ..segment.score import Report
from ..segment.setup import Follow, Machine, Start
from ..segment.sources import Method, Ready
from ..segment.stage import Silent
from ..types import Collection
from .compute import Compute, Source, open_any


def segment(
    source: Source,
    out: str | Path,
    models: Sequence[str | Path] = (),
    *,
    foreground: str | Path | None = None,
    judge: str | Path | None = None,
    seeds: Sequence[str | Path] = (),
    trust_pickle: bool = False,
    settings: Segmentation = Segmentation(),
    objects: Objects = "semantic",
    until: Until = "student",
    start: Start = Start(),
    seed: int = 0,
    overwrite: bool = False,
    compute: Compute = Compute(),
    follow: Follow = lambda _: nullcontext(Silent()),
) -> dict[str, Report | None]:
    """Seed, refine, student: each stage is kept in ``out``, and the same call goes on where it was stopped.

    Args:
        source: tagged photos; the splits ``train`` and none are learned from, ``val`` and ``test`` labelled.
        models: runs whose seeds are added, of BAS or of a baseline; ``RUN:advcam`` reads a classifier by another
            method that has the same network.
        foreground: a run of a class-agnostic model, which weakens the seeds (Table 13).
        judge: a run of BAS that judges thresholds where ``models`` have none, such as for the seeds of CAM (Table 15).
        seeds: folders of seeds that are added, too.
        objects: ``instances`` also writes the masks of single objects, ``instances/instances.coco.json``.
        trust_pickle: also unpickle IRN's ``.npy`` in them, which runs what their writer put in.
        start: pretrained weights of IRN and the student.
        follow: a progress bar for a piece of work, by its name.

    Returns:
        mIoU and IoU by class in percent of every stage, None where there is no true mask.

    Raises:
        InputError: anything that is missing, does not fit together, or was made with other settings.
        Interrupted: stopped by the user.
    """
    collection = source if isinstance(source, Collection) else data.read(source)
    opened = [open_method(model) for model in (*models, *filter(None, (foreground, judge)))]
    for method, classes in opened:
        if classes != opened[0][1]:
            raise InputError(f"{method.name} and {opened[0][0].name} have other classes: train both on the same data.")
        collection = _with_classes(collection, classes, method.name)
    for method, _ in opened:
        method.network.to(compute.place()).eval()
    ready = [Ready(Path(folder).resolve().name, Path(folder), trust_pickle) for folder in seeds]
    critic = opened.pop()[0] if judge else None
    if critic and not critic.judge:
        raise InputError(f"{judge} is no BAS model, and only BAS judges thresholds: give a run of bas train.")
    sources = _distinct([*(method for method, _ in opened), *ready])
    agnostic = sources.pop(len(models)) if foreground else None
    if agnostic and not (agnostic.judge and agnostic.judge.architecture.agnostic):
        raise InputError(f"{foreground} has a map for each class: train one with --agnostic to be the foreground.")
    machine = Machine(
        device=compute.device,
        place=compute.place(),
        workers=compute.workers,
        training=compute.precision,  # pyright: ignore[reportArgumentType] - checked by config.Training
        precision=compute.context(),
        follow=follow,
    )
    pipeline = Pipeline(
        collection,
        Path(out),
        sources,
        settings=settings,
        foreground=agnostic,
        judge=critic,
        start=start,
        machine=machine,
        seed=seed,
        objects=objects,
        overwrite=overwrite,
    )
    return pipeline.run(until)


def open_method(model: str | Path) -> tuple[Method, tuple[str, ...]]:
    """A trained model as a maker of seeds, and its classes."""
    folder, _, reading = str(model).partition(":") if not Path(model).exists() else (str(model), "", "")
    opened = load_baseline(folder, reading) if reading else open_any(folder)
    name = "_".join(part for part in (Path(folder).resolve().name, reading) if part)
    colours = (opened.mean, opened.std) if isinstance(opened, Localizer) else opened.model.normalisation
    judge = opened.model if isinstance(opened, Localizer) else None
    identity = hashlib.sha256(reading.encode())
    for tensor in opened.model.state_dict().values():
        identity.update(tensor.cpu().numpy().tobytes())
    return Method(name, identity.hexdigest(), opened.model, colours, judge), opened.classes


def _with_classes(collection: Collection, classes: tuple[str, ...], name: str) -> Collection:
    """The photos with the class numbers of a model, which true masks share."""
    if classes == collection.classes:
        return collection
    if any(photo.mask for photo in collection.photos):
        raise InputError(
            f"{name} was trained with other classes ({', '.join(classes[:5])} ...) than the masks of {collection.root} "
            "number: train it on the same data."
        )
    return collection.relabelled(classes)


def _distinct(sources: Sequence[Method | Ready]) -> list[Any]:
    """Sources of one name get numbers, for each has a folder."""
    seen: dict[str, int] = {}
    answer: list[Method | Ready] = []
    for source in sources:
        seen[source.name] = number = seen.get(source.name, 0) + 1
        answer.append(source if number == 1 else replace(source, name=f"{source.name}_{number}"))
    return answer
