"""Results on disk: ``results/<area>/<name>.json``, each with all that is needed to measure it again."""

import datetime
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from torchbas.io import atomic_write

RESULTS = Path(__file__).parents[1] / "results"


def data_folder() -> Path:
    """Where the development data lies: the environment variable TORCHBAS_DATA."""
    folder = os.environ.get("TORCHBAS_DATA")
    if not folder:
        sys.exit(
            "set TORCHBAS_DATA to the folder that holds cub25/ and weights/ (benchmarks/README.md says what they are)"
        )
    return Path(folder)


def record(area: str, name: str, **content: Any) -> Path:
    """Write one result with commit, hardware, date and command."""
    return write(RESULTS / area / f"{name}.json", content | circumstances())


def write(path: Path, content: dict[str, Any]) -> Path:
    """Write a result, whole or not at all, its name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        partial.write_text(json.dumps({"name": path.stem, **content}, indent=2) + "\n", "utf-8")
    return path


def record_speed(name: str, *, data: str, protocol: str, metrics: dict[str, float], began: float) -> Path:
    """Write how fast something is that no recipe, split or threshold has a part in; ``began`` by ``time.monotonic``."""
    place = {"recipe": None, "protocol": protocol, "split": None, "threshold": None}
    return record("speed", name, data=data, **place, metrics=metrics, seed=0, seconds=round(time.monotonic() - began))


def circumstances(on: str | None = None) -> dict[str, Any]:
    """Commit, hardware, date and command of this process; ``on`` is the hardware where another one measured."""
    return {
        "commit": commit(),
        "hardware": on or hardware(torch.cuda.is_available()),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": " ".join(["python", "benchmarks/" + Path(sys.argv[0]).name, *map(_anywhere, sys.argv[1:])]),
    }


def commit() -> str:
    """Hash of the commit, ``unknown`` in a copy without its history."""
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return git.stdout.strip()


def hardware(gpu: bool) -> str:
    """The GPU, or the CPU's threads and cores, and what they run."""
    cores = f"{torch.get_num_threads()} threads on {os.cpu_count()} CPU cores"
    device = torch.cuda.get_device_name() if gpu else cores
    return f"{device}, {platform.machine()} {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


def _anywhere(word: str) -> str:
    """A word of the command without the absolute path of this machine."""
    return Path(word).name if Path(word).is_absolute() else word


def data_fingerprint(names: list[str]) -> str:
    """Hash of the photos' names."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
