"""Generator: one foreground map per class, from one 3x3 convolution and a sigmoid."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class Generator(nn.Module):
    """The whole localisation head: M = sigmoid(conv3x3(F)), Sec. 3.1.

    Args:
        sharing: adds this much of the sum of all filters' gradients to each filter's own. The network stays the
            same; it learns as if every filter were a common one plus its own difference from it.
        agnostic: one filter, whose map stands for every class (Sec. 5.5).
        centred: learns as if the features had mean zero. They come from a ReLU and have a large common part, so that
            a step's least imbalance between the terms moves whole maps to 0 or 1, where a sigmoid learns no more,
            long before it moves objects against their background. The network stays the same; the part of its
            gradient along the mean feature is divided by one plus that feature's squared length.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        bias: bool = True,
        sharing: float = 0.0,
        agnostic: bool = False,
        centred: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes, self.agnostic, self.centred = num_classes, agnostic, centred
        self.conv = nn.Conv2d(in_channels, 1 if agnostic else num_classes, kernel_size=3, padding=1, bias=bias)
        nn.init.xavier_uniform_(self.conv.weight)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self._mean: Tensor | None = None
        if centred:
            self.conv.weight.register_hook(self._without_common_part)
        if sharing:
            for parameter in self.conv.parameters():
                parameter.register_hook(lambda gradient: gradient + sharing * gradient.sum(dim=0, keepdim=True))

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K h w"]:
        """The maps of all classes, in [0, 1]."""
        self._remember(features)
        return self.conv(features).float().sigmoid().expand(-1, self.num_classes, -1, -1)

    def of(self, features: Float[Tensor, "B C h w"], classes: Int[Tensor, "B k"]) -> Float[Tensor, "B k h w"]:
        """The maps of ``k`` chosen classes per image, in [0, 1], computing only their filters.

        A 3x3 convolution is nine dot products per place, each moved by one step and added up: that way every
        image of the batch can have filters of its own in one matrix product.
        """
        batch, k = classes.shape
        if self.agnostic:
            return self(features)[:, :k]
        self._remember(features)
        height, width = features.shape[2:]
        filters = self.conv.weight[classes].flip(-2, -1)  # fold scatters where a convolution gathers
        filters = filters.permute(0, 1, 3, 4, 2).reshape(batch, k * 9, -1)
        products = (filters.to(features.dtype) @ features.flatten(2)).float()
        summed = F.fold(products.reshape(batch * k, 9, -1), (height, width), kernel_size=3, padding=1)
        maps = summed.view(batch, k, height, width)
        if self.conv.bias is not None:
            maps = maps + self.conv.bias[classes][:, :, None, None]
        return maps.sigmoid()

    def _remember(self, features: Float[Tensor, "B C h w"]) -> None:
        if self.centred:
            self._mean = features.detach().mean(dim=(0, 2, 3), dtype=torch.float32) if self.training else None

    def _without_common_part(self, gradient: Float[Tensor, "K C 3 3"]) -> Float[Tensor, "K C 3 3"]:
        if self._mean is None:  # of a pass in evaluation mode, where nothing learns
            return gradient
        along = torch.einsum("kcyx,c->kyx", gradient, self._mean) / (1 + self._mean.square().sum())
        return gradient - along[:, None] * self._mean[:, None, None]
