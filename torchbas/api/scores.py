"""Scores of models, and of anybody's score maps."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from .. import data
from ..baselines.evaluate import evaluate as evaluate_baselines
from ..baselines.train import Baseline
from ..config import Inference
from ..data.listed import pictures_below
from ..engine.evaluate import Listener, Pass
from ..engine.outcomes import OutcomeTable
from ..engine.scoremaps import read_predictions
from ..engine.scoremaps import score_maps as _score_maps
from ..engine.scoring import Rules
from ..errors import InputError
from ..localize import Row, Scores
from ..localize import evaluate as _evaluate
from ..localize.localizer import Localizer
from ..metrics import Protocol as Evaluator
from ..segment.score import Report, mask_score
from ..types import Collection
from .compute import Compute, Source, Watch, open_any

LEVELS: tuple[float | str, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, "auto")
"""Thresholds that an evaluation reports."""
Threshold = float | str | Mapping[str, float]
Table = Callable[[Threshold], OutcomeTable]


def evaluate(
    source: Source,
    model: str | Path | Localizer | Baseline,
    *,
    rows: Sequence[Row] | None = None,
    protocol: Evaluator = "authors",
    threshold: float | str = "auto",
    ten_crop: bool = True,
    table: Table | None = None,
    compute: Compute = Compute(),
    watch: Watch = Watch(),
) -> Scores:
    """Score a model against true boxes and masks; where there are splits on ``test``, else ``val``.

    Args:
        rows: which maps of a BAS model at which thresholds; by default its own k, k = 1, k = all and plain CAM, at
            several fixed thresholds and each image's own.
        protocol: ``authors`` (the paper's), or ``wsoleval`` (Choe et al. 2020: MaxBoxAcc, MaxBoxAccV2, PxAP, PIoU).
        threshold: at which the summaries stand; ``validation`` takes the best one of each row on the split ``val``.
        table: makes the list of what became of every image, given the threshold, or that of each row.

    Raises:
        InputError: nothing to compare with; ``validation`` without a split ``val``.
    """
    judged = model if isinstance(model, (Localizer, Baseline)) else open_any(model)
    collection = source if isinstance(source, Collection) else data.read(source)
    judged.model.to(compute.place())

    def score(split: str, threshold: Threshold, listener: Listener = lambda *_: None) -> Scores:
        photos = collection.only(split)
        levels = (*LEVELS, *(threshold.values() if isinstance(threshold, Mapping) else (threshold,)))
        if isinstance(judged, Baseline):
            rules = Rules(protocol, tuple(dict.fromkeys(levels)), judged.side, judged.crop)
            how = Pass(
                judged.model.normalisation,
                ten_crop,
                workers=compute.workers,
                forward=compute.context(),
                device=compute.place(),
                progress=watch.batches,
            )
            methods = {judged.method: judged.model}
            return evaluate_baselines(methods, photos.relabelled(judged.classes), rules, how, threshold, listener)
        return _evaluate(
            judged.model,
            judged.adopt(photos),
            rows or default_rows(judged.inference, tuple(dict.fromkeys(levels))),
            (judged.mean, judged.std),
            protocol=protocol,
            level=threshold if rows is None else None,
            ten_crop=ten_crop,
            resize=judged.side,
            crop=judged.crop,
            workers=compute.workers,
            forward=compute.context(),
            progress=watch.batches,
            listener=listener,
        )

    chosen = _validated(collection, score) if threshold == "validation" else threshold
    with table(chosen) if table else nullcontext() as outcomes:
        if outcomes is None:
            return score(held_out(collection), chosen)
        outcomes.rewind(0)
        return score(held_out(collection), chosen, outcomes.add)


def score_maps(
    source: Source,
    maps: str | Path,
    *,
    protocol: Evaluator = "wsoleval",
    threshold: float | str = "auto",
    predictions: str | Path | None = None,
    state: Path | None = None,
    table: Table | None = None,
    workers: int = 0,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, _: items,
) -> Scores:
    """Score anybody's score maps: a folder of ``<image>.npz`` or ``.npy``, 224 x 224 floats in [0, 1].

    Args:
        source: as for :func:`evaluate`; the photos themselves need not be there where a list tells their sizes.
        protocol: how the maps were made: of the centre crop (``authors``), or of the whole image (``wsoleval``).
        predictions: CSV ``image,class,class,...``, most probable first, for Top-1 and Top-5 Loc.
        state: file in which the counts are kept on the way; with the same settings the next call goes on from it.
        table: makes the list of what became of every image, given the threshold.

    Raises:
        InputError: nothing to compare with; a map that is missing or unfit, by name.
        Interrupted: Ctrl-C; what was counted is kept in ``state``.
    """
    collection = source if isinstance(source, Collection) else data.read(source, need_photos=False)
    classified = read_predictions(Path(predictions)) if predictions else None

    def score(split: str, threshold: Threshold) -> Scores:
        level = next(iter(threshold.values())) if isinstance(threshold, Mapping) else threshold
        final = split == held_out(collection)
        with table(level) if table and final else nullcontext() as outcomes:
            board = _score_maps(
                Path(maps),
                collection.only(split),
                Rules(protocol, tuple(dict.fromkeys((*LEVELS, level)))),
                predictions=classified,
                workers=workers,
                state=state if final else None,
                table=outcomes,
                progress=progress,
            )
        return board.scores(level)

    return score(held_out(collection), _validated(collection, score) if threshold == "validation" else threshold)


def score_labels(source: Source, labels: str | Path) -> Report:
    """Score anybody's label maps: a folder of PNGs named like the photos, 0 background, n the n-th class, 255 too.

    The photos with a true mask are judged, of those splits of which the folder holds any.

    Args:
        source: as for :func:`evaluate`; the photos themselves need not be there.

    Raises:
        InputError: nothing to compare; a label map that is missing or unfit, by name.
    """
    collection = source if isinstance(source, Collection) else data.read(source, need_photos=False)
    judged = [photo for photo in collection.photos if photo.mask]
    found = pictures_below(Path(labels))
    place = {photo.name: _found(found, photo.name) for photo in judged}
    splits = {photo.split for photo in judged if place[photo.name]}
    photos = tuple(photo for photo in judged if photo.split in splits)
    if not photos:
        raise InputError(f"{labels} holds no PNG that is named like a photo with a true mask of {collection.root}.")
    if lost := next((photo.name for photo in photos if not place[photo.name]), None):
        raise InputError(f"{labels} holds no label map of {lost}: give one for every photo of the split.")
    report = mask_score(replace(collection, photos=photos), lambda photo: place[photo.name])  # pyright: ignore[reportArgumentType, reportReturnType]
    assert report is not None
    return report


def _found(files: Mapping[str, Path], name: str) -> Path | None:
    """The picture of a photo, in the same folders or in none."""
    stem = PurePosixPath(name).with_suffix("")
    return files.get(str(stem), files.get(stem.name))


def held_out(collection: Collection) -> str:
    """The split to score on."""
    return "test" if any(photo.split == "test" for photo in collection.photos) else "val"


def _validated(collection: Collection, score: Callable[[str, str], Scores]) -> dict[str, float]:
    """The best threshold of each row on ``val``."""
    if held_out(collection) == "val" or not any(photo.split == "val" for photo in collection.photos):
        raise InputError(
            f"{collection.root} has no split val beside its test split to choose a threshold on: "
            "give --threshold auto, or a number."
        )
    return {row: summary["oracle"]["threshold"] for row, summary in score("val", "auto").summaries.items()}


def default_rows(inference: Inference, levels: tuple[float | str, ...] = LEVELS) -> list[Row]:
    """Plain CAM and BAS with k = 1 and k = all; the model's own k."""
    ways = {"CAM": None, "BAS k=1": replace(inference, top=1), "BAS k=all": replace(inference, top=0)}
    if inference.top > 1:
        ways[f"BAS k={inference.top}"] = inference
    return [Row(name, way, levels) for name, way in ways.items()]
