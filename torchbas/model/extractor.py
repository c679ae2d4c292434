"""Extractor: a classification network cut in two, F1 before the generator and F2's trunk behind it (Fig. 2)."""

import difflib
from pathlib import Path

import timm

from ..config import Architecture
from ..errors import InputError
from . import authors, sequence, tokens
from .authors import NETWORKS
from .cut import CutOptions
from .cut import Extractor as Extractor
from .pretrained import load_backbone

CUTS = (authors, tokens, sequence)
"""Modules with ``recognizes(backbone)`` and ``cut(backbone, options)``; the first that recognizes a network cuts it."""


def build_extractor(
    backbone: str,
    *,
    generator_stage: int | None = None,
    activation: str = "relu",
    weights: bool | str | Path = False,
    flag: str = "--weights",
) -> Extractor:
    """Cuts a network behind stage ``generator_stage`` (1, 2, ...; the paper's place when None).

    Stages: VGG16's five blocks; layer1 to layer4 of a ResNet; in any other CNN the layers that end stride 4, 8, 16, 32;
    in a transformer every block. ``vgg16``, ``mobilenetv1``, ``resnet50`` and ``inceptionv3`` have the authors' strides
    (F 28x28, F2's output 14x14 at 224 pixels), ``resnet50_wsss`` those of their segmentation code (28x28 both at 448).
    Every other timm name keeps its own strides and is cut behind its last but one stage, a transformer behind three
    quarters of its blocks.

    Args:
        activation: of MobileNetV1, ``relu`` (the authors) or ``relu6``.
        weights: False for random ones, True for timm's pretrained weights, or a local file.
        flag: by which a user gives such a file, for the sentence of an error.

    Raises:
        InputError: an unknown name, a stage that does not exist, weights that cannot be had or do not fit.
    """
    _check_name(backbone)
    kind = next(kind for kind in CUTS if kind.recognizes(backbone))
    extractor = kind.cut(backbone, CutOptions(generator_stage, activation, weights is True, flag))
    if not isinstance(weights, bool):
        load_backbone(extractor.f1, extractor.f2, weights)
    return extractor


def extractor_of(architecture: Architecture, weights: bool | str | Path = False) -> Extractor:
    """The two halves that an architecture describes, see :func:`build_extractor`."""
    return build_extractor(
        architecture.backbone,
        generator_stage=architecture.generator_stage,
        activation=architecture.activation,
        weights=weights,
    )


def _check_name(backbone: str) -> None:
    known = [*NETWORKS, *timm.list_models(), *timm.list_pretrained()]
    if backbone not in known:
        close = difflib.get_close_matches(backbone, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"choose {', '.join(NETWORKS)} or any timm name."
        raise InputError(f'There is no backbone "{backbone}": {hint}')
