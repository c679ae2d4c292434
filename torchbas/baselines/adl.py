"""ADL (Choe and Shim 2019): between layers, features lose their most discriminative places or are weighed by them.

In each training step and at each place one of two is drawn for the whole batch: with the drop rate, zero wherever the
mean over channels reaches gamma times its maximum; else the sigmoid of that mean as a weight. Afterwards the layer does
nothing. The paper puts it behind some intermediate and some last layers, chosen per backbone (for ResNet50, in
wsolevaluation, inside layer3 and layer4); here, alike for every backbone, behind stem and tail. Rate .75 in both;
gamma is .8 to .9 in the paper, .8 in wsolevaluation's layer and .9 on its command line.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .cam import CAM


def attend_or_drop(features: Float[Tensor, "B C h w"], rate: float, gamma: float) -> Float[Tensor, "B C h w"]:
    """The features with the drop mask or the importance map applied; one draw for the batch."""
    attention = features.float().mean(dim=1, keepdim=True)
    dropped = attention >= gamma * attention.amax(dim=(2, 3), keepdim=True)
    chosen = torch.rand((), device=features.device) < rate
    weight = torch.where(chosen, (~dropped).float(), attention.sigmoid())
    return features * weight.to(features.dtype)


class ADL(CAM):
    """CAM with two attention-based dropout layers.

    Args:
        rate: probability of the drop mask.
        gamma: share of the maximum, in [0, 1], from which a place is dropped.
    """

    def __init__(self, *network: Any, rate: float = 0.75, gamma: float = 0.8) -> None:
        super().__init__(*network)
        self.rate, self.gamma = rate, gamma

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        return self.disturb(super().features(images))

    def deep_features(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h2 w2"]:
        return self.disturb(super().deep_features(features))

    def disturb(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The layer itself: only training sees it."""
        return attend_or_drop(features, self.rate, self.gamma) if self.training else features
