"""Stages of the pipeline on disk: cached, restartable, and never a mixture of two runs."""

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ..data.loader import init_worker
from ..errors import InputError
from ..inputs import regular
from ..io import atomic_write, output_paths, stable_hash
from ..structures import Dataset, Sample

STAMP = "stage.json"
Work = Callable[[Sample], None]


@runtime_checkable  # the command line shows its bars without importing this package
class ProgressBar(Protocol):
    """Progress of a piece of work."""

    def each(self, items: Iterable[Any], total: int) -> Iterator[Any]:
        """The items, of which there are ``total``, counted as they pass."""
        ...

    def step(self, done: int, total: int, losses: dict[str, float]) -> None:
        """A training step and its losses."""
        ...


class Silent:
    """A progress bar that shows nothing."""

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
    fingerprint: str

    @property
    def result(self) -> Any:
        """What :meth:`finish` was given; None before."""
        return (self._stamp() or {}).get("result")

    @property
    def complete(self) -> bool:
        """Whether it is done, with these settings."""
        stamp = self._stamp()
        return stamp is not None and stamp["fingerprint"] == self.fingerprint and "result" in stamp

    def refuse_other(self) -> None:
        """Raise :class:`InputError` where the folder holds a stage of other settings or data."""
        stamp = self._stamp()
        if stamp and stamp["fingerprint"] != self.fingerprint:
            raise InputError(
                f"{self.folder} was made with other settings or data: give the same, or add --overwrite to make it and "
                "what follows from it again."
            )

    def begin(self, *, overwrite: bool = False) -> bool:
        """Whether the stage is complete already; if not, the folder is made this stage's.

        With ``overwrite`` what other settings have left is thrown away.

        Raises:
            InputError: the folder holds a stage of other settings or data.
        """
        if not overwrite:
            self.refuse_other()
        stamp = self._stamp()
        if stamp and stamp["fingerprint"] != self.fingerprint:
            old = self.folder.with_name(f".{self.folder.name}.old")  # killed meanwhile, it is all there or all gone
            shutil.rmtree(old, ignore_errors=True)
            self.folder.rename(old)
            shutil.rmtree(old)
            stamp = None
        if stamp is None:
            self._write({"fingerprint": self.fingerprint})
        return stamp is not None and "result" in stamp

    def finish(self, result: Any) -> None:
        """Mark the stage as complete."""
        self._write({"fingerprint": self.fingerprint, "result": result})

    def _write(self, content: dict[str, Any]) -> None:
        with atomic_write(self.folder / STAMP) as partial:
            partial.write_text(json.dumps(content, indent=2), encoding="utf-8")

    def _stamp(self) -> dict[str, Any] | None:
        try:
            stamp = json.loads(regular(self.folder / STAMP).read_text("utf-8"))
            return stamp | {"fingerprint": stamp["fingerprint"]}
        except FileNotFoundError:
            # A process killed while it wrote the first stamp has left a part of it, under a hidden name.
            if self.folder.is_dir() and not all(file.name.startswith(".") for file in self.folder.iterdir()):
                raise InputError(f"{self.folder} holds files of something else: choose another --out.") from None
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(f"{self.folder / STAMP} is damaged ({error}): remove {self.folder}.") from error


def fingerprint(dataset: Dataset, *parts: object) -> str:
    """Of a stage: class list, samples and their tags, settings, and the parts of the stages before it."""
    return stable_hash(dataset.classes, [(sample.name, sample.labels) for sample in dataset.samples], *parts)


def sample_paths(samples: Sequence[Sample], suffix: str) -> dict[str, Path]:
    """Path of each sample's file in a stage's folder, relative to it, by the sample's name."""
    return {name: Path(path) for name, path in output_paths((sample.name for sample in samples), suffix).items()}


@dataclass(frozen=True)
class SampleFiles:
    """A folder with one file for each sample.

    Args:
        paths: the file of each sample, relative to the folder, by the sample's name.
    """

    folder: Path
    paths: Mapping[str, Path]

    def path(self, sample: Sample) -> Path:
        """The sample's file."""
        return self.folder / self.paths[sample.name]


def for_each(work: Work, samples: Sequence[Sample], workers: int = 0, bar: ProgressBar = Silent()) -> None:
    """Do ``work`` for every sample, in ``workers`` processes whose memory does not grow with the samples.

    Raises:
        InputError: the first that ``work`` raises.
    """
    loader = DataLoader(_Works(work, samples), None, num_workers=workers, collate_fn=_same, worker_init_fn=init_worker)
    for error in bar.each(loader, len(samples)):
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
class _Works(TorchDataset):
    work: Work
    samples: Sequence[Sample]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> InputError | None:
        """The error instead of raising it, which would wrap it in a worker's traceback."""
        try:
            return self.work(self.samples[index])
        except InputError as error:
            return error


def _same(result: Any) -> Any:
    return result
