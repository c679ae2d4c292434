"""What is written about the program is true: commands, flags, numbers, links, snippets, pins."""

import contextlib
import importlib
import io
import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest

import torchbas
from torchbas.cli import COMMANDS
from torchbas.cli.analyze import FIGURES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *sorted((ROOT / "docs").glob("*.md"))]
TABLES = runpy.run_path(str(ROOT / "benchmarks/tables.py"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def parse(command: str, words: list[str]) -> object:
    return importlib.import_module(f"torchbas.cli.{command}").parse(words)


@pytest.fixture(scope="module")
def flags() -> set[str]:
    """Every flag of every command, from their own helps."""
    said = io.StringIO()
    for command, *more in [*([name] for name in COMMANDS), *(["analyze", figure] for figure in FIGURES)]:
        with pytest.raises(SystemExit), contextlib.redirect_stdout(said):
            parse(command, [*more, "--help" if command == "analyze" else "--help-all"])
    return set(re.findall(r"--[a-z][a-z0-9-]+", said.getvalue()))


def test_the_readme_can_be_read_in_a_sitting():
    assert len(README.read_text("utf-8").splitlines()) <= 150


def test_all_tables_are_the_results():
    texts = [page.read_text("utf-8") for page in TABLES["PAGES"]]
    assert {name for text in texts for name in re.findall(r"<!-- table: (\w+) -->", text)} == TABLES["TABLES"].keys()
    for text in texts:
        assert TABLES["redraw"](text, TABLES["read_results"]()) == text, "run python benchmarks/tables.py"


def test_tables_show_what_was_measured_and_say_what_was_not():
    bas = {
        "metrics": {"gt_known": 87.654, "top1_loc": 61.0, "top5_loc": 80.0},
        "oracle": {"threshold": 0.15, "metrics": {"gt_known": 90.0}},
        "recipe": "small",
        "threshold": {"value": 0.1},
        "split": "test, 9 photos",
        "protocol": "authors",
        "seconds": 120,
        "hardware": "an abacus",
        "seed": 3,
        "commit": "abcdef0123",
    }
    seconds = {"batch4_naive_over_bf16": 2.345, "batch4_naive_seconds": 9, "batch4_bf16_seconds": 4}
    rates = {"name": "predict", "metrics": {"bf16_auto_photos_per_second": 12.34}}
    results = {"wsol/cub25_resnet50_bas_k1": bas, "speed/step_x": {"name": "step", "metrics": seconds}}
    results["speed/predict_x"] = rates
    table = TABLES["cub25_table"](results)
    assert "| 87.7 | 61.0 | 80.0 | 90.0 (at 0.15) |" in table
    assert (
        "small: test, 9 photos, protocol authors, threshold 0.1, 2 min on an abacus, seed 3, commit abcdef0." in table
    )
    assert "| without L_bas, k = 1 | not run here |" in table
    assert "MobileNetV1" not in table
    assert "batch4 naive : bf16 **2.35** (9 : 4 s)" in TABLES["TABLES"]["speed"](results)
    assert "bf16 auto **12.3** photos/s" in TABLES["TABLES"]["speed"](results)
    assert "not run here" in TABLES["TABLES"]["speed"]({})
    assert "| `cub_resnet50` | 95.41 | 76.75 | 90.04 | not run here |" in TABLES["paper_table"]({})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_blocks_are_understood(page):
    for line in "".join(blocks(page, "bash")).splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["bas"]:
            parse(words[1], words[2:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_commands_flags_and_targets_exist(page, flags):
    text = page.read_text("utf-8")
    assert set(re.findall(r"`bas (\w+)", text)) <= COMMANDS.keys()
    if page.parent.name != "benchmarks":
        code = " ".join(re.findall(r"`(--[^`]*|bas [^`]*)`", text))
        assert set(re.findall(r"--[\w-]+", code)) <= flags
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make (\w+)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_compile_and_name_what_there_is(page):
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")
    named = set(re.findall(r"\btb\.(\w+)", page.read_text("utf-8")))
    assert named <= set(torchbas.__all__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        assert "://" in link or (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_container_is_made_of_files_that_there_are():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert {"pyproject.toml", "torchbas"} <= {*copied}
    assert all((ROOT / word).exists() for word in copied)


def test_every_direct_dependency_is_pinned_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", pin) for pin in pins)
    assert {pin.split("==")[0] for pin in pins} == {re.match(r"[\w-]+", name)[0] for name in wanted}
