"""CSV tables of ``bas eval --out`` read back as series of numbers by name."""

import csv
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..inputs import regular

_NEXT = "make it again with the command that wrote it."


class Range(NamedTuple):
    """Closed interval of the numbers that a column may hold."""

    low: float = -math.inf
    high: float = math.inf


ANY = Range()


def read_rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells, by column, of every row that is not empty.

    Raises:
        InputError: no such file, no text, missing ``columns``, a row with too few cells, or no rows.
    """
    rows = 0
    try:
        with regular(file).open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                there = ", ".join(reader.fieldnames or ()) or "none"
                raise InputError(f"{file} line 1: no column {', '.join(missing)} (there are: {there}); {_NEXT}")
            for row in reader:
                if any(row[name] is None for name in columns):
                    raise InputError(f"{file} line {reader.line_num}: the row has too few cells; {_NEXT}")
                rows += 1
                yield reader.line_num, row
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} is no CSV table ({error}); {_NEXT}") from error
    if not rows:
        raise InputError(f"{file} line 1: no rows follow; {_NEXT}")


def number(file: Path, line: int, row: Mapping[str, str], column: str, within: Range = ANY) -> float:
    """One cell as a finite number. Raises :class:`InputError` naming file and line for anything else."""
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f'{file} line {line}: {column} is "{row[column]}", which is no number; {_NEXT}')
    if not within.low <= value <= within.high:
        limits = f"{within.low:g} to {within.high:g}"
        raise InputError(f"{file} line {line}: {column} is {row[column]}, outside {limits}; {_NEXT}")
    return value


def read_series(
    files: Sequence[Path], name: str, columns: Mapping[str, Range], panel: str = ""
) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Columns of numbers by panel and series.

    Args:
        files: tables, or folders that hold one called ``name``.
        columns: what to read, and the numbers that are allowed.
        panel: the column that names the panels; without one there is a single panel.

    A series is named by the column ``row``, with the file's folder in front where several files have the same name.
    """
    paths = [*dict.fromkeys(path / name if path.is_dir() else path for path in files)]
    found: dict[tuple[Path, str, str], list[list[float]]] = {}
    for path in paths:
        for line, row in read_rows(path, ["row", *([panel] if panel else ()), *columns]):
            values = [number(path, line, row, column, within) for column, within in columns.items()]
            found.setdefault((path, row["row"], row[panel] if panel else ""), []).append(values)
    names = _names({(path, word) for path, word, _ in found})
    panels: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for (path, word, where), values in found.items():
        table = dict(zip(columns, np.array(values).T, strict=True))
        panels.setdefault(where, {})[names[path, word]] = table
    return panels


def _names(series: set[tuple[Path, str]]) -> dict[tuple[Path, str], str]:
    """For every series the shortest of three names that are all different."""
    ways = [
        {one: one[1] for one in series},
        {one: f"{one[0].resolve().parent.name} {one[1]}" for one in series},
        {one: f"{one[0]} {one[1]}" for one in series},
    ]
    return next((way for way in ways if max(Counter(way.values()).values()) == 1), ways[-1])
