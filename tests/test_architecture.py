"""The layers of the package: imports go down, never in a circle; and no file outgrows a sitting."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "torchbas"
LAYERS = [  # a room may import itself and the rooms above it in this list
    "errors",
    "inputs",
    "io",
    "compiled",
    "bounds",
    "cards",
    "config",
    "weight_names",
    "structures",
    "crf",
    "localization",
    "viz",
    "export",
    "data",
    "cam",
    "model",
    "losses",
    "methods",
    "refiners",
    "deploy",
    "inference",
    "evaluation",
    "training",
    "wsss",
    "recipes",
    "analysis",
    "api",
    "shards",
    "serve",
    "cli",
]
RANK = {room: rank for rank, room in enumerate(LAYERS)}
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def _module(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {_module(path) for path in FILES}


def _imports(path: Path) -> set[tuple[str, ...]]:
    """The modules of this package that a file imports when it runs, inside its functions too."""
    found = set()
    package = ["torchbas", *path.relative_to(ROOT).parts[:-1]]
    tree = ast.parse(path.read_text())
    for block in ast.walk(tree):
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            block.body = [ast.Pass()]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = [*base, *(node.module or "").split(".")] if node.module else base
            names = [[*full, a.name] for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name.split(".") for a in node.names]
        else:
            continue
        for first, *rest in names:
            if first == "torchbas" and rest and rest != ["__version__"]:
                found.add(tuple(rest) if tuple(rest) in MODULES else tuple(rest[:-1]))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_go_down(path):
    here = _module(path)[0]
    for module in _imports(path):
        assert RANK[module[0]] <= RANK[here], f"{here} may not import {module[0]}"


def test_no_two_modules_import_each_other_even_by_way_of_others():
    below = {_module(path): {m for m in _imports(path) if m != _module(path)} for path in FILES}
    done: set[tuple[str, ...]] = set()

    def visit(module: tuple[str, ...], above: tuple[tuple[str, ...], ...]) -> None:
        assert module not in above, f"a circle: {' -> '.join('.'.join(m) for m in (*above, module))}"
        if module not in done:
            for other in sorted(below.get(module, ())):
                visit(other, (*above, module))
            done.add(module)

    for module in sorted(below):
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_outgrows_a_sitting(path):
    assert len(path.read_text().splitlines()) <= 350
