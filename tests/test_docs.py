"""Markdown pages agree with each other and with the code: links, dotted names, paths, recipes, the API reference."""

import importlib
import re
import runpy
from pathlib import Path

import pytest

from torchbas import recipes

ROOT = Path(__file__).parents[1]
REFERENCE = runpy.run_path(str(ROOT / "benchmarks/api_reference.py"))
HISTORY = ROOT / "CHANGELOG.md"  # its names are those of their time
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
CURRENT = [page for page in PAGES if page != HISTORY]
FAMILY_OF_RECIPE = r"(?:(?:table|fig)\d+|(?:quick|cub|ilsvrc|openimages|voc|coco)_(?:\w*[a-z]\w*|\*))"
CALLED_RECIPE = r"\brecipes? `([\w:*]+)`"
GIVEN_RECIPE = r"--recipe[ =](?!FILE|NAME)([\w:]+)(?!\.py|\w)"


def prose(page: Path) -> str:
    """The text without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Where the headings of a page are linked to; the second of two equal ones ends in -1."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        found.append(REFERENCE["anchor"](re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)))
    return {anchor + (f"-{found[:i].count(anchor)}" if anchor in found[:i] else "") for i, anchor in enumerate(found)}


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute or field below one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return part == parts[-1] and part in getattr(found, "__annotations__", {})
            found = getattr(found, part)
        return True
    return False


def is_recipe(name: str) -> bool:
    """Whether a recipe, a family, or any recipe of a pattern such as ``cub_*`` exists."""
    known = {*recipes.names(), *recipes.families()}
    known |= {f"{family}:{variant}" for family, variants in recipes.families().items() for variant in variants}
    return any(re.fullmatch(name.replace("*", r"\w+"), one) for one in known)


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_api_reference_is_what_the_docstrings_say():
    written = REFERENCE["PAGE"].read_text("utf-8").splitlines()
    made = REFERENCE["make"]().splitlines()
    changed = next((line for line, old in zip(made, written, strict=False) if line != old), "its length")
    assert written == made, f"docs/api.md is old, first at {changed!r}: run {REFERENCE['COMMAND']}"


def test_the_api_reference_is_the_same_on_every_machine():
    page = REFERENCE["make"]()
    assert page == REFERENCE["make"]()
    assert str(ROOT) not in page
    assert not re.search(r"\b0x[0-9a-f]{6,}", page)


def test_everything_in_the_api_reference_has_a_docstring():
    names = [name for section in REFERENCE["SECTIONS"] for name in REFERENCE["names_of"](section)]
    aliases = ("structures.Box", "evaluation.metrics.Protocol")
    silent = [name for name in names if name not in aliases and not REFERENCE["find"](f"torchbas.{name}").docstring]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_between_pages_lead_to_a_file_and_a_heading(page):
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        if "://" not in link and (not target.exists() or (heading and heading not in anchors(target))):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", CURRENT, ids=by_name)
def test_dotted_names_in_pages_can_be_imported(page):
    names = set(re.findall(r"\btorchbas(?:\.[A-Za-z_]\w*)+", page.read_text("utf-8")))
    assert sorted(name for name in names if not resolves(name)) == []


@pytest.mark.parametrize("page", CURRENT, ids=by_name)
def test_paths_of_the_repository_in_pages_exist(page):
    paths = set(re.findall(r"`((?:torchbas|benchmarks|tests|docs|results)/[\w./-]*)`", page.read_text("utf-8")))
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("page", CURRENT, ids=by_name)
def test_recipes_in_pages_exist(page):
    text = page.read_text("utf-8")
    patterns = (rf"`({FAMILY_OF_RECIPE}(?::\w+)?)`", CALLED_RECIPE, GIVEN_RECIPE)
    names = {name for pattern in patterns for name in re.findall(pattern, text)}
    mistyped = set(re.findall(r'There is no recipe "(\w+)"', text))  # as the answer on the page says
    assert sorted(name for name in names - mistyped if not is_recipe(name)) == []


def test_what_is_not_there_is_noticed():
    assert not resolves("torchbas.api.no_such_call")
    assert not resolves("torchbas.no_such_module.call")
    assert resolves("torchbas.config.Training.steps")
    assert resolves("torchbas.structures.Sample.path")
    assert not is_recipe("table3:layer9")
    assert is_recipe("cub_*")
