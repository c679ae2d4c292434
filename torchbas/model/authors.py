"""The authors' networks: timm's layers with the strides, pools and padding of the paper's experiments.

At 224 pixels the features F are 28x28 and the class maps 14x14 (``resnet50_wsss``: 28x28 both, at 448).
No edit changes the name or the shape of a weight.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..weight_names import PRETRAINED
from .cut import CutOptions, Extractor, create_network, stage_of
from .sequence import Layers, layers_of, split, until


@dataclass(frozen=True)
class Network:
    """Where one of the authors' networks comes from and how it is cut."""

    stages: tuple[str, ...]
    """The layer that ends stage 1, 2, ..."""
    paper: int
    """The stage after which the paper puts the generator."""
    edit: Callable[[Layers], Layers]
    bare: dict[str, Any] = field(default_factory=dict)
    """timm's options that spare the classifier, which is thrown away, when no weights are fetched for it."""
    activations: dict[str, type[nn.Module]] = field(default_factory=dict)
    """Its nonlinearity by :attr:`Architecture.activation`; empty where there is no choice."""
    timm_normalization: bool = False
    """Whether timm's weights want images normalized by timm's mean and standard deviation, not by ImageNet's."""


def recognizes(backbone: str) -> bool:
    """Whether it is one of the authors' networks."""
    return backbone in NETWORKS


def cut(backbone: str, options: CutOptions) -> Extractor:
    """The two halves, behind the paper's stage or another one."""
    plan = NETWORKS[backbone]
    last = plan.stages[stage_of(backbone, options.generator_stage, plan.paper, len(plan.stages)) - 1]
    of_timm = {} if options.pretrained else plan.bare
    if plan.activations:
        of_timm = {**of_timm, "act_layer": plan.activations[options.activation]}
    network = create_network(PRETRAINED[backbone], options, **of_timm)
    layers = plan.edit(until(plan.stages[-1], dict(layers_of(network, plan.stages))))
    channels = {info["module"]: info["num_chs"] for info in network.feature_info}
    return split(layers, last, channels[last], channels[plan.stages[-1]])


def _vgg16(layers: Layers) -> Layers:
    """As it is: pool4 opens F2, pool5 lies behind the last stage and falls away."""
    return layers


def _mobilenetv1(layers: Layers) -> Layers:
    layers["blocks.3"][0].conv_dw.stride = (1, 1)
    return layers


def _resnet50(layers: Layers) -> Layers:
    _keep_resolution(layers["layer3"])
    _keep_resolution(layers["layer4"])
    layer4 = layers.pop("layer4")
    return {**layers, "pool": nn.MaxPool2d(2), "layer4": layer4}


def _resnet50_wsss(layers: Layers) -> Layers:
    _keep_resolution(layers["layer4"])
    return layers


def _inceptionv3(layers: Layers) -> Layers:
    layers["Conv2d_1a_3x3"].conv.padding = (1, 1)
    for pool in ("Pool1", "Pool2"):
        layers[pool] = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
    layers["Mixed_6a"] = PaddedReduction(layers["Mixed_6a"], stride=1)
    layers["Mixed_7a"] = PaddedReduction(layers["Mixed_7a"], stride=2)
    return layers


def _keep_resolution(stage: nn.Sequential) -> None:
    """Stride 1 instead of 2 in a ResNet stage, without dilation."""
    first: Any = stage[0]
    first.conv2.stride = first.downsample[0].stride = (1, 1)


class PaddedReduction(nn.Module):
    """An Inception block between two resolutions whose last convolutions and pool are padded by one pixel."""

    def __init__(self, block: Any, stride: int) -> None:
        super().__init__()
        self.stride = stride
        for name, layer in block.named_children():
            self.add_module(name, layer)
            if layer.conv.stride == (2, 2):
                layer.conv.stride, layer.conv.padding = (stride, stride), (1, 1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h2 w2"]:
        branches: dict[str, Tensor] = {}
        for name, layer in self.named_children():  # branch3x3dbl_1, branch3x3dbl_2, ... are one branch
            branch = name.split("_")[0]
            branches[branch] = layer(branches.get(branch, x))
        pool = F.max_pool2d(x, kernel_size=3, stride=self.stride, padding=1)
        return torch.cat([*branches.values(), pool], dim=1)


_VGG16_CONVOLUTIONS = {1: (0, 2), 2: (5, 7), 3: (10, 12, 14), 4: (17, 19, 21), 5: (24, 26, 28)}
_MOBILENETV1_BLOCKS = (1, 2, 2, 6, 2)
_MOBILENETV1_LAYERS = {0: "conv_dw", 1: "bn1", 3: "conv_pw", 4: "bn2"}
_RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")

NETWORKS = {
    "vgg16": Network(
        stages=("features.3", "features.8", "features.15", "features.22", "features.29"),  # the five blocks' last ReLU
        paper=4,
        edit=_vgg16,
        bare={"mlp_ratio": 0.001},
    ),
    "mobilenetv1": Network(
        stages=("blocks.1", "blocks.2", "blocks.3", "blocks.4"),
        paper=3,
        edit=_mobilenetv1,
        activations={"relu": nn.ReLU, "relu6": nn.ReLU6},
        timm_normalization=True,
    ),
    "resnet50": Network(stages=_RESNET_STAGES, paper=3, edit=_resnet50),
    "inceptionv3": Network(
        stages=("Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"),
        paper=3,
        edit=_inceptionv3,
    ),
    "resnet50_wsss": Network(stages=_RESNET_STAGES, paper=3, edit=_resnet50_wsss),
}


def timm_name(name: str) -> str:
    """timm's name for a weight of the authors' VGG16 or MobileNetV1; any other name as it is."""
    layer, _, kind = name.rpartition(".")
    return f"{_TIMM_LAYERS[layer]}.{kind}" if layer in _TIMM_LAYERS else name


def _timm_layers() -> dict[str, str]:
    names = {"model.0.0": "conv_stem", "model.0.1": "bn1"}
    for block, places in _VGG16_CONVOLUTIONS.items():
        names |= {f"conv{block}_{i}": f"features.{place}" for i, place in enumerate(places, start=1)}
    blocks = [f"blocks.{stage}.{i}" for stage, count in enumerate(_MOBILENETV1_BLOCKS) for i in range(count)]
    for i, block in enumerate(blocks, start=1):
        names |= {f"model.{i}.{place}": f"{block}.{layer}" for place, layer in _MOBILENETV1_LAYERS.items()}
    return names


_TIMM_LAYERS = _timm_layers()
