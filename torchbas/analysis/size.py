"""Figure 21: IoU against the size of the object, per method."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int

from ..viz.densities import densities
from ..viz.plots import write_csv
from .tables import Range, read_series

EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Edges of the size bins, as shares of the image; the groups of ``bas eval`` begin at some of them."""
CELLS = 50
"""Number of cells of the density along each side."""
SMOOTH = 2.0
"""Standard deviation of the smoothing, in cells."""


class BySize(NamedTuple):
    """Accuracy of one method per size bin."""

    objects: Int[np.ndarray, " G"]
    accuracy: Float[np.ndarray, " G"]
    """Percent with an IoU of at least δ; NaN in an empty bin."""
    iou: Float[np.ndarray, " G"]
    """Mean IoU in [0, 1]; NaN in an empty bin."""


def by_size(
    area: Float[np.ndarray, " N"], iou: Float[np.ndarray, " N"], edges: Sequence[float] = EDGES, delta: float = 0.5
) -> BySize:
    """Accuracy per size bin; a bin includes its lower edge, the last one both."""
    counts = np.histogram(area, edges)[0]
    some = np.where(counts, counts, np.nan)
    hits, total = (np.histogram(area, edges, weights=weights)[0] for weights in ((iou >= delta).astype(float), iou))
    return BySize(counts, 100 * hits / some, total / some)


def density(area: Float[np.ndarray, " N"], iou: Float[np.ndarray, " N"]) -> Float[np.ndarray, "h w"]:
    """The density of IoU (up) against the square root of the area (to the right), on the unit square; its mean is 1.

    The square root is the side of the object as a share of the image's, and gives small objects room. Smoothed by a
    Gaussian that reflects at the borders, so that no density leaves the square.
    """
    counts, _, _ = np.histogram2d(iou, np.sqrt(area), bins=CELLS, range=((0, 1), (0, 1)))
    return cv2.GaussianBlur(counts, (0, 0), SMOOTH, borderType=cv2.BORDER_REFLECT) * CELLS**2 / len(iou)


def draw_sizes(files: Sequence[Path], out: Path, *, delta: float = 0.5) -> list[Path]:
    """Write ``size.png``, ``size.csv`` and ``size_bins.csv`` into ``out`` from the ``images.csv`` of ``bas eval``.

    Returns their paths. Raises :class:`InputError` for a broken table.
    """
    table = read_series(files, "images.csv", {"area": Range(0), "iou": Range(0, 1)})[""]
    for columns in table.values():
        columns["area"] = columns["area"].clip(max=1)  # listed boxes may reach beyond the photo
    path, bins = out / "size.png", out / "size_bins.csv"
    densities(
        path,
        {name: density(**columns) for name, columns in table.items()},
        extent=(0.0, 1.0, 0.0, 1.0),
        xlabel="object size, % of the image",
        ylabel="IoU with the ground-truth box",
        title="IoU against the size of the object",
        xticks={f"{100 * area:g}": area**0.5 for area in (0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0)},
    )
    rows = []
    for name, columns in table.items():
        found = by_size(columns["area"], columns["iou"], delta=delta)
        rows += [(name, *limits, *values) for limits, *values in zip(pairwise(EDGES), *found, strict=True)]
    write_csv(bins, ("series", "area_from", "area_to", "objects", "accuracy", "mean_iou"), rows)
    return [path, path.with_suffix(".csv"), bins]
