"""Trainings in processes of their own: killed and resumed, two on one device, under torchrun.

As a script it is one of several processes: gpu_processes.py DEVICE BACKEND PHOTOS FOLDER SMALL
"""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from gpu_learn import FEW, losses
from gpu_place import Failed, Place
from safetensors.torch import load_file

from torchbas import api, data, recipes
from torchbas.api import Compute
from torchbas.config import Recipe
from torchbas.data import training_loader
from torchbas.methods.base import Method
from torchbas.structures import Dataset
from torchbas.training.checkpoint import CHECKPOINT
from torchbas.training.loop import fit
from torchbas.training.train import Trainee

BAS = "import sys; from torchbas.cli import main; sys.exit(main())"
STEPS, EVERY = 80, 20
"""Steps of the run that is killed, and between its checkpoints."""
PATIENCE = 60.0
"""Seconds that a process may take on a GPU; three times as many on a CPU."""
FARTHER, NEAR = 10, 1e-5
"""How many times farther a resumed run may be from an undisturbed one than two undisturbed ones are apart, or what."""
REFUSAL = "Duplicate GPU"
"""What NCCL says of two processes on one device."""
TOGETHER = 1e-3
"""Largest difference of weights of two processes and of one that is summation in another order."""


def settings(place: Place) -> dict[str, Any]:
    """Of a short training of every layer, in the words of :func:`torchbas.api.train`."""
    own = {
        "backbone": place.backbone("mobilenetv1"),
        "steps": STEPS,
        "save_every": EVERY,
        "classifier_steps": 5,
        "batch_size": 16,
    }
    small = {**FEW, "steps": 12, "save_every": 3}
    return own | (small if place.small else {}) | {"precision": "32-true"}


def train(place: Place, samples: Dataset, out: Path, *, resume: bool = False) -> None:
    """That training, in this process."""
    how = {"recipe": "small", "weights": False, "compute": Compute(place.device)}
    api.train(samples, out, resume=resume, **how, **settings(place))


def words(place: Place, samples: Path, out: Path) -> list[str]:
    """The same as a command, without weights of others."""
    flags = [word for name, value in settings(place).items() for word in (f"--{name.replace('_', '-')}", f"{value}")]
    given = ["--weights", "none", "--device", place.device, "--quiet"]
    return ["train", str(samples), "--out", str(out), "--recipe", "small", *flags, *given]


def resume(place: Place) -> dict[str, float]:
    """How far the weights of a run that was killed and resumed are from those of an undisturbed one, and how far two
    undisturbed ones are apart: largest difference over the largest weight; 0 is bit-equal.

    Raises:
        Failed: the resumed one is much farther.
    """
    samples = place.photos()
    runs = {name: place.folder / f"resume_{name}" for name in ("first", "second", "killed")}
    for name in ("first", "second"):
        train(place, samples, runs[name])
    command = [sys.executable, "-c", BAS, *words(place, samples.root, runs["killed"])]
    done = killed(command, runs["killed"], 2 * settings(place)["save_every"], patience(place))
    train(place, samples, runs["killed"], resume=True)
    first, second, last = (load_file(out / "model.safetensors") for out in runs.values())
    metrics = {"killed_after_step": done, "resumed": apart(first, last), "undisturbed": apart(first, second)}
    if metrics["resumed"] > max(FARTHER * metrics["undisturbed"], NEAR):
        raise Failed("the resumed run is farther off than two undisturbed ones are apart", metrics)
    return metrics


def killed(command: Sequence[str], out: Path, step: int, patience: float) -> int:
    """End a training without a warning when its log has this step; the step it had reached.

    Raises:
        AssertionError: it ends before, or takes too long.
    """
    process, deadline = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True), 0.0
    try:
        deadline = time.monotonic() + patience
        while logged(out) < step or not (out / CHECKPOINT).is_file():
            assert process.poll() is None, f"it ended before it was killed: {process.communicate()[1][-200:]}"
            assert time.monotonic() < deadline, "it does not come to the step at which it is to be killed"
            time.sleep(0.01)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    return logged(out)


def logged(out: Path) -> int:
    """The last step in a run's log; 0 without one."""
    try:
        with (out / "log.csv").open(newline="") as file:
            return max((int(row["step"]) for row in csv.DictReader(file)), default=0)
    except (OSError, ValueError, TypeError):
        return 0


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Largest difference of two networks' weights over the largest weight."""
    largest = max(float(tensor.abs().max()) for tensor in one.values() if tensor.is_floating_point())
    pairs = [(tensor, other[name]) for name, tensor in one.items() if tensor.is_floating_point()]
    return float(f"{max(float((a - b).abs().max()) for a, b in pairs) / largest:.2g}")


