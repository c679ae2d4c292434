"""The training loop in processes of its own: killed and resumed, and several of them at once."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import training_run
from safetensors.torch import load_file
from training_run import BACKGROUND, OBJECTIVE, checkpoint, draw_photos, rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return draw_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def process():
    """Runs a function in a process of its own and returns its exit code; they share nothing but the imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torchbas.inference", "torchbas.training", "torch.utils.tensorboard"])

    def run(function, *args, **kwargs):
        child = context.Process(target=function, args=args, kwargs=kwargs)
        child.start()
        child.join()
        return child.exitcode

    return run


def test_a_killed_run_ends_as_if_it_had_never_been_killed(process, samples, tmp_path):
    assert process(training_run.train, samples.root, tmp_path / "whole") == 0
    for kill_at, saved in ((5, (3, 0, 3)), (7, (6, 1, 0))):  # between two checkpoints, and after one at an epoch's end
        out = tmp_path / f"killed_{kill_at}"
        assert process(training_run.train, samples.root, out, kill_at=kill_at) == -signal.SIGKILL
        assert tuple(checkpoint(out)["state"].values()) == saved
        assert process(training_run.train, samples.root, out, resume=True) == 0
        for file in ("final.safetensors", "log.csv"):
            assert (out / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), (kill_at, file)
    assert {row["guide"] for row in rows(tmp_path / "whole")[: OBJECTIVE.classifier_steps]} == {""}


def in_two_processes(what, photos, out):
    words = ["--standalone", "--nproc-per-node", "2", training_run.__file__, what, str(photos), str(out)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


def test_recipes_of_each_kind_learn_the_same_in_two_processes(samples, tmp_path):
    """Features that are cached are computed by both, and kept as halves: F of another batch may round to the next."""
    in_two_processes("families", samples.root, tmp_path / "together")
    training_run.train_families(samples.root, tmp_path / "alone")
    for name in training_run.FAMILIES:
        ours, theirs = (load_file(tmp_path / way / name / "model.safetensors") for way in ("together", "alone"))
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_two_processes_learn_what_one_does_and_stop_together(samples, tmp_path):
    together, alone = tmp_path / "together", tmp_path / "alone"
    for folder in (together, alone):
        folder.mkdir()
    in_two_processes("together", samples.root, together)
    training_run.train_together(samples.root, alone)
    for name in ("plain", "eased", "probe"):
        ours, theirs = load_file(together / f"{name}.safetensors"), load_file(alone / f"{name}.safetensors")
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)  # sums in another order
        logged = [[float(row["total"]) for row in rows(folder / name)] for folder in (together, alone)]
        assert logged[0] == pytest.approx(logged[1], abs=1e-5)
    ours, theirs = (np.load(together / f"background_{rank}.npy") for rank in (0, 1))
    assert np.array_equal(ours, theirs)  # though their shares had other numbers of photos without a tag
    joint = rows(together / "background")[BACKGROUND.classifier_steps :]
    assert all(row[term] for row in joint for term in ("background", "guide", "suppress", "area"))
    sentences = {(together / f"stopped_{rank}.txt").read_text() for rank in (0, 1)}
    (sentence,) = sentences
    (step,) = map(int, re.findall(r"after step (\d+)", sentence))
    assert checkpoint(together / "stopped")["state"]["step"] == step < 30
