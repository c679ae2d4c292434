"""Networks that are a sequence of stages, cut behind one of them: any CNN of timm's that can be called so."""

from collections.abc import Iterator, Sequence
from typing import Any

import timm
import torch
from torch import nn

from ..errors import InputError
from .cut import CutOptions, Extractor, create_network, stage_of

Layers = dict[str, Any]
"""The parts of a timm network by timm's name, in forward order (timm declares no types for its attributes)."""


def recognizes(backbone: str) -> bool:
    """Whether timm has the network; that it is a sequence shows when it is cut."""
    return timm.is_model(backbone.split(".")[0])


def cut(backbone: str, options: CutOptions) -> Extractor:
    """The two halves, behind the last but one of the stages that end stride 4, 8, 16, 32, or another one of them."""
    network = create_network(backbone, options)
    stages = [info["module"] for info in network.feature_info if info["reduction"] >= 4]
    layers, channels = _trunk(backbone, network, stages)
    last = stages[stage_of(backbone, options.generator_stage, len(stages) - 1, len(stages)) - 1]
    return split(layers, last, channels[last], channels[list(layers)[-1]])


def layers_of(module: nn.Module, stages: Sequence[str], prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The parts of a network in forward order, opened up as far as the names of its ``stages`` ask."""
    for name, child in module.named_children():
        if any(stage.startswith(f"{prefix}{name}.") for stage in stages):
            yield from layers_of(child, stages, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def until(last: str, layers: Layers) -> Layers:
    """The layers up to the one called ``last``."""
    names = list(layers)
    return {name: layers[name] for name in names[: names.index(last) + 1]}


def split(layers: Layers, last: str, f1_channels: int, f2_channels: int) -> Extractor:
    """F1 up to the layer called ``last``, F2 behind it."""
    f1 = until(last, layers)
    f2 = {name: layer for name, layer in layers.items() if name not in f1}
    return Extractor(_sequence(f1), _sequence(f2), f1_channels, f2_channels)


@torch.no_grad()
def _trunk(backbone: str, network: Any, stages: Sequence[str]) -> tuple[Layers, dict[str, int]]:
    """The layers in front of the head and their output channels; a small image proves that they form a sequence."""
    layers: Layers = {}
    channels: dict[str, int] = {}
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network.eval()
    try:
        expected, x = network.forward_features(image), image
        for name, layer in layers_of(network, stages):
            x = layer(x)
            layers[name], channels[name] = layer, x.shape[1]
            if stages[-1] in layers and torch.equal(x, expected):
                network.train()
                return layers, channels
    except Exception as error:  # a network may fail in any way when its layers are not meant to be called in a row
        raise InputError(f"{backbone} cannot be cut in two: choose a network that is a sequence of stages.") from error
    raise InputError(f"{backbone} cannot be cut in two: choose a network that is a sequence of stages.")


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
