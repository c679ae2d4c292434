"""Where to compute, how to follow it, and how a trained model is opened."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..baselines.train import Baseline, is_baseline
from ..baselines.train import load as load_baseline
from ..config import Inference
from ..engine import Hooks, resolve_precision
from ..errors import InputError
from ..localize.localizer import AUTHORS, Localizer, Progress, silent
from ..model.weights import normalisation, open_authors
from ..types import Collection

Source = str | Path | Collection
SIDE, CROP = 256, 224  # of a photo in front of the authors' networks


@dataclass(frozen=True)
class Compute:
    """Where and how to compute; the same words everywhere."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    workers: int = 0
    """Processes that decode photos beside the one that computes."""
    precision: str = "auto"
    """auto (bf16 where it is faster), 32-true, bf16-mixed or 16-mixed."""

    def place(self) -> torch.device:
        """The device for inference. Raises :class:`InputError` where there is no such one."""
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        try:
            return torch.zeros(0, device=name).device
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"--device {self.device} cannot be used here; use --device cpu or auto.") from error

    def context(self) -> Callable[[], Any]:
        """What to run a network in: autocast, or nothing."""
        kind = self.place().type
        precision = resolve_precision(self.precision, kind)
        if precision == "32-true":
            return nullcontext
        return partial(torch.autocast, kind, torch.bfloat16 if precision == "bf16-mixed" else torch.float16)


@dataclass(frozen=True)
class Watch:
    """How a caller follows long work; the defaults are silent."""

    batches: Progress = silent
    opened: Callable[[int, int], None] | None = None
    hooks: Callable[[Localizer], Hooks] = field(default=lambda _: Hooks())


def load(model: str | Path) -> Localizer:
    """A trained model: a run's folder, a Hub repository ``user/name``, or the authors' ``.pth.tar``.

    The authors' files hold no class names: their classes are called ``0``, ``1``, ...
    """
    if str(model).endswith((".pth.tar", ".pth", ".pt")):
        network = open_authors(model)
        classes = tuple(str(number) for number in range(network.num_classes))
        mean, std = normalisation(network.architecture.backbone, weights=False)
        return Localizer(network, classes, mean, std, SIDE, CROP, Inference(threshold=0.1), AUTHORS)
    folder = Path(model)
    if is_baseline(folder):
        raise InputError(f"{model} holds a method to compare with, not BAS: bas eval scores it; train BAS for boxes.")
    nested = folder / "model"
    return Localizer.load(nested if (nested / "model.json").is_file() else model)


def open_any(model: str | Path) -> Localizer | Baseline:
    """A trained BAS model as :func:`load` finds it, or a trained baseline."""
    folder = Path(model)
    return load_baseline(folder) if is_baseline(folder) else load(model)
