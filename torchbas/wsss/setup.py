"""Settings of a pipeline run beside those of its stages: initial weights, and the hardware."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .cache import ProgressBar, Silent
from .segmenter.network import Initialization

Progress = Callable[[str], AbstractContextManager[ProgressBar]]
"""A progress bar for a piece of work, by its name."""


@dataclass(frozen=True)
class InitialWeights:
    """Initial weights of IRN's backbone and of the segmentation network."""

    irn: bool | Path = True
    """True fetches ImageNet weights by name, a path reads a local file, False is random."""
    segmenter: bool | Path = True
    """The same for the segmentation network."""
    initialization: Initialization = "imagenet"
    """What the segmentation network's weights were trained on; it stands in every result."""


IMAGENET = InitialWeights()
"""ImageNet's classification weights, fetched by name."""


def no_progress(_: str) -> AbstractContextManager[ProgressBar]:
    """No progress bars."""
    return nullcontext(Silent())


@dataclass(frozen=True)
class ComputeOptions:
    """Device, processes, precision and progress."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N, for the trainings."""
    inference_device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """For everything else."""
    workers: int = 0
    """Processes or threads that read photos beside the one that computes."""
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext
    """Context to run trained networks in, e.g. autocast; a training has a precision of its own."""
    batch_size: int = 8
    """Photos of equal size in one pass of a trained network."""
    progress: Progress = no_progress
