"""Heatmaps (score maps) of any method from a folder: read, checked, scored in any number of processes, resumable."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ..bounds import NonNegative, checked
from ..cam import auto_threshold
from ..data.arrays import DAMAGED, read_arrays
from ..data.datasets.reading import exists
from ..data.images import image_size
from ..data.loader import init_worker
from ..errors import InputError, Interrupted
from ..inputs import regular
from ..io import atomic_write, stable_hash
from ..structures import Dataset, Sample
from .evaluator import Evaluator
from .per_image import PerImageTable
from .protocol import EvalProtocol, EvalTarget, ImageMetrics, evaluable_samples, score_heatmap, target_of

ROW = "maps"
SAVE_EVERY = 2000
SUFFIXES = (".npz", ".npy")
Predictions = Mapping[str, Sequence[str]]


class Scored(NamedTuple):
    """One image's target and metrics."""

    target: EvalTarget
    metrics: ImageMetrics


@dataclass(frozen=True)
class HeatmapFolder(TorchDataset):
    """Heatmaps of a dataset's samples, each scored when it is asked for. It can be sent to another process."""

    paths: tuple[Path, ...]
    """File of each sample's map."""
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    protocol: EvalProtocol
    predictions: Predictions | None = None
    """By image the most probable classes, the first five at least, where there is a classification."""

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Scored | InputError:
        """The metrics, or the error: an exception would leave a worker wrapped in a traceback."""
        sample, protocol = self.samples[index], self.protocol
        try:
            heatmap = read_map(self.paths[index], protocol.side)
            size = (sample.size or image_size(sample.path)) if sample.boxes else None
            target = target_of(protocol, sample, self.classes, size, self._rank(sample))
            own = (
                {"auto": float(auto_threshold(torch.from_numpy(heatmap)[None]))}
                if "auto" in protocol.thresholds
                else {}
            )
            return Scored(target, score_heatmap(protocol, heatmap, target.boxes, own, protocol.mask(sample)))
        except InputError as error:
            return error

    def _rank(self, sample: Sample) -> int | None:
        if self.predictions is None:
            return None
        if sample.name not in self.predictions:
            raise InputError(f"the predictions lack {sample.name}: add its line, or leave out --predictions.")
        probable = list(self.predictions[sample.name])
        label = self.classes[sample.labels[0]]
        return probable.index(label) if label in probable else len(probable)


def find_map(folder: Path, name: str, shared: str = "") -> Path | None:
    """File of an image's score map, ``<name>.npz`` or ``.npy`` below ``folder``; None where there is none.

    The name may lack the image's suffix, and the folder ``shared`` that the names of all images begin with.
    """
    names = dict.fromkeys((name, name.removeprefix(shared)))
    stems = [stem for name in names for stem in (name, name.rpartition(".")[0] or name)]
    paths = (folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES)
    return next((path for path in paths if exists(path)), None)


def read_map(path: Path, side: int) -> Float64[np.ndarray, "H W"]:
    """The score map in a file.

    Raises:
        InputError: it cannot be read, or is no ``side`` x ``side`` array of numbers in [0, 1].
    """
    heatmap = next(iter(read_arrays(path).values()), None)
    if heatmap is None:
        raise InputError(f"{path} holds no array: write it again.")
    if heatmap.shape != (side, side):
        raise InputError(
            f"{path} has the shape {heatmap.shape}, not ({side}, {side}): resize the map, then write it again."
        )
    if heatmap.dtype.kind not in "fiu":
        raise InputError(f"{path} holds {heatmap.dtype}, no numbers: write the map as floats.")
    heatmap = heatmap.astype(np.float64)
    if not np.isfinite(heatmap).all():
        raise InputError(f"{path} has values that are no number: set them to 0, then write it again.")
    if heatmap.min() < 0 or heatmap.max() > 1:
        raise InputError(
            f"{path} has values from {heatmap.min():g} to {heatmap.max():g}: bring the map to [0, 1], then write it."
        )
    return heatmap


def find_maps(folder: Path, names: Sequence[str], done: int = 0) -> tuple[Path, ...]:
    """Files of the score maps of all images but the first ``done``.

    Raises:
        InputError: some have none; the sentence names the first.
    """
    shared, found, missing = _shared_folder(names), [], []
    for name in names[done:]:
        path = find_map(folder, name, shared)
        found += [path] if path else []
        missing += [] if path else [name]
    if missing:
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3:,} more" if len(missing) > 3 else "")
        raise InputError(
            f"{folder} has no map of {len(missing):,} of {len(names):,} images ({some}): "
            f"write it as {missing[0]}.npz or {missing[0]}.npy."
        )
    return tuple(found)


