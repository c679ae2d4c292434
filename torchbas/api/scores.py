"""Evaluation of models, heatmap folders and label maps."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from .. import data
from ..data.datasets.listed import pictures_below
from ..errors import InputError
from ..evaluation.accumulator import Scores
from ..evaluation.evaluator import EvalSettings, Listener, Row
from ..evaluation.evaluator import evaluate as evaluate_rows
from ..evaluation.heatmap_folder import read_predictions
from ..evaluation.heatmap_folder import score_maps as _score_maps
from ..evaluation.metrics import Protocol as ProtocolName
from ..evaluation.per_image import PerImageTable
from ..evaluation.protocol import EvalProtocol
from ..inference.localizer import Localizer
from ..structures import Dataset
from .compute import Compute, Source, Watch, load

REPORTED: tuple[float | str, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, "auto")
"""Thresholds at which every evaluation reports accuracies; ``auto`` is each heatmap's own."""
Thresholds = float | str | Mapping[str, float]
Table = Callable[[Thresholds], PerImageTable]


def evaluate(
    source: Source,
    model: str | Path | Localizer,
    *,
    rows: Sequence[Row] | None = None,
    protocol: ProtocolName = "authors",
    threshold: float | str = "auto",
    ten_crop: bool = True,
    table: Table | None = None,
    compute: Compute = Compute(),
    watch: Watch = Watch(),
) -> Scores:
    """Metrics of a model against ground-truth boxes and masks; where there are splits on ``test``, else ``val``.

    Args:
        rows: heatmaps and their thresholds; by default :func:`default_rows` at :data:`REPORTED`.
        protocol: ``authors`` (the paper's), or ``wsoleval`` (Choe et al. 2020: MaxBoxAcc, MaxBoxAccV2, PxAP, PIoU).
        threshold: of the summaries; ``validation`` is the best one of each row on the split ``val``. With ``rows`` it
            is ``auto`` where that is among their thresholds, else the first of them.
        ten_crop: classify by the mean softmax of ten crops (``authors`` only), else by the center crop.
        table: makes the table of per-image metrics of a threshold, or of a threshold by row.

    Raises:
        InputError: nothing to compare with; ``validation`` without a split ``val``.
    """
    trained = model if isinstance(model, Localizer) else load(model)
    dataset = source if isinstance(source, Dataset) else data.read(source)
    trained.model.to(compute.place())
    how = {"workers": compute.workers, "forward": compute.context(), "progress": watch.batches}
    settings = EvalSettings(ten_crop, scale=trained.sides[0] / trained.resize, **how)

    def score(split: str, threshold: Thresholds, listener: Listener = lambda *_: None) -> Scores:
        wanted = (*REPORTED, *(threshold.values() if isinstance(threshold, Mapping) else (threshold,)))
        chosen = rows or default_rows(trained, tuple(dict.fromkeys(wanted)))
        thresholds = tuple(dict.fromkeys(one for row in chosen for one in row.thresholds))
        asked = EvalProtocol(protocol, thresholds, trained.resize, trained.crop)
        samples = trained.with_own_classes(dataset.only(split))
        evaluator = evaluate_rows(trained.model, samples, chosen, asked, settings, listener)
        return evaluator.scores(threshold if rows is None else "auto" if "auto" in thresholds else thresholds[0])

    chosen = _validated(dataset, score) if threshold == "validation" else threshold
    with table(chosen) if table else nullcontext() as per_image:
        if per_image is None:
            return score(held_out(dataset), chosen)
        per_image.rewind(0)
        return score(held_out(dataset), chosen, per_image.add)


