"""What the user sees while waiting: bars on a terminal, a line every few seconds elsewhere; always on stderr."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from ..errors import printable

Item = TypeVar("Item")
SECONDS = 10.0


class Reporter:
    """Progress of one command, stage by stage."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        # The note takes the room that is left.
        columns = (
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            MofNCompleteColumn(),
            BarColumn(20),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        )
        self.bars = Progress(
            *columns, console=self.console, transient=True, expand=True, disable=not self.console.is_terminal
        )
        self._open = 0

    def say(self, sentence: str) -> None:
        """One line that stays."""
        self.console.print(printable(sentence), markup=False)

    @contextmanager
    def stage(self, what: str, unit: str = "photos") -> Iterator["Stage"]:
        """One stage of work, perhaps beside another; its bar disappears into one line at the end.

        Args:
            unit: of what is counted.
        """
        self._open += 1
        self.bars.start()
        stage = Stage(self, what, unit)
        try:
            yield stage
        finally:
            self.bars.remove_task(stage.task)
            self._open -= 1
            if not self._open:
                self.bars.stop()
        if stage.total:
            self.say(f"{what}: {stage.done} {stage.unit} in {stage.seconds:.0f} s{stage.note}")


class Stage:
    """A bar that counts; without a terminal a line now and then."""

    def __init__(self, reporter: Reporter, what: str, unit: str) -> None:
        self.reporter, self.what, self.unit = reporter, what, unit
        self.task = reporter.bars.add_task(what, total=None, visible=False, note="")
        self.done, self.total, self.note = 0, 0, ""
        self._start = 0
        self._first = self._last = self._line = time.monotonic()

    @property
    def seconds(self) -> float:
        """From the first to the last count, since stages may be open at the same time; else since the beginning."""
        return (self._last if self.total else time.monotonic()) - self._first

    def at(self, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` are through."""
        self._last = time.monotonic()
        if not self.total:
            self._first, self._start = self._last, done
        self.done, self.total, self.note = done, total, note and f", {note}"
        self.reporter.bars.update(self.task, completed=done, total=total, note=note, visible=done < total)
        if not self.reporter.console.is_terminal and self._last - self._line > SECONDS:
            self._line = self._last
            self.reporter.say(f"{self.what}: {done} of {total} {self.unit}{self._left()}{self.note}")

    def _left(self) -> str:
        """The time that is left, from the pace so far; nothing before there is one."""
        done = self.done - self._start
        if not done or self.done == self.total:
            return ""
        seconds = self.seconds / done * (self.total - self.done)
        return f", {seconds / 60:.0f} min left" if seconds >= 90 else f", {seconds:.0f} s left"

    def each(self, items: Iterable[Item], total: int) -> Iterator[Item]:
        """The items, counted as they pass."""
        self.at(0, total)
        for number, item in enumerate(items, start=1):
            yield item
            self.at(number, total)

    def step(self, done: int, total: int, losses: dict[str, float]) -> None:
        """A training step and its losses."""
        self.unit = "steps"
        self.at(done, total, "  ".join(f"{name} {value:.2f}" for name, value in losses.items()))


def table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """A table below its title on stderr, beside the JSON that may go to stdout."""
    from rich.table import Table

    drawn = Table()
    for name in columns:
        drawn.add_column(name, justify="left" if name == columns[0] else "right")
    for row in rows:
        drawn.add_row(*(printable(value) if isinstance(value, str) else f"{value:.1f}" for value in row))
    console = Console(file=sys.stderr)
    console.print(printable(title), markup=False, highlight=False, soft_wrap=True)
    console.print(drawn, markup=False)
