"""What the user sees while waiting: bars on a terminal, a line every few seconds elsewhere; always on stderr."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")
SECONDS = 10.0


class Reporter:
    """Progress of one command, stage by stage."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self._last = 0.0

    def say(self, sentence: str) -> None:
        """One line that stays."""
        self.console.print(sentence, markup=False)

    @contextmanager
    def stage(self, what: str) -> Iterator["Stage"]:
        """One stage of work; its bar disappears into one line at the end."""
        start = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bar:
            stage = Stage(self, bar, what)
            yield stage
        if stage.total:
            self.say(f"{what}: {stage.done} in {time.monotonic() - start:.0f} s{stage.note}")


class Stage:
    """A bar that counts; without a terminal a line now and then."""

    def __init__(self, reporter: Reporter, bar: Progress, what: str) -> None:
        self.reporter, self.bar, self.what = reporter, bar, what
        self.task = bar.add_task(what, total=None)
        self.done, self.total, self.note = 0, 0, ""
        self._last = time.monotonic()

    def at(self, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` are through."""
        self.done, self.total, self.note = done, total, note and f", {note}"
        self.bar.update(self.task, completed=done, total=total, description=f"{self.what}{self.note}")
        if not self.reporter.console.is_terminal and time.monotonic() - self._last > SECONDS:
            self._last = time.monotonic()
            self.reporter.say(f"{self.what}: {done} of {total}{self.note}")

    def each(self, items: Iterable[Item], total: int) -> Iterator[Item]:
        """The items, counted as they pass."""
        self.at(0, total)
        for number, item in enumerate(items, start=1):
            yield item
            self.at(number, total)

    def step(self, done: int, total: int, losses: dict[str, float]) -> None:
        """A training step and its losses."""
        self.at(done, total, "  ".join(f"{name} {value:.2f}" for name, value in losses.items()))


def table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """A table on stderr, beside the JSON that may go to stdout."""
    from rich.table import Table

    drawn = Table(title=title, title_justify="left")
    for name in columns:
        drawn.add_column(name, justify="left" if name == columns[0] else "right")
    for row in rows:
        drawn.add_row(*(value if isinstance(value, str) else f"{value:.1f}" for value in row))
    Console(file=sys.stderr).print(drawn, markup=False)
