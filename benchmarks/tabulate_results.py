"""Results as read from results/, and rows of them as a table."""

from collections.abc import Iterable, Sequence
from typing import Any

Results = dict[str, dict[str, Any]]
"""Results by ``area/name``."""

MISSING = "not run here"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown: the first column left, the others right."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
