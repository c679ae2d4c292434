"""Two-dimensional densities side by side on one color scale, as a PNG with the numbers beside it as CSV."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .plots import figure_at, write_csv

SHADES = ("#ffffff", "#d4e5f2", "#86b8dc", "#2f7fb8", "#0b4a7d", "#04223c")
"""Color map from zero to the highest density: one hue, ever darker."""


def densities(
    path: Path,
    grids: Mapping[str, Float[np.ndarray, "h w"]],
    *,
    extent: tuple[float, float, float, float],
    xlabel: str,
    ylabel: str,
    title: str = "",
    xticks: Mapping[str, float] | None = None,
) -> None:
    """Draw a panel per entry of ``grids``, four in a line; rows go up along y, columns along x.

    ``extent`` is the left, right, bottom and top edge of every grid; ``xticks`` the position of each tick by its label.
    The CSV has the columns ``series, x, y, density``, x and y at the centers of the cells.

    Raises:
        OSError: the disk refuses.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    shades = ScalarMappable(
        Normalize(0, max(float(grid.max()) for grid in grids.values())),
        LinearSegmentedColormap.from_list("density", SHADES),
    )
    across = min(4, len(grids))
    down = -(-len(grids) // across)
    with figure_at(path, width=max(4.0, 0.9 + 2.6 * across), height=0.4 + 2.9 * down) as figure:
        figure.suptitle(title, fontsize=10, fontweight="bold", x=0.01, ha="left")
        table = figure.subplots(down, across, squeeze=False, sharey=True)
        for axes in table.flat[len(grids) :]:
            axes.set_axis_off()
        for axes, (name, grid) in zip(table.flat, grids.items(), strict=False):
            axes.set_title(name, fontsize=9, fontweight="normal")
            colors = {"cmap": shades.cmap, "norm": shades.norm}
            axes.imshow(grid, origin="lower", extent=extent, aspect="auto", interpolation="bicubic", **colors)
            if xticks is not None:
                axes.set_xticks([*xticks.values()], [*xticks])
            axes.set_xlabel(xlabel)
        for axes in table[:, 0]:
            axes.set_ylabel(ylabel)
        bar = figure.colorbar(shades, ax=list(table.flat), shrink=0.8, pad=0.01, label="density")
        bar.outline.set_visible(False)
    rows = [(name, *cell) for name, grid in grids.items() for cell in _cells(grid, extent)]
    write_csv(path, ("series", "x", "y", "density"), rows)


def _cells(
    grid: Float[np.ndarray, "h w"], extent: tuple[float, float, float, float]
) -> Sequence[tuple[float, float, float]]:
    left, right, bottom, top = extent
    height, width = grid.shape
    x = left + (np.arange(width) + 0.5) * (right - left) / width
    y = bottom + (np.arange(height) + 0.5) * (top - bottom) / height
    return [(float(x[j]), float(y[i]), float(grid[i, j])) for i in range(height) for j in range(width)]
