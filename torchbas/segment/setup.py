"""What a run of the pipeline is given besides photos: weights to start from, a machine, and how its networks learn."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ..config import Precision, Segmentation, Training
from .segmenter import Initialisation
from .stage import Bar, Silent
from .student import TRAINING

Follow = Callable[[str], AbstractContextManager[Bar]]


@dataclass(frozen=True)
class Start:
    """Pretrained weights of IRN and the student."""

    irn: bool | Path = True
    """True fetches ImageNet weights by name, a path reads a local file, False starts from nothing."""
    student: bool | Path = True
    """The same for the student."""
    initialisation: Initialisation = "imagenet"
    """What the student's weights have learned from; it stands in every result."""


@dataclass(frozen=True)
class Machine:
    """Where and how to compute, and who is told."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N, for training."""
    place: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """For everything else."""
    workers: int = 0
    training: Precision = "auto"
    """Precision of the trainings."""
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext
    """The same for everything else, as a context."""
    batch_size: int = 8
    follow: Follow = lambda _: nullcontext(Silent())
    """A progress bar for a piece of work, by its name."""


def irn_training(settings: Segmentation, seed: int, precision: Precision = "auto") -> Training:
    """IRN's optimiser and schedule, and what the settings say."""
    return Training(
        epochs=settings.irn_epochs,
        steps=settings.irn_steps,
        batch_size=settings.irn_batch_size,
        lr=settings.irn_lr,
        bias_factor=1.0,
        momentum=0.0,  # IRN's optimiser takes its weight decay for a momentum, and so has next to none
        nesterov=False,
        weight_decay=1e-4,
        schedule="poly",
        resize=settings.irn_crop,
        crop=settings.irn_crop,
        precision=precision,
        seed=seed,
    )


def student_training(settings: Segmentation, seed: int, precision: Precision = "auto") -> Training:
    """The student's optimiser and schedule, and what the settings say."""
    return replace(
        TRAINING,
        steps=settings.student_steps,
        batch_size=settings.student_batch_size,
        accumulate=1,
        lr=settings.student_lr,
        resize=settings.student_crop,
        crop=settings.student_crop,
        precision=precision,
        seed=seed,
    )
