"""Device and precision, progress, and the loading of trained models."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..cards import run_folder
from ..config import Inference
from ..data import Unreadable
from ..errors import InputError
from ..inference.localizer import AUTHORS, Localizer, Progress, silent
from ..methods.bas import BASMethod
from ..model.checkpoints import architecture_of, load_authors, read_authors
from ..model.weights import normalization
from ..structures import Dataset
from ..training.fabric import resolve_precision
from ..training.loop import Hooks

Source = str | Path | Dataset
RESIZE, CROP = 256, 224
"""Sides in pixels of the squeezed photo and of its center crop, of the authors' networks."""


@dataclass(frozen=True)
class Compute:
    """Device, precision and worker processes."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    workers: int = 0
    """Processes that decode photos beside the one that computes."""
    precision: str = "auto"
    """auto (bf16 where it is faster), 32-true, bf16-mixed or 16-mixed."""
    feature_cache: Path | None = None
    """Folder where a training keeps the features of a network that is not trained, for the next on the same photos."""

    def place(self) -> torch.device:
        """Device of inference.

        Raises:
            InputError: it is not available.
        """
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        try:
            return torch.zeros(0, device=name).device
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"--device {self.device} cannot be used here; use --device cpu or auto.") from error

    def context(self) -> Callable[[], Any]:
        """Makes the context manager of a forward pass: autocast, or none for 32-true."""
        kind = self.place().type
        precision = resolve_precision(self.precision, kind)
        if precision == "32-true":
            return nullcontext
        return partial(torch.autocast, kind, torch.bfloat16 if precision == "bf16-mixed" else torch.float16)


@dataclass(frozen=True)
class Watch:
    """Progress callbacks; none by default."""

    batches: Progress = silent
    """Receives the batches of a pass and their number, and passes them on."""
    opened: Callable[[int, int], None] | None = None
    """Called with the number of photos opened so far, and of all."""
    hooks: Callable[[Localizer], Hooks] = field(default=lambda _: Hooks())
    """Makes the hooks of the training loop from the untrained model."""
    unreadable: Unreadable | None = None
    """Told of photos that cannot be read any more while training or localizing, which go on without them; where it is
    None that is an error."""


def load(model: str | Path) -> Localizer:
    """Trained model from a run's folder, a Hub repository ``user/name``, or an authors' ``.pth.tar``.

    The authors' files have no class names: their classes are called ``0``, ``1``, ...

    Raises:
        InputError: no model there, or a damaged one.
    """
    if str(model).endswith((".pth.tar", ".pth", ".pt")):
        found = read_authors(model)
        architecture = architecture_of(found)
        network = BASMethod.build(
            architecture, found.num_classes, False, normalization(architecture.backbone, weights=False)
        )
        load_authors(network, model)
        classes = tuple(str(number) for number in range(network.num_classes))
        return Localizer(network, classes, RESIZE, CROP, Inference(threshold=0.1), AUTHORS)
    folder = run_folder(model)
    return Localizer.load(folder if folder.is_dir() else model)
