"""What became of every single image: ``images.csv``, the food of ``bas analyze``."""

import csv
from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError
from ..formats.files import refusal
from .scoring import Case, Level, Verdict

COLUMNS = ("row", "image", "class", "area", "iou", "top1", "top5")


class OutcomeTable:
    """A CSV that grows image by image, with a line for each row of maps; it gets its name when the ``with`` ends well.

    ``area``: share of the image that the largest true box covers. ``iou``: of the box with the best fitting true box,
    at ``level``. ``top1``, ``top5``: 1 or 0, empty where nobody classified.

    Args:
        level: a fixed threshold of the rules, or the name of one that is found per image; or one for each row.
    """

    def __init__(self, path: Path, level: Level | Mapping[str, Level]) -> None:
        self.path, self.level = path, level
        self._partial = path.with_name(f".{path.name}.partial")
        try:
            self._stream = self._partial.open("a+", newline="", encoding="utf-8")
        except OSError as error:
            raise refusal(path, error) from error
        self._writer = csv.writer(self._stream, lineterminator="\n")

    def rewind(self, images: int) -> None:
        """Keep the lines of the first ``images`` images only; if any, they must have one line each."""
        self._stream.seek(0)
        kept = [line for line, _ in zip(csv.reader(self._stream), range(images + 1), strict=False)][1:]
        if len(kept) < images:
            raise InputError(f"{self._partial} is incomplete: add --overwrite to start again.")
        self._stream.seek(0)
        self._stream.truncate()
        self._writer.writerows([COLUMNS, *kept])

    def add(self, case: Case, verdicts: Mapping[str, Verdict]) -> None:
        """One image and its verdicts by row."""
        for row, verdict in verdicts.items():
            ranks = ("", "") if case.rank is None else (int(case.rank < 1), int(case.rank < 5))
            level = self.level[row] if isinstance(self.level, Mapping) else self.level
            iou = verdict.levels.get(level, float("nan"))
            self._writer.writerow((row, case.name, case.label, f"{case.area:.5f}", f"{iou:.5f}", *ranks))

    def flush(self) -> None:
        """Bring it to the disk."""
        self._stream.flush()

    def __enter__(self) -> "OutcomeTable":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close it; where nothing went wrong, give it its name."""
        self._stream.close()
        if kind is None:
            self._partial.replace(self.path)
