"""Figure 18: mIoU of seeds against alpha, beta and lambda, one at a time."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from ..inputs import number
from ..io import read_manifest
from ..viz.plots import Line, panels


class WeightedRun(NamedTuple):
    """Weights of the objective of one training, and the mIoU of its seeds."""

    guidance: float
    area: float
    suppression: float
    miou: float
    """Of the seeds, in percent."""


SIGNS = {"guidance": "alpha", "area": "beta", "suppression": "lambda"}
TERMS = {"guidance": "L_frg", "area": "L_ac", "suppression": "L_bas"}


def read_weighted_run(folder: Path) -> WeightedRun:
    """The mIoU of the seeds that ``bas segment`` made in ``folder``, and the weights its only model was trained with.

    Raises:
        InputError: unfinished, without true masks, of several models, or of a model that ``bas train`` did not make.
    """
    made = read_manifest(folder)
    try:
        miou = number(_within(made, "scores", "seed").get("miou"))
    except ValueError as error:
        reason = "has no score of seeds: give the --out of bas segment, of photos with true masks"
        raise InputError(f"{folder} {reason}.") from error
    words = _within(made, "words")
    models = words.get("model")
    if not isinstance(models, list) or len(models) != 1 or words.get("seeds") or words.get("foreground"):
        raise InputError(f"{folder} is of several models or none, not of one with its weights: give it one --model.")
    run = Path(str(models[0]))
    trained = _within(read_manifest(run), "words", "settings", "options")
    try:
        return WeightedRun(**{name: number(trained.get(name)) for name in SIGNS}, miou=miou)
    except ValueError as error:
        reason = "does not say how it was trained: use a run of bas train"
        raise InputError(f"{run}, the model of {folder}, {reason}.") from error


def _within(content: dict[str, Any], *names: str) -> dict[str, Any]:
    """What lies that deep in a manifest; nothing where another command, or nobody, has written it."""
    for name in names:
        found = content.get(name)
        content = found if isinstance(found, dict) else {}
    return content


def lines_of(points: Sequence[WeightedRun], varied: str) -> dict[str, Line]:
    """mIoU against one weight: a line for each pair of the two others under which it takes several values."""
    others = [name for name in SIGNS if name != varied]
    groups: dict[tuple[float, ...], list[tuple[float, float]]] = {}
    for point in sorted(points):
        groups.setdefault(tuple(getattr(point, name) for name in others), []).append(
            (getattr(point, varied), point.miou)
        )
    return {
        _caption(zip(others, fixed, strict=True)): Line(*zip(*sorted(group), strict=True))
        for fixed, group in groups.items()
        if len({value for value, _ in group}) > 1
    }


def draw_weights(folders: Sequence[Path], out: Path) -> list[Path]:
    """Write ``weights.png`` and ``weights.csv`` into ``out``: a panel for each weight that varies; return their paths.

    Raises:
        InputError: no two trainings differ in one weight alone; see also :func:`read_weighted_run`.
    """
    points = [read_weighted_run(folder) for folder in dict.fromkeys(folders)]
    found = {f"{SIGNS[name]}, of {TERMS[name]}": lines_of(points, name) for name in SIGNS}
    found = {panel: lines for panel, lines in found.items() if lines}
    if not found:
        raise InputError("no two of these runs differ in --guidance, --area or --suppression alone: train such ones.")
    path = out / "weights.png"
    panels(path, found, xlabel="weight", ylabel="mIoU of the seeds, %", title="Weights of the terms", share_y=True)
    return [path, path.with_suffix(".csv")]


def _caption(fixed: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{SIGNS[name]} {value:g}" for name, value in fixed)
