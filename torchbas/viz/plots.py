"""Figures for a paper in one style, each a PNG with its numbers beside it as CSV.

matplotlib is imported when the first figure is drawn, and needs no window system.
"""

import csv
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Number = float | int


class Line(NamedTuple):
    """One curve of a panel; all its sequences are equally long."""

    x: Sequence[Number] | np.ndarray
    y: Sequence[Number] | np.ndarray
    low: Sequence[Number] | np.ndarray | None = None
    """Lower edge of a band around the curve; needs ``high`` too."""
    high: Sequence[Number] | np.ndarray | None = None
    raw: Sequence[Number] | np.ndarray | None = None
    """The values before ``y`` was smoothed, drawn faintly behind it."""


class Picture(NamedTuple):
    """One photo of a grid."""

    image: Image.Image
    caption: str = ""
    """Text below it."""
    marked: bool = False
    """Whether it is framed, as the chosen one."""


COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5f5f5f")
"""Okabe and Ito's palette, which color-blind readers tell apart, the darkest first."""

_STYLE: dict[Any, Any] = {
    "figure.dpi": 200,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,  # a tag with a dollar sign is no formula
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f99",
    "axes.axisbelow": True,
    "grid.color": "#e3e5ea",
    "grid.linewidth": 0.7,
    "xtick.color": "#4a4f5a",
    "ytick.color": "#4a4f5a",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
}
_LEVEL: dict[str, Any] = {"color": "#17181c", "linewidth": 1, "linestyle": "--"}


def panels(
    path: Path,
    lines: Mapping[str, Mapping[str, Line]],
    *,
    xlabel: str,
    ylabel: str = "",
    title: str = "",
    vlines: Mapping[str, Number] | None = None,
    share_y: bool = False,
    numbers: bool = True,
) -> None:
    """Draw a panel per entry of ``lines`` side by side, and in it a line per series, in one color everywhere.

    ``vlines`` are drawn in every panel: dotted in the color of the series of that name, if there is one, else dashed
    in black. The CSV has the columns ``panel, series, x, y, low, high, raw``; without ``numbers`` there is none.

    Raises:
        OSError: the disk refuses.
    """
    names = [*dict.fromkeys(name for series in lines.values() for name in series)]
    colors = dict(zip(names, cycle(COLORS), strict=False))
    known: dict[str, Any] = {}
    captions = [*names, *(vlines or {})]
    width = max(5.0, 2.9 * len(lines))
    across = max(1, int(width / (0.6 + 0.08 * max(map(len, captions)))))
    with figure_at(path, width=width, height=2.9 + 0.2 * -(-len(captions) // across)) as figure:
        figure.suptitle(title, fontsize=10, fontweight="bold", x=0.01, ha="left")
        row = figure.subplots(1, len(lines), squeeze=False, sharey=share_y)[0]
        for axes, (panel, series) in zip(row, lines.items(), strict=True):
            axes.set_title(panel, fontsize=9, fontweight="normal")
            axes.grid(axis="y")
            for name, line in series.items():
                known[name] = _line(axes, line, colors[name])
            for name, place in (vlines or {}).items():
                style = {"color": colors[name], "linestyle": ":"} if name in colors else _LEVEL
                known.setdefault(name, axes.axvline(place, **style))
            axes.set_xlabel(xlabel)
        row[0].set_ylabel(ylabel)
        if len(known) > 1:
            figure.legend(known.values(), known.keys(), loc="outside lower left", ncols=across)
    if numbers:
        rows = [
            (panel, name, *row) for panel, series in lines.items() for name, one in series.items() for row in _rows(one)
        ]
        write_csv(path, ("panel", "series", *Line._fields), rows)


def grid_of_images(
    path: Path, rows: Mapping[str, Sequence[Picture]], columns: Sequence[str] = (), *, title: str = ""
) -> None:
    """Draw photos in rows with a name each, under the names of the columns; every photo keeps its aspect ratio.

    Raises:
        OSError: the disk refuses.
    """
    across = max(len(row) for row in rows.values())
    heights = [max(one.image.height / one.image.width for one in row) for row in rows.values()]
    captions = sum(any(one.caption for one in row) for row in rows.values())
    with figure_at(path, width=1.5 * across + 0.3, height=1.5 * sum(heights) + 0.2 * captions + 0.5) as figure:
        if title:
            figure.suptitle(title, fontsize=10, fontweight="bold")
        grid = figure.subplots(len(rows), across, squeeze=False, gridspec_kw={"height_ratios": heights})
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for line, (label, pictures) in zip(grid, rows.items(), strict=True):
            line[0].set_ylabel(label)
            for axes, one in zip(line, pictures, strict=False):
                axes.imshow(np.asarray(one.image.convert("RGB")), interpolation="lanczos")
                axes.set_xlabel(one.caption, fontsize=8, fontweight="bold" if one.marked else "normal")
                frame = {"color": COLORS[1], "linewidth": 2.5} if one.marked else {"color": "#e3e5ea", "linewidth": 0.7}
                axes.spines[:].set(visible=True, **frame)
        for axes, column in zip(grid[0], columns, strict=False):
            axes.set_title(column, loc="center", fontsize=9, fontweight="normal")


def _line(axes: Any, line: Line, color: str) -> Any:
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.18, linewidth=0)
    if line.raw is not None:
        axes.plot(line.x, line.raw, color=color, alpha=0.25, linewidth=0.8)
    return axes.plot(line.x, line.y, color=color, marker="o" if len(line.x) <= 20 else None, markersize=3.5)[0]


def _rows(line: Line) -> Iterable[tuple[object, ...]]:
    return zip(*([""] * len(line.x) if column is None else column for column in line), strict=True)


@contextmanager
def figure_at(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """Yield an empty figure of ``width`` x ``height`` inches, and save it to ``path`` when the block ends well."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks, a label that is too long
        figure = Figure(figsize=(width, height))
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write ``rows`` under ``head`` as UTF-8 to ``path`` with the suffix ``.csv``, and make its folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
