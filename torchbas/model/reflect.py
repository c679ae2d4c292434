"""Convolutions that see the reflected image beyond its edges, so that the frame of a photo is no evidence."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ReflectingConv2d(nn.Conv2d):
    """A convolution whose padding is its input, see :func:`padded`."""

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 _ _"]:
        height, width = (int(one) for one in self.padding)
        inside = padded(input, (height, height), (width, width))
        return F.conv2d(inside, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def padded(x: Float[Tensor, "B C H W"], rows: tuple[int, int], columns: tuple[int, int]) -> Float[Tensor, "B C _ _"]:
    """``x`` with so many rows above and below and columns left and right, reflected; where it has too few for that, its
    outermost ones repeated."""
    enough = max(rows) < x.shape[2] and max(columns) < x.shape[3]
    return F.pad(x, (*columns, *rows), mode="reflect" if enough else "replicate")


def reflect_edges(network: nn.Module) -> None:
    """Let all plain convolutions of a network that pad with zeros reflect instead; parameters stay as they are."""
    for layer in network.modules():
        if type(layer) is nn.Conv2d and isinstance(layer.padding, tuple) and any(layer.padding):
            layer.__class__ = ReflectingConv2d
