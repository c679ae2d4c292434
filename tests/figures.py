"""What the tests of figures share: the command, and the table beside a picture."""

import csv
import io
from pathlib import Path

import pytest

from torchbas.cli import main


def table(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV by the names of its columns."""
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))


def command(capsys: pytest.CaptureFixture[str], figure: str, *words: str | Path) -> tuple[int, str, str]:
    """The exit code of ``bas analyze``, and what it said on stdout and stderr."""
    code = main(["analyze", figure, *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err
