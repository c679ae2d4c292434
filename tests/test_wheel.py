"""The wheel alone, in an environment of its own, does the main job; what it imports is declared."""

import ast
import json
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import install
import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHORT_DEMO = """
import sys
from dataclasses import replace
from functools import partial

from torchbas import cli, data, recipes

demo, draw = recipes.load("demo"), data.make_demo_dataset
short = recipes.vary(demo, "demo", demo.about, steps=4, batch_size=8, classifier_steps=2)
recipes.load = lambda name: short
data.make_demo_dataset = partial(draw, train_per_class=2, test_per_class=1, size=48)
sys.exit(cli.main(["demo", "--quiet"]))
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    return install.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def environment(built, tmp_path_factory):
    """Nothing but the wheel. What it depends on is seen where it lies for this test, but nothing editable there."""
    made = install.Environment(tmp_path_factory.mktemp("new") / "environment")
    made.install("--no-deps", "--no-index", str(built.wheel))
    places = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (made.site_packages / "dependencies.pth").write_text("\n".join(sorted(places)))
    return made


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package_and_the_sdist_no_results(built):
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "torchbas").rglob("*") if path.is_file()}
    there = {name for name in files if "__pycache__" not in name}
    packed = {name for name in zipfile.ZipFile(built.wheel).namelist() if ".dist-info/" not in name}
    assert packed == there
    assert {"torchbas/py.typed", "torchbas/viz/gallery.js"} <= packed
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert there | {"README.md", "LICENSE", "docs/data.md", "tests/test_wheel.py"} <= names
    assert not [name for name in names if name.startswith("results") or name.endswith((".jpg", ".png", ".ipynb"))]


@pytest.mark.slow
def test_the_installed_package_is_the_wheels_and_says_what_it_is(environment, tmp_path):
    where = environment.run("python", "-c", "import torchbas; print(torchbas.__file__)", folder=tmp_path)
    assert Path(where.strip()).is_relative_to(environment.folder)
    assert "bas label photos/" in environment.run("bas", "--help", folder=tmp_path)


@pytest.mark.slow
def test_the_demo_and_labels_of_ones_own_come_from_the_wheel_alone(environment, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # nothing is compiled in a new environment yet: ten seconds
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    environment.run("python", "-c", SHORT_DEMO, folder=tmp_path)
    small = ("--steps", "2", "--crop", "64", "--backbone", "test_resnet", "--refine", "none")
    environment.run("bas", "label", "demo/photos/train", "--out", "labels", *install.FEW, *small, folder=tmp_path)
    for out in (tmp_path / "demo", tmp_path / "labels"):
        assert (out / "index.html").read_text("utf-8").count("<script") >= 1
        assert len(json.loads((out / "boxes.coco.json").read_text("utf-8"))["images"]) in (6, 12)


def normalized(name: str) -> str:
    """The name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(requirements: list[str]) -> set[str]:
    return {normalized(re.match(r"[\w.-]+", one)[0]) for one in requirements}


EXTRAS = PROJECT["optional-dependencies"]
NEEDED = distributions(PROJECT["dependencies"])
OFFERED = distributions([one for name, listed in EXTRAS.items() if name not in ("dev", "docs") for one in listed])
NAMED_IN_AN_ERROR = {"transformers"}
"""In no extra: whoever gives such a folder is told to install it."""
MODULES = {name: {*map(normalized, found)} for name, found in metadata.packages_distributions().items()}
MODULES |= {"pydensecrf": {"pydensecrf2"}, "open_clip": {"open-clip-torch"}, "transformers": {"transformers"}}


def imported(path: Path) -> tuple[set[str], set[str]]:
    """Top-level modules that are not the standard library's: imported with the file, and inside functions."""
    tree = ast.parse(path.read_text("utf-8"))
    later = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    found: tuple[set[str], set[str]] = (set(), set())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [] if node.level else [node.module]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "find_spec")):
            names = [one.value for one in node.args if isinstance(one, ast.Constant) and one.value[0] != "."]
        else:
            continue
        found[id(node) in later].update(name.partition(".")[0] for name in names)
    return tuple({name for name in names if name not in {*sys.stdlib_module_names, "torchbas"}} for names in found)


IMPORTS = {path.relative_to(ROOT).as_posix(): imported(path) for path in sorted((ROOT / "torchbas").rglob("*.py"))}


def test_everything_that_is_imported_is_declared():
    declared = NEEDED | OFFERED | NAMED_IN_AN_ERROR
    foreign = {name for now, later in IMPORTS.values() for name in now | later}
    assert {name: MODULES.get(name) for name in foreign if not MODULES.get(name, set()) & declared} == {}


def test_every_dependency_is_imported():
    used = {one for now, later in IMPORTS.values() for name in now | later for one in MODULES[name]}
    assert used >= NEEDED


EARLY = {
    "torchbas/serve/app.py": {"starlette"},
    "torchbas/data/parts.py": {"pyarrow"},
    "torchbas/shards/parts.py": {"fsspec", "pyarrow"},
}
"""Files that need an extra as they are imported, which happens inside functions."""
COMMANDS = """
import importlib, pkgutil, sys
import torchbas.api, torchbas.cli
for module in pkgutil.iter_modules(torchbas.cli.__path__):
    importlib.import_module(f"torchbas.cli.{module.name}")
print(*sorted({"starlette", "pyarrow", "ray", "webdataset", "onnx", "openvino"} & sys.modules.keys()))
"""


def test_what_only_an_extra_brings_is_imported_inside_functions():
    early = {file: {name for name in now if not MODULES[name] & NEEDED} for file, (now, _) in IMPORTS.items()}
    assert {file: names for file, names in early.items() if names} == EARLY
    done = subprocess.run([sys.executable, "-c", COMMANDS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
