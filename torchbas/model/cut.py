"""What all cuts of a backbone share: the two halves, and the choices they are made by."""

from typing import Any, NamedTuple

import timm
from torch import nn

from ..errors import InputError
from .hub import fetching


class Extractor(NamedTuple):
    """The two halves; neither keeps anything of the original classifier."""

    f1: nn.Module
    """F1: images (B 3 H W) to features F (B C h w)."""
    f2: nn.Module
    """F2 without the class head: F, whole or with the foreground masked, to (B C' h' w')."""
    f1_channels: int
    """C."""
    f2_channels: int
    """C'."""


class CutOptions(NamedTuple):
    """Where and how to cut, see :func:`~torchbas.model.extractor.build_extractor`."""

    generator_stage: int | None
    activation: str
    pretrained: bool
    """Whether to fetch timm's weights."""
    flag: str = "--weights"
    """Flag by which a user gives a file in their place."""


def stage_of(backbone: str, generator_stage: int | None, default: int, stages: int) -> int:
    """The stage that the generator follows, one of ``stages``."""
    if generator_stage is None:
        return default
    if not 1 <= generator_stage <= stages:
        raise InputError(f"{backbone} has no stage {generator_stage} to put the generator after: choose 1 to {stages}.")
    return generator_stage


def create_network(name: str, options: CutOptions, **more: Any) -> Any:
    """A network of timm; ``more`` are timm's own options."""
    if not options.pretrained:
        return timm.create_model(name, **more)
    with fetching(name, options.flag):
        return timm.create_model(name, pretrained=True, **more)
