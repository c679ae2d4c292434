"""Charts of the results: curves with levels, and bars; each a PNG with its numbers beside it as CSV."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from textwrap import fill

import numpy as np

from torchbas.viz.plots import COLORS, Number, figure_at, write_csv

Points = tuple[Sequence[Number] | np.ndarray, Sequence[Number] | np.ndarray]
"""The x and the y of one curve, equally long."""


def curves(
    path: Path,
    series: Mapping[str, Points],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    hlines: Mapping[str, Number] | None = None,
) -> None:
    """Draw one line per entry of ``series`` and a dashed level per entry of ``hlines``, such as a paper's number.

    The CSV has the columns ``series, x, y``; a level has no x.

    Raises:
        OSError: the disk refuses.
    """
    levels = hlines or {}
    with figure_at(path, width=6.0, height=3.4) as figure:
        axes = figure.add_subplot(title=title, xlabel=xlabel, ylabel=ylabel)
        axes.grid(axis="y")
        for (label, (x, y)), color in zip(series.items(), cycle(COLORS), strict=False):
            marker = "o" if len(x) <= 20 else None
            axes.plot(x, y, label=label, color=color, marker=marker, markersize=4)
        for (label, level), style in zip(levels.items(), cycle(("--", ":", "-.")), strict=False):
            axes.axhline(level, label=label, color="#17181c", linewidth=1, linestyle=style)
        if len(series) + len(levels) > 1:
            figure.legend(loc="outside right upper")
    rows = [(label, *point) for label, xy in series.items() for point in zip(*xy, strict=True)]
    write_csv(path, ("series", "x", "y"), [*rows, *((label, "", level) for label, level in levels.items())])


def bars(
    path: Path,
    series: Mapping[str, Mapping[str, Number]],
    *,
    xlabel: str,
    title: str = "",
    reference: Number | None = None,
) -> None:
    """Draw horizontal bars with their values: a color per series, a group per category, in the order of arrival.

    ``reference`` draws a line through the value to compare with, such as 1 for ratios.
    A category that a series lacks is left empty. The CSV has the columns ``series, category, value``.

    Raises:
        OSError: the disk refuses.
    """
    categories = [*dict.fromkeys(category for values in series.values() for category in values)]
    thickness = 0.8 / max(1, len(series))
    with figure_at(path, width=6.0, height=0.9 + len(categories) * max(0.34, 0.24 * len(series))) as figure:
        axes = figure.add_subplot(title=title, xlabel=xlabel)
        axes.grid(axis="x")
        for n, ((label, values), color) in enumerate(zip(series.items(), cycle(COLORS), strict=False)):
            places = [categories.index(category) + thickness * (n - (len(series) - 1) / 2) for category in values]
            drawn = axes.barh(places, list(values.values()), thickness * 0.9, label=label, color=color)
            axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
        axes.set_yticks(range(len(categories)), [fill(category, 30) for category in categories])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.margins(x=0.1)
        if reference is not None:
            axes.axvline(reference, color="#17181c", linewidth=1, linestyle="--")
        if len(series) > 1:
            figure.legend(loc="outside right upper")
    rows = [(label, *pair) for label, values in series.items() for pair in values.items()]
    write_csv(path, ("series", "category", "value"), rows)
