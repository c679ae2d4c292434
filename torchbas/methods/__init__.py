"""Weakly supervised localization methods: BAS and those it is compared or combined with, one file each, on the same
network, data and training.

Foreground prediction map (FPM) methods trained by cross-entropy alone (FAM, ORNet) are BAS without L_bas,
``Objective(suppression=0)``.
"""

import difflib
import importlib
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from .base import Method

METHODS = {
    "bas": "bas.BASMethod",
    "cam": "cam.CAM",
    "gradcam": "gradcam.GradCAM",
    "layercam": "gradcam.LayerCAM",
    "score_cam": "score_cam.ScoreCAM",
    "has": "has.HaS",
    "acol": "acol.ACoL",
    "adl": "adl.ADL",
    "cutmix": "cutmix.CutMix",
    "spg": "spg.SPG",
    "irn": "irn.IRN",
    "recam": "recam.ReCAM",
    "advcam": "advcam.AdvCAM",
    "cda": "cda.CDA",
    "clims": "clims.CLIMS",
    "w_ood": "w_ood.WOoD",
    "trilite": "trilite.TriLite",
    "sat": "sat.SAT",
}
"""Module and class of every method by name, imported on first use."""


def load(name: str) -> "type[Method]":
    """The class of a method.

    Raises:
        InputError: an unknown name.
    """
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose {', '.join(METHODS)}."
        raise InputError(f'There is no method "{name}": {hint}')
    module, _, kind = METHODS[name].partition(".")
    return getattr(importlib.import_module(f"{__name__}.{module}"), kind)