def _shared_folder(names: Sequence[str]) -> str:
    """The folder that all names begin with, with its slash; empty where they do not share one."""
    first = {name.partition("/")[0] if "/" in name else "" for name in names}
    return f"{first.pop()}/" if len(first) == 1 and "" not in first else ""


def read_predictions(path: Path) -> dict[str, list[str]]:
    """Lines ``image,class,class,...``, the most probable class first; a first line ``image,...`` is a header.

    Raises:
        InputError: a file that cannot be read, or a line without a class.
    """
    try:
        with regular(path).open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}): give a CSV image,class,class,...") from error
    rows = rows[1:] if rows and rows[0][0].strip() == "image" else rows
    for number, row in enumerate(rows, start=1):
        if len(row) < 2:
            raise InputError(f"{path} entry {number} names no class: write image,class,class,...")
    return {row[0].strip(): [word.strip() for word in row[1:]] for row in rows}


def score_maps(
    folder: Path,
    dataset: Dataset,
    protocol: EvalProtocol,
    *,
    predictions: Predictions | None = None,
    workers: int = 0,
    state: Path | None = None,
    table: PerImageTable | None = None,
    progress: Callable[[Iterable[Scored], int], Iterable[Scored]] = lambda items, _: items,
) -> Evaluator:
    """Metrics of the stored heatmap of every sample with a tag and ground truth; equal for any ``workers``.

    Memory does not grow with the photos. The counts are kept in the file ``state`` every few thousand photos, and the
    next call with the same settings goes on from them; ``table`` gets every sample, and is rewound as well.

    Raises:
        InputError: no sample has ground truth; maps are missing, which is said before any is scored; one is unfit.
        Interrupted: Ctrl-C; what was counted is kept in ``state``.
    """
    samples = evaluable_samples(dataset, protocol)
    fingerprint = _fingerprint(folder, samples, protocol, predictions, table)
    evaluator, done = _restore(state, fingerprint, protocol)
    if table:
        table.rewind(done)
    paths = find_maps(folder, [sample.name for sample in samples], done)
    maps = HeatmapFolder(paths, samples[done:], dataset.classes, protocol, predictions)
    loader = DataLoader(maps, None, num_workers=workers, collate_fn=_same, worker_init_fn=init_worker)
    try:
        for scored in progress(_raising(loader), len(maps)):
            evaluator.add(scored.target, {ROW: scored.metrics})
            if table:
                table.add(scored.target, {ROW: scored.metrics})
            done += 1
            if state and done % SAVE_EVERY == 0:
                _save(state, fingerprint, evaluator, done, table)
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped after {done} of {len(samples)} maps; what was counted is kept.") from None
    finally:
        if state and 0 < done < len(samples):
            _save(state, fingerprint, evaluator, done, table)
    return evaluator


def _raising(loader: Iterable[Scored | InputError]) -> Iterator[Scored]:
    for scored in loader:
        if isinstance(scored, InputError):
            raise scored
        yield scored


def _same(scored: Any) -> Any:
    return scored


def _fingerprint(
    folder: Path,
    samples: tuple[Sample, ...],
    protocol: EvalProtocol,
    predictions: Predictions | None,
    table: PerImageTable | None,
) -> str:
    """Fingerprint of settings, ground truth, predictions and the table's threshold; stored counts must share it."""
    ground_truth = [(p.name, p.labels, p.boxes, p.size, p.mask, p.instances, p.ignore) for p in samples]
    return stable_hash(folder.absolute(), ground_truth, protocol, predictions, table and str(table.threshold))


def _save(path: Path, fingerprint: str, evaluator: Evaluator, done: int, table: PerImageTable | None) -> None:
    if table:
        table.flush()
    with atomic_write(path) as partial, partial.open("wb") as stream:
        np.savez(
            stream, allow_pickle=False, fingerprint=np.array(fingerprint), done=np.array(done), **evaluator.arrays()
        )


def _restore(path: Path | None, fingerprint: str, protocol: EvalProtocol) -> tuple[Evaluator, int]:
    """What was counted before; nothing where it was counted by other settings."""
    evaluator = Evaluator(protocol)
    if path is None or not path.is_file():
        return evaluator, 0
    try:
        kept = read_arrays(path)
        same = str(kept["fingerprint"]) == fingerprint
        if same:
            evaluator.restore(kept)
            return evaluator, checked(NonNegative[int], int(kept["done"]), "done")
    except (InputError, *DAMAGED) as error:
        raise InputError(f"{path} is damaged: remove it, or --overwrite to count from the start.") from error
    raise InputError(f"{path} was made with other settings or data; give the same, or --overwrite to restart.")
