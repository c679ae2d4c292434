"""Metrics of every image: ``images.csv``, which ``bas analyze`` reads."""

import csv
from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError
from ..io import write_error
from .protocol import EvalTarget, ImageMetrics, Threshold

COLUMNS = ("row", "image", "class", "area", "iou", "top1", "top5")


class PerImageTable:
    """CSV written image by image, one line per row of heatmaps; it gets its final name when the ``with`` ends well.

    One that is stopped before the first image leaves nothing.

    ``area``: share of the image that the largest true box covers. ``iou``: of the box with the best fitting true box,
    at ``threshold``. ``top1``, ``top5``: 1 or 0, empty where nobody classified.

    Args:
        threshold: a fixed threshold of the protocol, or the name of one that is found per image; or one for each row.
    """

    def __init__(self, path: Path, threshold: Threshold | Mapping[str, Threshold]) -> None:
        self.path, self.threshold = path, threshold
        self._partial = path.with_name(f".{path.name}.partial")
        try:
            self._stream = self._partial.open("a+", newline="", encoding="utf-8")
        except OSError as error:
            raise write_error(path, error) from error
        self._writer = csv.writer(self._stream, lineterminator="\n")
        self._empty = self._stream.tell() == 0

    def rewind(self, images: int) -> None:
        """Keep the lines of the first ``images`` images only; if any, they must have one line each."""
        self._stream.seek(0)
        try:
            kept = [line for line, _ in zip(csv.reader(self._stream), range(images + 1), strict=False)][1:]
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{self._partial} is damaged ({error}): add --overwrite to start again.") from error
        if len(kept) < images:
            raise InputError(f"{self._partial} is incomplete: add --overwrite to start again.")
        self._stream.seek(0)
        self._stream.truncate()
        self._writer.writerows([COLUMNS, *kept])
        self._empty = not kept

    def add(self, target: EvalTarget, metrics_by_row: Mapping[str, ImageMetrics]) -> None:
        """One image and its metrics by row."""
        self._empty = False
        for row, metrics in metrics_by_row.items():
            ranks = ("", "") if target.rank is None else (int(target.rank < 1), int(target.rank < 5))
            threshold = self.threshold[row] if isinstance(self.threshold, Mapping) else self.threshold
            iou = metrics.iou_at.get(threshold, float("nan"))
            self._writer.writerow((row, target.name, target.label, f"{target.area:.5f}", f"{iou:.5f}", *ranks))

    def flush(self) -> None:
        """Bring it to the disk."""
        self._stream.flush()

    def __enter__(self) -> "PerImageTable":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close it; where nothing went wrong, give it its name."""
        self._stream.close()
        if kind is None:
            self._partial.replace(self.path)
        elif self._empty:
            self._partial.unlink(missing_ok=True)
