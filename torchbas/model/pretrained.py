"""Pretrained: a trunk's weights from a local file, checked by name and shape."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..data.arrays import DAMAGED
from ..data.tensors import load_tensors
from ..errors import InputError
from .authors import timm_name

State = dict[str, Tensor]
LARGEST = 2**28
"""Numbers of a tensor; the largest layer of the authors' networks, of 22,000 classes, has fewer."""

_LATE_INCEPTION = {"Mixed_7b", "Mixed_7c"}
_FAMILIES = {
    "features": "a VGG or DenseNet",
    "conv_stem": "an EfficientNet or MobileNet",
    "layer4": "a ResNet",
    "Mixed_5b": "an InceptionV3",
    "stages": "a ConvNeXt",
    "patch_embed": "a vision transformer",
}


def load_backbone(f1: nn.Module, f2: nn.Module, path: str | Path) -> None:
    """Fills both halves of a network from ``path`` (.safetensors, or torch's .pth and .pt).

    Names may be timm's, torchvision's where timm kept them (VGG, ResNet, InceptionV3), or ``model.0.0`` to
    ``model.13.4`` for MobileNetV1; classifiers in the file are passed over. An InceptionV3 may end at Mixed_7a.

    Raises:
        InputError: a missing or unreadable file, or one that does not hold this network.
    """
    state = {timm_name(name): tensor for name, tensor in read_state(path).items()}
    own = [(name.removeprefix("network."), weight) for half in (f1, f2) for name, weight in half.state_dict().items()]
    missing = [name for name, _ in own if name not in state and not name.endswith("num_batches_tracked")]
    if {_place(name) for name in missing} == _LATE_INCEPTION:
        logging.getLogger(__name__).warning("%s ends at Mixed_7a: Mixed_7b and Mixed_7c start at random.", path)
        missing = []
    names, places = {name for name, _ in own}, {_place(name) for name, _ in own}
    foreign = [name for name in state if name not in names and _place(name) in places]
    misfits = [name for name, weight in own if name in state and state[name].shape != weight.shape]
    for fault, what in ((missing, "lacks"), (misfits, "has other shapes of"), (foreign, "has more than that:")):
        if fault:
            raise InputError(f"{path} is not this network: it {what} {_some(fault)}; {_likeness(state)}.")
    for name, weight in own:
        if name in state:
            weight.copy_(state[name])


def read_state(path: str | Path) -> State:
    """The tensors of a file by name, in float32, without the wrappings that training scripts add.

    Raises:
        InputError: a missing or unreadable file, or one that holds no tensors by name, or what is no number.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"The weights {path} do not exist: check the path.")
    try:
        loaded = load_file(path) if path.suffix == ".safetensors" else load_tensors(path)
    except (*DAMAGED, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as weights: save its state_dict alone, or as safetensors.") from error
    for key in ("model", "state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    tensors = loaded.items() if isinstance(loaded, dict) else ()
    state = {str(name).removeprefix("module."): value for name, value in tensors if isinstance(value, Tensor)}
    if not state:
        raise InputError(f"{path} holds no weights by name: save the state_dict of the network.")
    foreign = (name for name, value in state.items() if not _is_plain(value))
    if name := next(foreign, "") or not_finite(state):
        raise InputError(f"{path} cannot be read as weights, {name} holds what is no real number: train or save again.")
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def not_finite(state: Mapping[str, Tensor]) -> str:
    """Name of the first of the tensors that holds NaN or infinity; empty where there is none."""
    floating = ((name, tensor) for name, tensor in state.items() if tensor.is_floating_point())
    return next((name for name, tensor in floating if not torch.isfinite(tensor.float()).all()), "")


def _is_plain(value: Tensor) -> bool:
    """Whether it is dense, real and there; a file may also name tensors larger than what it stores."""
    there = value.layout == torch.strided and not value.is_meta and not value.is_quantized and not value.is_complex()
    return there and value.numel() <= LARGEST


def _place(name: str) -> str:
    return name.split(".")[0]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _likeness(state: State) -> str:
    places = {_place(name) for name in state}
    family = next((family for place, family in _FAMILIES.items() if place in places), None)
    return f"it looks like {family}" if family else f"its names begin with {_some(list(state))}"
