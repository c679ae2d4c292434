"""Initial weights of a segmentation network's trunk, from files with the names of several libraries."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import timm
from torch import Tensor, nn

from ...errors import InputError
from ...model.hub import fetching
from ...model.pretrained import read_state
from ...weight_names import trunk_of
from .deeplab import Style


class TrunkWeights(NamedTuple):
    """Weights of a trunk, by torchvision's names."""

    style: Style
    """Which the names in the file tell: MSRA's are caffe's."""
    state: dict[str, Tensor]
    dense: bool
    """The file also holds a classifier of pixels, so it was trained on pixel labels."""


def read_trunk(path: str | Path) -> TrunkWeights:
    """Read a ResNet by torchvision's names, or a ResNet or DeepLab by those of kazuto1011's deeplab-pytorch.

    Classifiers are passed over, whether of images or of pixels.

    Raises:
        InputError: a missing or unreadable file.
    """
    loaded = {re.sub(r"^(base|scale)\.", "", name): tensor for name, tensor in read_state(path).items()}
    style: Style = "caffe" if any(".reduce.conv." in name for name in loaded) else "torchvision"
    heads = {name: tensor for name, tensor in loaded.items() if name.startswith(("fc.", "aspp.", "classifier."))}
    state = {_torchvision_name(name): tensor for name, tensor in loaded.items() if name not in heads}
    return TrunkWeights(style, state, any(tensor.dim() == 4 for tensor in heads.values()))


def fetch_trunk(network: str) -> TrunkWeights:
    """ImageNet weights of a network's trunk, by timm: torchvision's of a ResNet, the default ones of an encoder.

    Raises:
        InputError: there are none by that name, or they cannot be fetched.
    """
    name = trunk_of(network)
    if not timm.is_model(name.partition(".")[0]):  # timm would look for an address or a folder of that name
        raise InputError(f"There is no network {name} for the segmenter {network}: give the name of one of timm's.")
    with fetching(name, "--segmenter-weights"):
        state = timm.create_model(name, pretrained=True).state_dict()
    trunk = {key: tensor for key, tensor in state.items() if not key.startswith(("fc.", "head.", "classifier."))}
    return TrunkWeights("torchvision", trunk, dense=False)


_PARTS = {"reduce": ("conv1", "bn1"), "conv3x3": ("conv2", "bn2"), "increase": ("conv3", "bn3")}
_PARTS |= dict.fromkeys(("shortcut", "proj"), ("downsample.0", "downsample.1"))


def _torchvision_name(name: str) -> str:
    """torchvision's name of a weight of MSRA's ResNet, where layer1 is the first convolution; others unchanged."""
    if first := re.fullmatch(r"layer1\.conv1\.(conv|bn)\.(\w+)", name):
        return f"{first[1]}1.{first[2]}"
    if block := re.fullmatch(rf"layer(\d)\.block(\d+)\.({'|'.join(_PARTS)})\.(conv|bn)\.(\w+)", name):
        part = _PARTS[block[3]][block[4] == "bn"]
        return f"layer{int(block[1]) - 1}.{int(block[2]) - 1}.{part}.{block[5]}"
    return name


def fill_trunk(trunk: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Copy weights into ``trunk`` by name; what belongs to none of its parts is passed over.

    Raises:
        InputError: the weights of another network: one is missing, has another shape, or is one block too many.
    """
    own = {_key(name): tensor for name, tensor in trunk.state_dict().items()}
    given = {_key(name): tensor for name, tensor in state.items()}
    places = {key.split(".")[0] for key in own}
    wrong = [key for key in own.keys() - given.keys() if not key.endswith("num.batches.tracked")]
    wrong += [key for key in given.keys() - own.keys() if key.split(".")[0] in places]
    wrong += [key for key in own.keys() & given.keys() if own[key].shape != given[key].shape]
    if wrong:
        raise InputError(f"{path} is not this network ({min(wrong)} does not fit): choose the one it was saved from.")
    for key in own.keys() & given.keys():
        own[key].copy_(given[key])


def _key(name: str) -> str:
    """One name for a weight, wherever its network lay, and whether or not its sequence was opened (``stages_0``)."""
    return re.sub(r"^(encoder|model)\.", "", name).replace("_", ".")
