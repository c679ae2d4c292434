"""Figure 13: distribution of the IoU of correct boxes, per method."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..viz.plots import Line, panels
from .tables import Range, read_series

WIDTH = 0.05
"""Width of a bin of IoU."""


class CorrectBoxes(NamedTuple):
    """Histogram of the IoUs of one method's correct boxes, their share and median."""

    centers: Float[np.ndarray, " G"]
    """Middle of each bin, in [0, 1]."""
    share: Float[np.ndarray, " G"]
    """Percent of all objects with a correct box in the bin; the sum is the accuracy."""
    accuracy: float
    """Percent of all objects with a correct box."""
    median: float
    """IoU of the correct boxes; NaN where none is."""


def correct_boxes(ious: Float[np.ndarray, " N"], delta: float = 0.5) -> CorrectBoxes:
    """The distribution of the IoUs of at least ``delta``; an IoU of 1 belongs to the last bin."""
    correct = ious[ious >= delta]
    edges = np.linspace(delta, 1, 1 + max(1, round((1 - delta) / WIDTH)))
    counts, _ = np.histogram(correct, edges)
    median = float(np.median(correct)) if len(correct) else float("nan")
    share = 100 / len(ious)
    return CorrectBoxes((edges[1:] + edges[:-1]) / 2, counts * share, len(correct) * share, median)


def draw_ious(files: Sequence[Path], out: Path, *, delta: float = 0.5) -> list[Path]:
    """Write ``iou.png`` and ``iou.csv`` into ``out`` from the ``images.csv`` of ``bas eval``, and return their paths.

    Raises :class:`InputError` for a broken table.
    """
    table = read_series(files, "images.csv", {"iou": Range(0, 1)})[""]
    found = {name: correct_boxes(columns["iou"], delta) for name, columns in table.items()}
    path = out / "iou.png"
    panels(
        path,
        {"": {_caption(name, one): Line(one.centers, one.share) for name, one in found.items()}},
        xlabel="IoU with the ground-truth box",
        ylabel="objects, %",
        title=f"Boxes with an IoU of at least {delta:g}",
        vlines=_medians(found),
    )
    return [path, path.with_suffix(".csv")]


def _caption(name: str, one: CorrectBoxes) -> str:
    if not one.accuracy:
        return f"{name}: none correct"
    return f"{name}: {one.accuracy:.1f} % correct, median IoU {one.median:.3f}"


def _medians(found: Mapping[str, CorrectBoxes]) -> dict[str, float]:
    return {_caption(name, one): one.median for name, one in found.items() if one.accuracy}
