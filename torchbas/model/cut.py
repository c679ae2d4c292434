"""What all cuts of a backbone share: the two halves, and the choices they are made by."""

from typing import Any, NamedTuple

import timm
from torch import nn

from ..errors import InputError


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


def stage_of(backbone: str, generator_stage: int | None, default: int, stages: int) -> int:
    """The stage that the generator follows, one of ``stages``."""
    if generator_stage is None:
        return default
    if not 1 <= generator_stage <= stages:
        raise InputError(f"{backbone} has no stage {generator_stage} to put the generator after: choose 1 to {stages}.")
    return generator_stage


def create_network(name: str, pretrained: bool, **options: Any) -> Any:
    """A network of timm."""
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise InputError(
            f"The pretrained weights {name} cannot be fetched: give a file with --weights FILE, "
            "or start from scratch with --weights none."
        ) from error
