"""The layers of the package, and the two rules that keep it readable."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "torchbas"
LAYERS = [  # a module may import its own room and the rooms above it in this list, never below or beside
    ["errors"],
    ["types", "config"],
    ["model", "losses", "maps", "data", "metrics", "formats", "viz"],
    ["engine"],
    ["localize", "segment", "baselines"],
    ["recipes", "analysis"],
    ["api"],
    ["cli"],
]
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imported_rooms(path: Path) -> set[str]:
    rooms = set()
    package = ["torchbas", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = [*base, *(node.module or "").split(".")] if node.module else base
            names = [[*full, a.name] for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name.split(".") for a in node.names]
        else:
            continue
        rooms |= {n[1] for n in names if n[0] == "torchbas" and len(n) > 1 and n[1] != "__version__"}
    return rooms


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_go_one_way(path):
    here = _room(path)
    for room in _imported_rooms(path) - {here}:
        assert RANK[room] < RANK[here], f"{here} may not import {room}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_outgrows_a_sitting(path):
    assert len(path.read_text().splitlines()) <= 350
