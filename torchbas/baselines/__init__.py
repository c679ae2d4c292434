"""The methods BAS is compared or combined with, each one small file on the same network, data and training.

A baseline of FPM methods (FAM, ORNet) that learn a foreground map from cross-entropy alone is BAS itself without
L_bas, ``Objective(suppression=0)``: nothing to build here.
"""

import difflib
from pathlib import Path
from typing import Any

from ..config import Architecture
from ..errors import InputError
from .acol import ACoL
from .adl import ADL
from .advcam import AdvCAM
from .cam import CAM
from .cda import CDA
from .classifier import Classifier, Looked, Normalisation
from .clims import CLIMS
from .cutmix import CutMix
from .gradcam import GradCAM, LayerCAM
from .has import HaS
from .irn import IRN
from .recam import ReCAM
from .spg import SPG
from .wood import WOoD

__all__ = ["METHODS", "Classifier", "Looked", "build"]

METHODS: dict[str, type[Classifier]] = {
    "cam": CAM,
    "gradcam": GradCAM,
    "layercam": LayerCAM,
    "has": HaS,
    "acol": ACoL,
    "adl": ADL,
    "cutmix": CutMix,
    "spg": SPG,
    "irn": IRN,
    "recam": ReCAM,
    "advcam": AdvCAM,
    "cda": CDA,
    "clims": CLIMS,
    "wood": WOoD,
}


def build(
    method: str,
    architecture: Architecture,
    num_classes: int,
    weights: bool | str | Path,
    normalisation: Normalisation,
    **options: Any,
) -> Classifier:
    """A method by name on a network by its architecture.

    Args:
        weights: False random, True the pretrained ones by name, or a local file.
        normalisation: mean and standard deviation per channel that go with these weights.
        options: the method's own arguments.

    Raises:
        InputError: an unknown method; weights that cannot be had or do not fit.
    """
    if method not in METHODS:
        close = difflib.get_close_matches(method, METHODS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose {', '.join(METHODS)}."
        raise InputError(f'There is no baseline "{method}": {hint}')
    return METHODS[method].from_architecture(architecture, num_classes, weights, normalisation, **options)
