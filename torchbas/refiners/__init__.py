"""Refiners: stages that draw what was found to the edges of its photo, one file each, in the order that the user gives.

Each takes the queries of a batch and their extents so far, and returns new extents (:mod:`~torchbas.refiners.base`).
"""

import importlib
from typing import TYPE_CHECKING

from ..config import Inference

if TYPE_CHECKING:
    import torch

    from .base import Refiner

REFINERS = {"crf": "crf.CRF", "shift": "shift.Shift", "sam2": "sam2.SAM2"}
"""Module and class of every refiner by name, imported on first use; the names are those of ``Inference.refine``."""


def load(name: str) -> "type[Refiner]":
    """The class of a refiner."""
    module, _, kind = REFINERS[name].partition(".")
    return getattr(importlib.import_module(f"{__name__}.{module}"), kind)


def stages(inference: Inference, device: "str | torch.device" = "cpu") -> "list[Refiner]":
    """The refiners that are asked for, ready to use.

    Raises:
        InputError: a package or weights that one of them needs and that cannot be had.
    """
    return [load(name)(inference.refiner_weights, device) for name in inference.refine]


def seen(inference: Inference) -> str:
    """What the weights of the refiners have learned from beside image tags, in a sentence; empty where nothing."""
    return " ".join(filter(None, (load(name).seen(inference.refiner_weights) for name in inference.refine)))
