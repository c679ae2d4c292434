"""Figure 15, right: score against threshold, per method."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..viz.plots import Line, panels
from .tables import ANY, Range, read_series

MASKS = "pxap-iou"
"""Value of the column ``delta`` where the score is the IoU of masks."""


def draw_thresholds(files: Sequence[Path], out: Path) -> list[Path]:
    """Write ``thresholds.png`` and ``.csv`` into ``out`` from the ``curve.csv`` of ``bas eval``; return their paths.

    There is a panel for every IoU that a hit needs, and one for the IoU of masks where there are masks.
    Raises :class:`InputError` for a broken table.
    """
    table = read_series(files, "curve.csv", {"threshold": ANY, "accuracy": Range(0, 100)}, panel="delta")
    path = out / "thresholds.png"
    panels(
        path,
        {
            _title(delta): {name: _line(**columns) for name, columns in series.items()}
            for delta, series in sorted(table.items())
        },
        xlabel="threshold of the localization map",
        ylabel="score, %",
        title="Score against threshold",
        share_y=True,
    )
    return [path, path.with_suffix(".csv")]


def _line(threshold: np.ndarray, accuracy: np.ndarray) -> Line:
    order = np.argsort(threshold, kind="stable")
    return Line(threshold[order], accuracy[order])


def _title(delta: str) -> str:
    return "IoU of masks" if delta == MASKS else f"Boxes with IoU ≥ {delta}"
