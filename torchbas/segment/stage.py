"""A stage of the pipeline on disk: cached, restartable, and never a mixture of two runs."""

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch.utils.data import DataLoader, Dataset

from ..data.loader import calm_worker
from ..errors import InputError
from ..formats.files import replacing
from ..types import Collection, Photo

STAMP = "stage.json"
Work = Callable[[Photo], None]


@runtime_checkable
class Bar(Protocol):
    """How far a piece of work is."""

    def each(self, items: Iterable[Any], total: int) -> Iterator[Any]:
        """The items, of which there are ``total``."""
        ...

    def step(self, done: int, total: int, losses: dict[str, float]) -> None:
        """A step of a training, with its losses."""
        ...


class Silent:
    """A bar that tells nobody."""

    def each(self, items: Iterable[Any], total: int) -> Iterator[Any]:  # noqa: ARG002
        """The items."""
        yield from items

    def step(self, done: int, total: int, losses: dict[str, float]) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Stage:
    """A folder that belongs to settings, data and everything that came before it.

    Its stamp is written first, so that half a stage is known by its settings too, and once more with the result when
    it is complete. What a stage writes file by file is kept when it is stopped.
    """

    folder: Path
    identity: str

    @property
    def result(self) -> Any:
        """What the complete stage has found out."""
        return (self._stamp() or {}).get("result")

    @property
    def complete(self) -> bool:
        """Whether it is done, with these settings."""
        stamp = self._stamp()
        return stamp is not None and stamp["identity"] == self.identity and "result" in stamp

    def begin(self, *, overwrite: bool = False) -> bool:
        """Whether the stage is complete already; if not, the folder is made this stage's.

        With ``overwrite`` what other settings have left is thrown away.

        Raises:
            InputError: the folder holds a stage of other settings or data.
        """
        stamp = self._stamp()
        if stamp and stamp["identity"] != self.identity:
            if not overwrite:
                raise InputError(
                    f"{self.folder} was made with other settings or data: give the same, or add --overwrite to make "
                    "it and what follows from it again."
                )
            old = self.folder.with_name(f".{self.folder.name}.old")  # killed meanwhile, it is all there or all gone
            shutil.rmtree(old, ignore_errors=True)
            self.folder.rename(old)
            shutil.rmtree(old)
            stamp = None
        if stamp is None:
            self._write({"identity": self.identity})
        return stamp is not None and "result" in stamp

    def finish(self, result: Any) -> None:
        """Say that the stage is complete."""
        self._write({"identity": self.identity, "result": result})

    def _write(self, content: dict[str, Any]) -> None:
        with replacing(self.folder / STAMP) as partial:
            partial.write_text(json.dumps(content, indent=2), encoding="utf-8")

    def _stamp(self) -> dict[str, Any] | None:
        try:
            stamp = json.loads((self.folder / STAMP).read_text("utf-8"))
            return stamp | {"identity": stamp["identity"]}
        except FileNotFoundError:
            # A process killed while it wrote the first stamp has left a part of it, under a hidden name.
            if self.folder.is_dir() and not all(file.name.startswith(".") for file in self.folder.iterdir()):
                raise InputError(f"{self.folder} holds files of something else: choose another --out.") from None
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{self.folder / STAMP} is damaged ({error}): remove {self.folder}.") from error


def identity(photos: Collection, *parts: object) -> str:
    """What a stage must agree with to be continued: its photos, their tags, its settings and the stages before it."""
    names = [(photo.name, photo.labels) for photo in photos.photos]
    said = [photos.classes, names, *(asdict(part) if is_dataclass(part) else str(part) for part in parts)]  # pyright: ignore[reportArgumentType]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def for_each(work: Work, photos: Sequence[Photo], workers: int = 0, bar: Bar = Silent()) -> None:
    """Do ``work`` for every photo, in ``workers`` processes whose memory does not grow with the photos.

    Raises:
        InputError: the first that ``work`` raises.
    """
    loader = DataLoader(_Works(work, photos), None, num_workers=workers, collate_fn=_same, worker_init_fn=calm_worker)
    for error in bar.each(loader, len(photos)):
        if error is not None:
            raise error


def in_flight(pool: Executor, work: Callable[..., Any], items: Iterable[tuple[Any, ...]], ahead: int) -> Iterator[Any]:
    """The results in order, with no more than ``ahead`` of them begun and not yet taken."""
    begun: deque[Future[Any]] = deque()
    for item in items:
        begun.append(pool.submit(work, *item))
        if len(begun) >= ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


@dataclass(frozen=True)
class _Works(Dataset):
    work: Work
    photos: Sequence[Photo]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> InputError | None:
        """The error instead of raising it, which would wrap it in a worker's traceback."""
        try:
            return self.work(self.photos[index])
        except InputError as error:
            return error


def _same(outcome: Any) -> Any:
    return outcome
