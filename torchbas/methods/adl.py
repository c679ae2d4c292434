"""ADL (Choe and Shim 2019): CAM with attention-based dropout of the most discriminative features.

Self-attention is the mean over channels. Each layer applies, in a training step and for the whole batch, either the
drop mask (with the drop rate: zero where attention reaches gamma times its maximum) or the importance map (the sigmoid
of attention). At inference it is the identity. The paper inserts it after some intermediate and last layers, chosen per
backbone (wsolevaluation for ResNet50: inside layer3 and layer4); here it follows F1 and F2 for every backbone. The rate
is .75 in both; gamma is .8 to .9 in the paper, .8 in wsolevaluation's layer and .9 on its command line.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..bounds import Checked, Share
from .cam import CAM


def attend_or_drop(features: Float[Tensor, "B C h w"], rate: float, gamma: float) -> Float[Tensor, "B C h w"]:
    """Features times the drop mask or the importance map; one draw for the batch."""
    attention = features.float().mean(dim=1, keepdim=True)
    dropped = attention >= gamma * attention.amax(dim=(2, 3), keepdim=True)
    chosen = torch.rand((), device=features.device) < rate
    weight = torch.where(chosen, (~dropped).float(), attention.sigmoid())
    return features * weight.to(features.dtype)


@dataclass(frozen=True)
class Options(Checked):
    """Options of adl."""

    rate: Share = 0.75
    """Probability of the drop mask."""
    gamma: Share = 0.8
    """Share of the maximum attention from which a pixel is dropped."""


class ADL(CAM):
    """CAM with attention-based dropout after F1 and F2."""

    name = "adl"
    Options = Options
    learns_from_images = True  # cached features lack the dropout after F1

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        return self.dropout(super().features(images))

    def deep_features(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h2 w2"]:
        return self.dropout(super().deep_features(features))

    def dropout(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Attention-based dropout in training, else the identity."""
        if not self.training:
            return features
        return attend_or_drop(features, self.options.rate, self.options.gamma)
