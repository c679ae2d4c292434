"""Generator: one foreground map per class, from one 3x3 convolution and a sigmoid."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from .reflect import ReflectingConv2d, padded


class _Sigmoid(torch.autograd.Function):
    """Sigmoid whose slope is at least ``slope`` for a gradient step that leads a value back towards one half."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        y = x.sigmoid()
        ctx.save_for_backward(y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (y,) = ctx.saved_tensors
        own = y * (1 - y)
        returns = (y - 0.5) * gradient > 0  # a step against the gradient
        return gradient * own.clamp(min=ctx.slope).where(returns, own), None


class Generator(nn.Module):
    """The whole localization head: M = sigmoid(conv3x3(F)), Sec. 3.1.

    Args:
        class_agnostic: one filter, whose map stands for every class (Sec. 5.5).
        padding_mode: what the convolution sees beyond F, ``zeros`` or ``reflect``.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        bias: bool = True,
        class_agnostic: bool = False,
        padding_mode: Literal["zeros", "reflect"] = "zeros",
    ) -> None:
        super().__init__()
        self.num_classes, self.class_agnostic = num_classes, class_agnostic
        self.slope = 0.0
        """Least slope of the sigmoid in training, towards one half."""
        convolution = ReflectingConv2d if padding_mode == "reflect" else nn.Conv2d
        self.conv = convolution(in_channels, 1 if class_agnostic else num_classes, kernel_size=3, padding=1, bias=bias)
        nn.init.xavier_uniform_(self.conv.weight)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def share_gradients(self, sharing: float) -> None:
        """Add this much of the sum of all filters' gradients to each filter's own from now on, for small data.

        The network and the loss are the same; it learns as if every filter were a common one plus its own difference.
        """
        for parameter in self.conv.parameters():
            parameter.register_hook(lambda gradient: gradient + sharing * gradient.sum(dim=0, keepdim=True))

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K h w"]:
        """The maps of all classes, in [0, 1]."""
        return self._activate(self.conv(features).float()).expand(-1, self.num_classes, -1, -1)

    def of(self, features: Float[Tensor, "B C h w"], classes: Int[Tensor, "B k"]) -> Float[Tensor, "B k h w"]:
        """The maps of ``k`` chosen classes per image, in [0, 1], computing only their filters.

        A 3x3 convolution is nine dot products per place, each moved by one step and added up: that way every
        image of the batch can have filters of its own in one matrix product.
        """
        batch, k = classes.shape
        if self.class_agnostic:
            return self(features)[:, :k]
        reflected = isinstance(self.conv, ReflectingConv2d)
        if reflected:
            features = padded(features, (1, 1), (1, 1))
        height, width = features.shape[2:]
        filters = self.conv.weight[classes].flip(-2, -1)  # fold scatters where a convolution gathers
        filters = filters.permute(0, 1, 3, 4, 2).reshape(batch, k * 9, -1)
        products = (filters.to(features.dtype) @ features.flatten(2)).float()
        summed = F.fold(products.reshape(batch * k, 9, -1), (height, width), kernel_size=3, padding=1)
        maps = summed.view(batch, k, height, width)
        if reflected:
            maps = maps[:, :, 1:-1, 1:-1]
        if self.conv.bias is not None:
            maps = maps + self.conv.bias[classes][:, :, None, None]
        return self._activate(maps)

    def _activate(self, logits: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return _Sigmoid.apply(logits, self.slope) if self.slope and torch.is_grad_enabled() else logits.sigmoid()  # pyright: ignore[reportReturnType]
