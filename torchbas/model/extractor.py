"""Extractor: a classification network cut in two, F1 before the generator and F2's trunk behind it (Fig. 2)."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from torch import nn

from ..config import Architecture
from ..errors import InputError
from .authors import NETWORKS, Layers
from .pretrained import load_backbone
from .tokens import cut_transformer


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


def build_extractor(
    backbone: str, *, generator_stage: int | None = None, activation: str = "relu", weights: bool | str | Path = False
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

    Raises:
        InputError: an unknown name, a stage that does not exist, weights that cannot be had or do not fit.
    """
    _check_name(backbone)
    pretrained = weights is True
    if backbone in NETWORKS:
        extractor = _cut_as_authors(backbone, generator_stage, activation, pretrained)
    elif timm.models.is_model_in_modules(backbone.split(".")[0], {"vision_transformer", "deit", "eva"}):
        extractor = _cut_transformer(backbone, generator_stage, pretrained)
    else:
        extractor = _cut_sequence(backbone, generator_stage, pretrained)
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


def _cut_as_authors(backbone: str, generator_stage: int | None, activation: str, pretrained: bool) -> Extractor:
    plan = NETWORKS[backbone]
    cut = plan.stages[_stage(backbone, generator_stage, plan.paper, len(plan.stages)) - 1]
    options = {} if pretrained else plan.bare
    if backbone == "mobilenetv1":
        options = {"act_layer": nn.ReLU6 if activation == "relu6" else nn.ReLU}
    network = _create(plan.timm, pretrained, **options)
    layers = plan.edit(_until(plan.stages[-1], dict(_layers(network, plan.stages))))
    channels = {info["module"]: info["num_chs"] for info in network.feature_info}
    return _split(layers, cut, channels[cut], channels[plan.stages[-1]])


def _cut_sequence(backbone: str, generator_stage: int | None, pretrained: bool) -> Extractor:
    network = _create(backbone, pretrained)
    stages = [info["module"] for info in network.feature_info if info["reduction"] >= 4]
    layers, channels = _trunk(backbone, network, stages)
    cut = stages[_stage(backbone, generator_stage, len(stages) - 1, len(stages)) - 1]
    return _split(layers, cut, channels[cut], channels[list(layers)[-1]])


def _cut_transformer(backbone: str, generator_stage: int | None, pretrained: bool) -> Extractor:
    network = _create(backbone, pretrained, dynamic_img_size=True)
    depth = len(network.blocks)
    f1, f2 = cut_transformer(network, _stage(backbone, generator_stage, round(0.75 * depth), depth))
    return Extractor(f1, f2, network.num_features, network.num_features)


def _stage(backbone: str, generator_stage: int | None, default: int, stages: int) -> int:
    if generator_stage is None:
        return default
    if not 1 <= generator_stage <= stages:
        raise InputError(f"{backbone} has no stage {generator_stage} to put the generator after: choose 1 to {stages}.")
    return generator_stage


def _create(name: str, pretrained: bool, **options: Any) -> Any:
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise InputError(
            f"The pretrained weights {name} cannot be fetched: give a file with --weights FILE, "
            "or start from scratch with --weights none."
        ) from error


def _layers(module: nn.Module, stages: Sequence[str], prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The parts of a network in forward order, opened up as far as the names of its ``stages`` ask."""
    for name, child in module.named_children():
        if any(stage.startswith(f"{prefix}{name}.") for stage in stages):
            yield from _layers(child, stages, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def _until(last: str, layers: Layers) -> Layers:
    names = list(layers)
    return {name: layers[name] for name in names[: names.index(last) + 1]}


@torch.no_grad()
def _trunk(backbone: str, network: Any, stages: Sequence[str]) -> tuple[Layers, dict[str, int]]:
    """The layers in front of the head and their output channels; a small image proves that they form a sequence."""
    layers: Layers = {}
    channels: dict[str, int] = {}
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network.eval()
    try:
        expected, x = network.forward_features(image), image
        for name, layer in _layers(network, stages):
            x = layer(x)
            layers[name], channels[name] = layer, x.shape[1]
            if stages[-1] in layers and torch.equal(x, expected):
                network.train()
                return layers, channels
    except Exception as error:  # a network may fail in any way when its layers are not meant to be called in a row
        raise InputError(f"{backbone} cannot be cut in two: choose a network that is a sequence of stages.") from error
    raise InputError(f"{backbone} cannot be cut in two: choose a network that is a sequence of stages.")


def _split(layers: Layers, cut: str, f1_channels: int, f2_channels: int) -> Extractor:
    f1 = _until(cut, layers)
    f2 = {name: layer for name, layer in layers.items() if name not in f1}
    return Extractor(_sequence(f1), _sequence(f2), f1_channels, f2_channels)


def _sequence(layers: Layers) -> nn.Sequential:
    """One module of many that keeps timm's parameter names: ``blocks.3`` lies in ``blocks``."""
    sequence = nn.Sequential()
    for path, layer in layers.items():
        *folders, name = path.split(".")
        place = sequence
        for folder in folders:
            if folder not in dict(place.named_children()):
                place.add_module(folder, nn.Sequential())
            place = getattr(place, folder)
        place.add_module(name, layer)
    return sequence
