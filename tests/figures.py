"""Helpers of the tests of figures: run ``bas analyze``, read the table beside a figure."""

import csv
import io
from pathlib import Path

import pytest

from torchbas.cli import main


def table(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV by column name."""
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))


def command(capsys: pytest.CaptureFixture[str], figure: str, *words: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``bas analyze``."""
    code = main(["analyze", figure, *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err
