"""Figure 12a: terms of the objective against training steps, per run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from ..inputs import read_text
from ..io import atomic_write
from ..training.logger import POSITION
from ..viz.plots import Line, panels
from .tables import number, read_rows

LOSSES = "losses.png"
"""The picture of all losses in the folder of a run."""
SPAN = 0.05
"""Window of the moving average, as a share of the steps."""


def smooth(values: Float[np.ndarray, " N"], window: int) -> Float[np.ndarray, " N"]:
    """Moving average over ``window`` steps, an odd number; at the ends over those of them that exist."""
    kernel = np.ones(min(window, 2 * len(values) - 1))
    total, counted = (np.convolve(column, kernel, mode="full") for column in (values, np.ones(len(values))))
    margin = len(kernel) // 2
    return (total / counted)[margin : margin + len(values)]


def read_terms(run: Path, terms: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and weighted loss of every term, from the ``log.csv`` of a run; steps without the term are left out.

    Raises :class:`InputError` for a run without a log, a log without the term, or a broken one.
    """
    file = next((file for file in (run / "log.csv", run / "model" / "log.csv") if file.is_file()), run)
    if not file.is_file():
        raise InputError(f"{run} holds no log.csv; give the --out of bas train, bas label or bas demo.")
    found: dict[str, list[tuple[float, float]]] = {term: [] for term in terms}
    for line, row in read_rows(file, ["step", *terms]):
        for term in terms:
            if row[term] != "":
                found[term].append((number(file, line, row, "step"), number(file, line, row, term)))
    for term, points in found.items():
        if not points:
            raise InputError(f"{file} has the column {term}, but no number in it; train for more steps.")
    return {term: (steps, losses) for term, points in found.items() for steps, losses in [np.array(points).T]}


def draw_terms(runs: Sequence[Path], out: Path, *, terms: Sequence[str] = ("suppress",)) -> list[Path]:
    """Write ``terms.png`` and ``terms.csv`` into ``out``: a panel per term, a line per run; returns their paths.

    Raises :class:`InputError`, see :func:`read_terms`.
    """
    logs = {_name(run, runs): read_terms(run, terms) for run in dict.fromkeys(runs)}
    path = out / "terms.png"
    panels(
        path,
        {term: {name: _line(*log[term]) for name, log in logs.items()} for term in terms},
        xlabel="training step",
        ylabel="loss, weighted",
        title="L_bas while training" if tuple(terms) == ("suppress",) else "Losses while training",
    )
    return [path, path.with_suffix(".csv")]


def draw_losses(run: Path) -> None:
    """Write :data:`LOSSES` beside the ``log.csv`` of a run: a panel for each loss; nothing before there are two steps.

    Raises :class:`InputError`, see :func:`read_terms`, and where the disk refuses.
    """
    lines = read_text(run / "log.csv").splitlines()
    if len(lines) < 3:
        return
    terms = read_terms(run, [name for name in lines[0].split(",") if name not in POSITION])
    with atomic_write(run / LOSSES) as partial:
        panels(partial, {term: {"": _line(*points)} for term, points in terms.items()}, xlabel="step", numbers=False)


def _line(steps: np.ndarray, losses: np.ndarray) -> Line:
    return Line(steps, smooth(losses, 2 * round(SPAN * len(losses) / 2) + 1), raw=losses)


def _name(run: Path, runs: Sequence[Path]) -> str:
    """The folder's own name, or the whole path where runs in different places share it."""
    alike = {other for other in runs if other.resolve().name == run.resolve().name}
    return str(run) if len(alike) > 1 else run.resolve().name
