"""Training log: losses by name per step, as CSV and TensorBoard events, copied from the device once a window."""

import csv
import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import CALMER, Diverged, InputError
from ..inputs import regular
from ..io import atomic_write

POSITION = ("step", "epoch", "batch")


class LogEntry(NamedTuple):
    """Losses of one optimizer step, still on their device."""

    step: int
    epoch: int
    batch: int
    terms: dict[str, Tensor]


class TrainingLogger:
    """Keeps the losses of the last steps on their device and writes them in one go every ``window`` steps.

    Args:
        out: folder of ``log.csv`` and the TensorBoard events.
        done: steps that the checkpoint has done; later rows of an earlier log are dropped, their steps are repeated.
        enabled: False on all processes but the first: they check the losses and write nothing.
        average: gives the mean of the losses over all processes.
    """

    def __init__(
        self,
        out: Path,
        done: int,
        *,
        window: int = 10,
        enabled: bool = True,
        average: Callable[[Tensor], Any] = lambda losses: losses,
    ) -> None:
        self.path = out / "log.csv"
        self.window = window
        self._average = average
        self._pending: list[LogEntry] = []
        self._columns: list[str] = []
        self._enabled = enabled
        self._events: Any = None
        if enabled:
            out.mkdir(parents=True, exist_ok=True)
            self._rewrite([row for row in self._read() if int(row["step"]) <= done] if done else [])
            self._events = _tensorboard(out, done)

    def __enter__(self) -> "TrainingLogger":
        return self

    def __exit__(self, *_: object) -> None:
        if self._events is not None:
            self._events.close()

    def record(self, entry: LogEntry) -> dict[str, float] | None:
        """Add one step; every ``window`` steps, and after the first, write them and return the latest losses.

        Raises:
            Diverged: a loss in the window is NaN or infinite.
        """
        self._pending.append(LogEntry(*entry[:3], {name: value.detach() for name, value in entry.terms.items()}))
        return self.flush() if entry.step % self.window == 0 or entry.step == 1 else None

    def flush(self) -> dict[str, float] | None:
        """Check and write what is pending; returns the losses of the latest step, None when nothing was pending."""
        if not self._pending:
            return None
        pending, self._pending = self._pending, []
        together = torch.stack([value for entry in pending for value in entry.terms.values()]).float()
        values = iter(self._average(together).tolist())
        rows = []
        for entry in pending:
            losses = {name: next(values) for name in entry.terms}
            _refuse_no_number(entry, losses)
            rows.append(dict(zip(POSITION, entry[:3], strict=True)) | {"total": sum(losses.values())} | losses)
        if self._enabled:
            self._append(rows)
        return _losses(rows[-1])

    def _append(self, rows: list[dict[str, Any]]) -> None:
        if self._events is not None:
            for row in rows:
                for name, value in _losses(row).items():
                    self._events.add_scalar(f"loss/{name}", value, row["step"])
        if all(name in self._columns for row in rows for name in row):
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns).writerows(rows)
        else:  # the first rows, or a loss that joins later: the header changes
            self._rewrite([*self._read(), *rows])

    def _read(self) -> list[dict[str, Any]]:
        """The whole rows, as text; a process that was killed may have left a part of one at the end."""
        if not self.path.exists():
            return []
        try:
            content = regular(self.path).read_bytes().decode("utf-8")
            header, *lines = csv.reader(content[: content.rfind("\n") + 1].splitlines(), strict=True)
            if header[:4] != [*POSITION, "total"] or any(len(line) != len(header) for line in lines):
                raise ValueError("its columns are not those of a log")
            for line in lines:
                _ = [*map(int, line[:3]), *(float(cell or 0) for cell in line[3:])]
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(
                f"{self.path} is damaged ({error}): bring back a copy of it, or move it away to go on without its rows."
            ) from error
        return [dict(zip(header, line, strict=True)) for line in lines]

    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        self._columns = list(dict.fromkeys([*POSITION, "total", *(name for row in rows for name in row)]))
        with atomic_write(self.path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)


def _tensorboard(out: Path, done: int) -> Any:
    """A writer of TensorBoard events, where TensorBoard is installed (extra ``tensorboard``)."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter  # slow to import

    return SummaryWriter(str(out), purge_step=done + 1)


def _losses(row: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name not in POSITION}


def _refuse_no_number(entry: LogEntry, losses: dict[str, float]) -> None:
    if not all(math.isfinite(value) for value in losses.values()):
        named = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        raise Diverged(
            f"the loss is no number any more at step {entry.step} (epoch {entry.epoch}, batch {entry.batch}: {named}); "
            f"{CALMER}"
        )
