"""Wheel and sdist, and what installing the wheel into a new environment costs, up to the first boxes.

python benchmarks/install.py [--python python3.12]

Downloads some GB from the package index, by uv where it is on PATH, else by pip. Into results/speed/install_py311.json
(the number is the version of Python): sizes, distributions, seconds of the install, and of `bas label` on a few drawn
photos from nothing: the first time, when functions are compiled, and again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from record import record_speed

ROOT = Path(__file__).parents[1]
UV = shutil.which("uv")
FEW = ("--weights", "none", "--steps", "12", "--batch-size", "8", "--quiet")
"""Flags of a training in seconds, offline."""


class Built(NamedTuple):
    """What is published."""

    wheel: Path
    sdist: Path


def build(folder: Path) -> Built:
    """Wheel and sdist of this checkout, by the build backend that is installed."""
    words = ["-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return Built(next(folder.glob("*.whl")), next(folder.glob("*.tar.gz")))


class Environment:
    """A new virtual environment.

    Args:
        folder: where to make it.
        python: the interpreter.
    """

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder = folder
        self.python = folder / "bin/python"
        making = [UV, "venv", "--quiet", "--python", python] if UV else [python, "-m", "venv"]
        subprocess.run([*making, str(folder)], check=True)

    @property
    def site_packages(self) -> Path:
        """Where distributions lie."""
        return Path(self.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())

    def install(self, *words: str) -> None:
        """As ``pip install`` would."""
        installing = (
            [UV, "pip", "install", "--python", str(self.python)] if UV else [str(self.python), "-m", "pip", "install"]
        )
        subprocess.run([*installing, "--quiet", *words], check=True, env=_clean())

    def run(self, program: str, *words: str, folder: Path | None = None) -> str:
        """What a program of the environment prints; nothing of the checkout can be imported."""
        command = [str(self.folder / "bin" / program), *words]
        done = subprocess.run(command, cwd=folder or self.folder, env=_clean(), text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{program} {' '.join(words)}: {done.stderr}")
        return done.stdout


def _clean() -> dict[str, str]:
    """The variables of this process without those that would show Python another folder or environment."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def megabytes(folder: Path) -> float:
    """What the files of a folder take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def label(environment: Environment, photos: Path, out: Path) -> float:
    """Seconds from the start of ``bas label`` until everything is written."""
    began = time.monotonic()
    environment.run("bas", "label", str(photos), "--out", str(out), *FEW, folder=out.parent)
    seconds = time.monotonic() - began
    boxes = json.loads((out / "boxes.coco.json").read_text("utf-8"))
    if not boxes["images"]:
        raise RuntimeError(f"{out} is empty")
    return seconds


def measure(folder: Path, python: str) -> tuple[str, dict[str, float]]:
    """Version of Python, as 3.11, and the metrics."""
    from torchbas.data import make_demo_dataset

    built = build(folder / "dist")
    environment = Environment(folder / "environment", python)
    before = set(_distributions(environment))
    began = time.monotonic()
    environment.install(str(built.wheel), "-c", str(ROOT / "constraints.txt"))
    seconds = time.monotonic() - began
    brought = set(_distributions(environment)) - before
    make_demo_dataset(folder / "drawn", train_per_class=4, test_per_class=1)
    metrics = {
        "wheel_bytes": built.wheel.stat().st_size,
        "sdist_bytes": built.sdist.stat().st_size,
        "distributions": len(brought),
        "environment_mb": round(megabytes(environment.folder)),
        "install_s": round(seconds, 1),
        "label_first_s": round(label(environment, folder / "drawn/train", folder / "first"), 1),
        "label_again_s": round(label(environment, folder / "drawn/train", folder / "again"), 1),
    }
    version = environment.run("python", "-c", "import sys; print('{}.{}'.format(*sys.version_info))").strip()
    return version, metrics


def _distributions(environment: Environment) -> list[str]:
    program = "import importlib.metadata as m; print(*(one.metadata['Name'] for one in m.distributions()))"
    return environment.run("python", "-c", program).split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the new environment")
    words, began = parser.parse_args(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        version, metrics = measure(Path(folder), words.python)
    record_speed(
        f"install_py{version.replace('.', '')}",
        data="24 drawn photos of six tags",
        protocol=f"Python {version}, {'uv' if UV else 'pip'}, the wheel alone with constraints.txt from the package "
        "index; environment_mb: its files with the installer's; label: wall clock of bas label from nothing, 12 steps, "
        "on a busy machine: first, while functions are compiled, and again",
        metrics=metrics,
        began=began,
    )
    print(metrics)


if __name__ == "__main__":
    main()
