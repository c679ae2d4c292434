"""The rows of benchmarks/gpu.py, which only a GPU can measure, run on a CPU in small; their keeper and their table."""

import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from gpu_place import Place
from gpu_rows import ROWS, Row
from gpu_sync import SAID, Counted
from gpu_tables import gpu_table
from gpu_worker import Worker

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, str(ROOT / "benchmarks/gpu.py")]


def sleep(_: Place, seconds: float) -> dict[str, float]:
    time.sleep(seconds)
    return {"slept": seconds}


def crash(_: Place) -> None:
    import os

    os._exit(9)


def refuse(_: Place) -> None:
    raise ValueError("it cannot\nbe done")


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    started = Worker(Place("cpu", True, tmp_path_factory.mktemp("scratch")))
    yield started
    started.stop()


def row(function: str, **arguments: object) -> Row:
    return Row("", f"test_gpu_rows.{function}", arguments)


@pytest.mark.slow
def test_a_row_that_hangs_crashes_or_fails_takes_no_other_with_it(worker):
    assert worker.run(Row("", "gpu_speed.matmul", {}, only_cuda=True), 60)["error"] == "needs CUDA"
    assert worker.run(row("refuse"), 60)["error"] == "ValueError: it cannot be done"
    assert worker.run(row("sleep", seconds=100), 0.2)["error"] == "no answer after 0 s"
    assert worker.run(row("sleep", seconds=0), 60)["metrics"] == {"slept": 0}
    assert worker.run(row("crash"), 60)["error"] == "the process ended with exit code 9"


FIRST = {row.function: name for name, row in reversed(ROWS.items())}
"""The first row of each function; the others differ in names of recipes, networks and methods."""
CHOSEN = [name for name in FIRST.values() if name not in ("resume", "processes_gloo")]  # as in test_training_processes
CHOSEN += [f"method_{name}" for name in ("advcam", "recam", "cda", "clims", "w_ood")]


@pytest.mark.slow
def test_a_row_of_each_kind_runs_on_a_cpu_in_small_and_leaves_a_file(tmp_path):
    words = [*PROGRAM, *CHOSEN, "--device", "cpu", "--small", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("*.json")}
    assert results.keys() == set(CHOSEN)
    for name, found in results.items():
        assert found["error"] == ("needs CUDA" if ROWS[name].only_cuda else None), name
        assert found["recipe"] not in ("", *(name for name in ROWS if name.startswith("cub")))
    same = [found["metrics"] for name, found in results.items() if name.startswith("same_")]
    assert not any(metrics["maps"] for metrics in same)
    table = gpu_table({f"gpu/{name}": found for name, found in results.items()})
    assert table.count("not run here") == len(ROWS) - len(CHOSEN)
    assert "**failed**: needs CUDA" in table


def test_numbers_of_a_cpu_are_kept_out_of_the_results():
    done = subprocess.run([*PROGRAM, "--device", "cpu"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "give another folder as --out" in done.stderr


def test_what_was_not_run_says_so():
    assert gpu_table({}).count("not run here") == len(ROWS)


def test_a_synchronization_is_counted_at_the_line_of_the_package_that_asked_for_it():
    from torchbas.data import transforms

    counted = Counted()
    with counted.listening(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "to", lambda self, *_: (warnings.warn(SAID, stacklevel=1), self.float())[1])
        transforms.standardize(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), (0.5,) * 3, (0.5,) * 3)
        warnings.warn("something else", stacklevel=1)
    assert counted.metrics["synchronizations"] == 1
    assert [place.partition(":")[0] for place in counted.places] == ["data/transforms.py"]