def score_maps(
    source: Source,
    maps: str | Path,
    *,
    protocol: ProtocolName = "wsoleval",
    threshold: float | str = "auto",
    predictions: str | Path | None = None,
    state: Path | None = None,
    table: Table | None = None,
    workers: int = 0,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, _: items,
) -> Scores:
    """Metrics of heatmaps from any program (score maps): ``<image>.npz`` or ``.npy``, 224 x 224 floats in [0, 1].

    Args:
        source: as for :func:`evaluate`; photos need not be there where a list gives their sizes.
        maps: folder of the heatmaps.
        protocol: ``authors`` for heatmaps of the center crop, ``wsoleval`` for heatmaps of the whole image.
        threshold: as for :func:`evaluate`.
        predictions: CSV ``image,class,class,...``, most probable first, for Top-1 and Top-5 Loc.
        state: file of the counts so far; the next call with the same settings goes on from it.
        table: makes the table of per-image metrics of a threshold.

    Raises:
        InputError: nothing to compare with; a heatmap that is missing or does not fit, by name.
        Interrupted: Ctrl-C, after saving the counts in ``state``.
    """
    dataset = source if isinstance(source, Dataset) else data.read(source, need_images=False)
    classified = read_predictions(Path(predictions)) if predictions else None

    def score(split: str, threshold: Thresholds) -> Scores:
        one = next(iter(threshold.values())) if isinstance(threshold, Mapping) else threshold
        final = split == held_out(dataset)
        with table(one) if table and final else nullcontext() as per_image:
            evaluator = _score_maps(
                Path(maps),
                dataset.only(split),
                EvalProtocol(protocol, tuple(dict.fromkeys((*REPORTED, one)))),
                predictions=classified,
                workers=workers,
                state=state if final else None,
                table=per_image,
                progress=progress,
            )
        return evaluator.scores(one)

    return score(held_out(dataset), _validated(dataset, score) if threshold == "validation" else threshold)


def score_labels(source: Source, labels: str | Path) -> dict[str, Any]:
    """mIoU of label maps from any program: PNGs named like the photos, 0 and 255 background, n the n-th class.

    Evaluated are the samples with a ground-truth mask, of all splits of which the folder holds at least one.

    Args:
        source: as for :func:`evaluate`; photos need not be there.
        labels: folder of the label maps.

    Raises:
        InputError: nothing to compare with; a label map that is missing or does not fit, by name.
    """
    from ..wsss.scores import mask_score

    dataset = source if isinstance(source, Dataset) else data.read(source, need_images=False)
    evaluated = [sample for sample in dataset.samples if sample.mask]
    found = pictures_below(Path(labels))
    place = {sample.name: _found(found, sample.name) for sample in evaluated}
    splits = {sample.split for sample in evaluated if place[sample.name]}
    samples = tuple(sample for sample in evaluated if sample.split in splits)
    if not samples:
        raise InputError(f"{labels} holds no PNG that is named like a photo with a true mask of {dataset.root}.")
    if lost := next((sample.name for sample in samples if not place[sample.name]), None):
        raise InputError(f"{labels} holds no label map of {lost}: give one for every photo of the split.")
    report = mask_score(replace(dataset, samples=samples), lambda sample: place[sample.name])  # pyright: ignore[reportArgumentType, reportReturnType]
    assert report is not None
    return report


def _found(files: Mapping[str, Path], name: str) -> Path | None:
    """File of a sample, below the same subfolders or below none."""
    place = PurePosixPath(name).with_suffix("")
    return files.get(str(place), files.get(place.name))


def held_out(dataset: Dataset) -> str:
    """Split to evaluate on: ``test`` where there is one, else ``val``."""
    return "test" if any(sample.split == "test" for sample in dataset.samples) else "val"


def _validated(dataset: Dataset, score: Callable[[str, str], Scores]) -> dict[str, float]:
    """Best threshold of each row on ``val``."""
    if held_out(dataset) == "val" or not any(sample.split == "val" for sample in dataset.samples):
        raise InputError(
            f"{dataset.root} has no split val beside its test split to choose a threshold on: "
            "give --threshold auto, or a number."
        )
    return {row: summary["oracle"]["threshold"] for row, summary in score("val", "auto").summaries.items()}


def default_rows(trained: Localizer, thresholds: tuple[float | str, ...] = REPORTED) -> list[Row]:
    """Rows of a trained method: its heatmaps; of BAS also plain CAM, k = 1 and k = all beside its own k."""
    inference = trained.inference
    if trained.model.name != "bas":
        return [Row(trained.model.name, inference, thresholds)]
    ways = {"CAM": None, "BAS k=1": replace(inference, top_k=1), "BAS k=all": replace(inference, top_k=0)}
    if inference.top_k > 1:
        ways[f"BAS k={inference.top_k}"] = inference
    return [Row(name, way, thresholds) for name, way in ways.items()]