def finish(command: Sequence[str], patience: float) -> None:
    """Run a command to its end.

    Raises:
        RuntimeError: it fails, with what it said, or does not end.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        said = process.communicate(timeout=patience)[1]
    except subprocess.TimeoutExpired as error:
        process.terminate()  # torchrun then ends its processes, which are in sessions of their own
        try:
            process.communicate(timeout=15)
        finally:
            process.kill()
        raise RuntimeError(f"no end after {patience:.0f} s") from error
    if process.returncode:
        lines = [line.strip() for line in said.splitlines() if "Error" in line or REFUSAL in line]
        lines.sort(key=lambda line: REFUSAL not in line)
        raise RuntimeError(" ".join([f"exit code {process.returncode}:", *(lines[:2] or said.split()[-30:])]))


def patience(place: Place) -> float:
    """Seconds that a process may take."""
    return PATIENCE if place.on_gpu else 3 * PATIENCE


def launched(processes: int, command: Sequence[str]) -> list[str]:
    """A script under torchrun."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *command]


def torchrun(place: Place) -> dict[str, float]:
    """`bas train` as one process of torchrun, which talks by NCCL on a GPU."""
    out, script = place.folder / "torchrun", place.folder / "bas.py"
    script.write_text(BAS)
    finish(launched(1, [str(script), *words(place, place.photos().root, out)]), patience(place))
    return losses(out)


def together(place: Place, by: str) -> dict[str, float]:
    """Largest difference of weights that two processes on one device learn and one alone, over the largest weight; or
    that the backend refuses one device for two.

    Raises:
        Failed: they learn something else.
    """
    both, alone = place.folder / f"both_{by}", place.folder / f"alone_{by}"
    words = [place.device, by, str(place.photos().root)]
    try:
        finish(launched(2, [__file__, *words, str(both), str(int(place.small))]), patience(place))
    except RuntimeError as error:
        if REFUSAL in str(error):
            return {"refused": 1}
        raise
    learn(place, by, place.photos(), alone)
    metrics = {"apart": apart(*(torch.load(out / "weights.pt", weights_only=True) for out in (both, alone)))}
    metrics |= losses(both)
    if metrics["apart"] > TOGETHER:
        raise Failed("two processes learn something else than one", metrics)
    return metrics


def main() -> None:
    device, backend, photos, out, small = sys.argv[1:]
    learn(Place(device, small == "1", Path(out)), backend, data.read(photos), Path(out))


def learn(place: Place, backend: str, samples: Dataset, out: Path) -> None:
    """A few steps of BAS without BatchNorm, of which each process would have its own."""
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    several = torch.distributed.is_torchelastic_launched()
    here = torch.device("cuda", 0) if place.on_gpu else torch.device("cpu")
    more: dict[str, Any] = {"accelerator": here.type, "devices": 1}
    if several:
        count = int(os.environ["WORLD_SIZE"])
        how: dict[str, Any] = {"process_group_backend": backend, "timeout": timedelta(seconds=patience(place) / 2)}
        more = {"strategy": DDPStrategy(parallel_devices=[here] * count, **how)}
    fabric = Fabric(precision="32-true", **more)
    fabric.launch()
    chosen = _recipe(place)
    samples, training = samples.only("train"), chosen.training
    fabric.seed_everything(0, verbose=False)
    network = _network(chosen, len(samples.classes)).to(fabric.device)
    share: dict[str, Any] = {"rank": fabric.global_rank, "world_size": fabric.world_size}
    loader = training_loader(samples, training.batch_size, 0, training.resize, training.crop, **share)
    fit(fabric, Trainee(network), loader, training, out)
    if fabric.is_global_zero:
        torch.save({name: tensor.cpu() for name, tensor in network.state_dict().items()}, out / "weights.pt")
    if several:
        torch.distributed.destroy_process_group()


def _recipe(place: Place) -> Recipe:
    """VGG16 has no BatchNorm, so two processes learn what one does."""
    base = recipes.with_settings(recipes.load("cub_vgg16"), {"hidden": 64})
    training = replace(base.training, steps=4, batch_size=8, precision="32-true")
    if place.small:
        training = replace(training, **{**FEW, "batch_size": 2})
    return replace(base, training=training)


def _network(chosen: Recipe, classes: int) -> Method:
    from torchbas.methods.bas import BASMethod

    colors = ((0.5,) * 3, (0.25,) * 3)
    return BASMethod.build(chosen.architecture, classes, False, colors, chosen.options)


if __name__ == "__main__":
    main()
