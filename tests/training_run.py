"""A small, real training for test_training_processes.py to run in processes: killed, resumed, under torchrun."""

import csv
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import torchbas as tb
from torchbas.config import Architecture, Objective, Training
from torchbas.data import training_loader
from torchbas.errors import Interrupted
from torchbas.methods.bas import BASMethod
from torchbas.model.extractor import Extractor
from torchbas.structures import Dataset, Sample
from torchbas.training.checkpoint import CHECKPOINT
from torchbas.training.fabric import make_fabric
from torchbas.training.loop import Hooks, fit
from torchbas.training.train import Trainee

TRAINING = Training(epochs=2, batch_size=2, lr=0.01, resize=40, crop=36, save_every=3, precision="32-true")
"""Twelve photos: six steps an epoch, a checkpoint in the middle of an epoch and one at its end."""
OBJECTIVE = Objective(classifier_steps=4)
BACKGROUND = Objective(classifier_steps=2, background_class=True)
PROBE = Objective(classifier="probe", fill="mean", background_class=True, bas_target=0.5, ratio_cap=None)
NORMALIZATION = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def checkpoint(out: Path) -> dict:
    """What a run has saved so far."""
    return torch.load(out / CHECKPOINT, weights_only=True)


def rows(out: Path) -> list[dict[str, str]]:
    """What a run has logged."""
    with (out / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def draw_photos(folder: Path) -> Dataset:
    """Twelve photos of noise, on each a patch of one of three textures; those already there are kept."""
    rng = np.random.default_rng(0)
    textures = [np.indices((10, 10))[0] % 2, np.indices((10, 10))[1] % 2, np.indices((10, 10)).sum(0) // 2 % 2]
    samples = []
    for number in range(12):
        pixels, (y, x) = rng.integers(90, 160, (20, 20, 3)), rng.integers(0, 10, 2)
        pixels[y : y + 10, x : x + 10] = 255 * textures[number % 3][..., None]
        path = folder / f"{number}.png"
        if not path.exists():
            Image.fromarray(pixels.astype(np.uint8)).save(path)
        samples.append(Sample(path, path.name, labels=(number % 3,)))
    return Dataset(folder, ("rows", "columns", "steps"), tuple(samples))


def without_tags(dataset: Dataset) -> Dataset:
    """The photos with every second tag taken away."""
    samples = (replace(one, labels=one.labels[: i % 2]) for i, one in enumerate(dataset.samples))
    return replace(dataset, samples=tuple(samples))


def make_task(objective: Objective = OBJECTIVE, *, batch_norm: bool = True, head: str = "conv") -> Trainee:
    """A BAS network of three classes; with BatchNorm it also has dropout, which a resumed run must draw alike."""
    torch.manual_seed(0)
    norm, drop = (nn.BatchNorm2d, nn.Dropout) if batch_norm else (nn.Identity, nn.Identity)
    f1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), norm(8), nn.ReLU())
    f2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), norm(16), nn.ReLU(), drop(0.2))
    return Trainee(BASMethod(Extractor(f1, f2, 8, 16), 3, Architecture(hidden=16, head=head), NORMALIZATION, objective))


def train(folder: Path, out: Path, *, resume: bool = False, kill_at: int | None = None) -> None:
    """Train to the end and write ``final.safetensors``, or be killed on the way without a warning."""

    def die(_: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    task = make_task()
    loader = training_loader(draw_photos(folder), TRAINING.batch_size, TRAINING.seed, TRAINING.resize, TRAINING.crop)
    hooks = Hooks(every={kill_at: die} if kill_at else {})
    fit(make_fabric("cpu", TRAINING.precision), task, loader, TRAINING, out, resume=resume, hooks=hooks)
    save_file(task.state_dict(), out / "final.safetensors")


def train_together(folder: Path, out: Path) -> None:
    """Alone or as one of several processes: three steps of two objectives, then a run that one process stops."""
    fabric = make_fabric("cpu", "32-true", unused_parameters=True)
    samples, training = draw_photos(folder), replace(TRAINING, batch_size=4, steps=3)

    def loader(dataset=samples):
        share = {"rank": fabric.global_rank, "world_size": fabric.world_size}
        return training_loader(dataset, training.batch_size, 0, training.resize, training.crop, **share)

    for name, objective in (("plain", Objective()), ("eased", Objective(classifier_steps=2))):
        task = make_task(objective, batch_norm=False)
        fit(fabric, task, loader(), training, out / name)
        if fabric.is_global_zero:
            save_file(task.state_dict(), out / f"{name}.safetensors")

    task = make_task(PROBE, batch_norm=False, head="linear")
    task.network.freeze_f1()
    task.network.setup(samples, training)
    task.network.fit_first(training_loader(samples, 4, 0, training.resize, training.crop))
    fit(fabric, task, loader(), training, out / "probe")
    if fabric.is_global_zero:
        save_file(task.state_dict(), out / "probe.safetensors")

    half = without_tags(samples)
    task = make_task(BACKGROUND, batch_norm=False)
    task.network.setup(half, training)
    fit(fabric, task, loader(half), replace(training, steps=9), out / "background")
    weights = torch.cat([parameter.flatten() for parameter in task.parameters()])
    np.save(out / f"background_{fabric.global_rank}.npy", weights.detach().numpy())

    def stop(_: int) -> None:
        if fabric.global_rank == fabric.world_size - 1:
            signal.raise_signal(signal.SIGTERM)

    try:
        fit(
            fabric,
            make_task(batch_norm=False),
            loader(),
            replace(training, steps=30),
            out / "stopped",
            hooks=Hooks(every={4: stop}),
        )
    except Interrupted as stopped:
        (out / f"stopped_{fabric.global_rank}.txt").write_text(str(stopped))


FAMILIES = {
    "quick": {"backbone": "test_resnet"},
    "quick_segment": {"backbone": "test_resnet"},
    "cub_resnet50": {"backbone": "test_convnext"},  # without BatchNorm, which on CPUs each process has of its own
    "voc_resnet50": {"backbone": "test_convnext"},
}
"""Recipes, and networks from which they can learn here."""


def train_families(folder: Path, out: Path) -> None:
    """Alone or as one of several processes: some steps by a recipe of each kind, from files to a saved model."""
    size = {"resize": 40, "crop": 36, "steps": 6, "batch_size": 4, "precision": "32-true"}
    for name, changes in FAMILIES.items():
        tb.train(draw_photos(folder), out / name, recipe=name, weights=False, **size, **changes)


if __name__ == "__main__":
    {"together": train_together, "families": train_families}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
