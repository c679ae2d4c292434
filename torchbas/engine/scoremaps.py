"""Anybody's score maps from a folder: read, checked, judged in any number of processes, resumable."""

import csv
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch.utils.data import DataLoader, Dataset

from ..data.images import image_size
from ..data.loader import calm_worker
from ..errors import InputError, Interrupted
from ..formats.files import replacing
from ..maps import auto_threshold
from ..types import Collection, Photo
from .board import Board
from .outcomes import OutcomeTable
from .scoring import Case, Rules, Verdict, case_of, judge, judgeable

ROW = "maps"
SAVE_EVERY = 2000
SUFFIXES = (".npz", ".npy")
Predictions = Mapping[str, Sequence[str]]


class Judged(NamedTuple):
    """One image's case and verdict."""

    case: Case
    verdict: Verdict


@dataclass(frozen=True)
class ScoreMaps(Dataset):
    """The maps of a collection's photos, each judged when it is asked for. It can be sent to another process."""

    folder: Path
    photos: tuple[Photo, ...]
    classes: tuple[str, ...]
    rules: Rules
    predictions: Predictions | None = None
    """By image the most probable classes, the first five at least, where somebody classified."""

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Judged | InputError:
        """The verdict, or the reason why there is none: an exception would leave a worker wrapped in a traceback."""
        photo, rules = self.photos[index], self.rules
        try:
            heat = read_map(self.folder, photo.name, rules.side)
            size = (photo.size or image_size(photo.path)) if photo.boxes else None
            case = case_of(rules, photo, self.classes, size, self._rank(photo))
            own = {"auto": float(auto_threshold(torch.from_numpy(heat)[None]))} if "auto" in rules.levels else {}
            return Judged(case, judge(rules, heat, case.boxes, own, rules.mask(photo)))
        except InputError as error:
            return error

    def _rank(self, photo: Photo) -> int | None:
        if self.predictions is None:
            return None
        if photo.name not in self.predictions:
            raise InputError(f"the predictions lack {photo.name}: add its line, or leave out --predictions.")
        probable = list(self.predictions[photo.name])
        label = self.classes[photo.labels[0]]
        return probable.index(label) if label in probable else len(probable)


def read_map(folder: Path, name: str, side: int) -> Float64[np.ndarray, "H W"]:
    """The score map of an image: ``<name>.npz`` or ``.npy`` below ``folder``, with or without the image's suffix.

    Raises:
        InputError: it is missing, cannot be read, or is no ``side`` x ``side`` array of numbers in [0, 1].
    """
    stems = (name, name.rpartition(".")[0] or name)
    found = [path for stem in stems for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()]
    if not found:
        raise InputError(f"{folder} has no map of {name}: write it as {stems[0]}.npz or {stems[0]}.npy.")
    path = found[0]
    try:
        with path.open("rb") as stream:
            content = np.load(stream, allow_pickle=False)
            heat = content[next(iter(content.files))] if path.suffix == ".npz" else content
    except (OSError, ValueError, StopIteration, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path} cannot be read as an array ({error}): write it again.") from error
    if heat.shape != (side, side):
        raise InputError(
            f"{path} has the shape {heat.shape}, not ({side}, {side}): resize the map, then write it again."
        )
    if heat.dtype.kind not in "fiu":
        raise InputError(f"{path} holds {heat.dtype}, no numbers: write the map as floats.")
    heat = heat.astype(np.float64)
    if not np.isfinite(heat).all():
        raise InputError(f"{path} has values that are no number: set them to 0, then write it again.")
    if heat.min() < 0 or heat.max() > 1:
        raise InputError(
            f"{path} has values from {heat.min():g} to {heat.max():g}: bring the map to [0, 1], then write it again."
        )
    return heat


def read_predictions(path: Path) -> dict[str, list[str]]:
    """Lines ``image,class,class,...``, the most probable class first; a first line ``image,...`` is a header.

    Raises:
        InputError: a file that cannot be read, or a line without a class.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
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
    collection: Collection,
    rules: Rules,
    *,
    predictions: Predictions | None = None,
    workers: int = 0,
    state: Path | None = None,
    table: OutcomeTable | None = None,
    progress: Callable[[Iterable[Judged], int], Iterable[Judged]] = lambda items, _: items,
) -> Board:
    """Judge the map of every photo that has a tag and truth. The result does not depend on ``workers``.

    Memory does not grow with the photos. The counts are kept in the file ``state`` every few thousand photos, and the
    next call with the same settings goes on from them; ``table`` hears of every photo, and is taken back as well.

    Raises:
        InputError: no photo has truth; a map is missing or unfit, named.
        Interrupted: Ctrl-C; what was counted is kept in ``state``.
    """
    photos = judgeable(collection, rules)
    identity = _fingerprint(folder, photos, rules, predictions, table)
    board, done = _restore(state, identity, rules)
    if table:
        table.rewind(done)
    maps = ScoreMaps(folder, photos[done:], collection.classes, rules, predictions)
    loader = DataLoader(maps, None, num_workers=workers, collate_fn=_same, worker_init_fn=calm_worker)
    try:
        for judged in progress(_raising(loader), len(maps)):
            board.add(judged.case, {ROW: judged.verdict})
            if table:
                table.add(judged.case, {ROW: judged.verdict})
            done += 1
            if state and done % SAVE_EVERY == 0:
                _save(state, identity, board, done, table)
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped after {done} of {len(photos)} maps; what was counted is kept.") from None
    finally:
        if state and done < len(photos):
            _save(state, identity, board, done, table)
    return board


def _raising(loader: Iterable[Judged | InputError]) -> Iterator[Judged]:
    for judged in loader:
        if isinstance(judged, InputError):
            raise judged
        yield judged


def _same(judged: Any) -> Any:
    return judged


def _fingerprint(
    folder: Path, photos: tuple[Photo, ...], rules: Rules, predictions: Predictions | None, table: OutcomeTable | None
) -> str:
    """What counts must agree with to be continued: settings, truth, predictions, and what the table is written at."""
    truth = [(p.name, p.labels, p.boxes, p.size, p.mask, p.instances, p.ignore) for p in photos]
    said = [folder.absolute(), truth, asdict(rules), predictions, table and str(table.level)]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _save(path: Path, identity: str, board: Board, done: int, table: OutcomeTable | None) -> None:
    if table:
        table.flush()
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, allow_pickle=False, identity=np.array(identity), done=np.array(done), **board.arrays())


def _restore(path: Path | None, identity: str, rules: Rules) -> tuple[Board, int]:
    """What was counted before; nothing where it was counted by other settings."""
    board = Board(rules)
    if path is None or not path.is_file():
        return board, 0
    with np.load(path, allow_pickle=False) as kept:
        if str(kept["identity"]) != identity:
            raise InputError(f"{path} was made with other settings or data; give the same, or --overwrite to restart.")
        board.restore({name: kept[name] for name in kept.files})
        return board, int(kept["done"])
