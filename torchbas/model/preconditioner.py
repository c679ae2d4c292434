"""Gradient preconditioners of the generator's filters, for small data: same network, same loss."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class FilterPreconditioner:
    """Changes the gradient of a convolution with one filter per class before the optimizer sees it.

    Args:
        conv: the generator's convolution; hooks are registered on its parameters.
        sharing: adds this much of the sum of all filters' gradients to each filter's own: the convolution learns as if
            every filter were a common one plus its own difference from it.
        centered: learns as if the features had mean zero. They come from a ReLU and have a large common part, so that
            a step's least imbalance between the terms moves whole maps to 0 or 1, where a sigmoid learns no more,
            long before it moves objects against their background. The part of the gradient along the mean feature is
            divided by one plus that feature's squared length.
    """

    def __init__(self, conv: nn.Conv2d, sharing: float = 0.0, centered: bool = False) -> None:
        self.centered = centered
        self._mean: Tensor | None = None
        if centered:
            conv.weight.register_hook(self._without_common_part)
        if sharing:
            for parameter in conv.parameters():
                parameter.register_hook(lambda gradient: gradient + sharing * gradient.sum(dim=0, keepdim=True))

    def observe(self, features: Float[Tensor, "B C h w"]) -> None:
        """Take the mean feature of a training batch, before its backward pass."""
        if self.centered:
            self._mean = features.detach().mean(dim=(0, 2, 3), dtype=torch.float32)

    def _without_common_part(self, gradient: Float[Tensor, "K C 3 3"]) -> Float[Tensor, "K C 3 3"]:
        if self._mean is None:
            return gradient
        along = torch.einsum("kcyx,c->kyx", gradient, self._mean) / (1 + self._mean.square().sum())
        return gradient - along[:, None] * self._mean[:, None, None]
