"""Checkpoints of the paper's authors (``.pth.tar``), read into our network."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..config import Architecture
from ..errors import InputError
from .authors import timm_name
from .bas import BAS
from .pretrained import read_state
from .weights import fill


class AuthorsFile(NamedTuple):
    """What a released checkpoint holds."""

    family: str
    """Backbone name: vgg16, mobilenetv1, resnet50, inceptionv3 or resnet50_wsss."""
    num_classes: int
    """K."""
    state: dict[str, Tensor]
    """Weights by the authors' names."""


def read_authors(path: str | Path) -> AuthorsFile:
    """Reads a ``.pth.tar`` of the authors' training, of one GPU or several, and recognizes its network.

    Raises:
        InputError: a missing or unreadable file, or one that is no BAS checkpoint of theirs.
    """
    state = read_state(path)
    linear = "classifier_cls.weight" in state
    marks = {
        "conv1_1.weight": "vgg16",
        "model.0.0.weight": "mobilenetv1",
        "Mixed_7c.branch1x1.conv.weight": "inceptionv3",
        "layer4.0.conv1.weight": "resnet50_wsss" if linear else "resnet50",
    }
    family = next((family for mark, family in marks.items() if mark in state), None)
    maps = state.get("classifier_loc.0.weight")
    if family is None or maps is None or maps.dim() != 4 or not len(maps):
        raise InputError(
            f"{path} is no BAS checkpoint: give a file that the authors' training saved, or a folder of ours."
        )
    return AuthorsFile(family, len(maps), state)


def load_authors(model: BAS, path: str | Path) -> None:
    """Fills ``model`` from a checkpoint of the authors.

    Raises:
        InputError: a file that cannot be read, or does not hold this network.
    """
    fill(model, _ours(model, read_authors(path)), path)


def architecture_of(found: AuthorsFile) -> Architecture:
    """The architecture of a checkpoint's network."""
    linear = found.family == "resnet50_wsss"
    return Architecture(found.family, head="linear" if linear else "conv", guidance_detached=linear)


def _ours(model: BAS, found: AuthorsFile) -> dict[str, Tensor]:
    """The checkpoint's weights by our names."""
    halves = {name.split(".", 1)[1]: name for name in model.state_dict() if name.startswith(("f1.", "f2."))}
    state = {}
    for name, tensor in found.state.items():
        place, _, rest = name.partition(".")
        if place == "classifier_cls":
            ours = f"head.{rest}" if rest[:1].isdigit() else f"head.0.{rest}"
        elif place == "classifier_loc":
            ours = f"generator.conv.{rest.removeprefix('0.')}"
        else:
            ours = halves.get(timm_name(name), name)
        state[ours] = tensor
    return state
