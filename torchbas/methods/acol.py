"""ACoL (Zhang et al. 2018): two heads, the second on features whose most discriminative region for the first is erased.

Both heads have the form of BAS's and read F2. Features are set to zero where the first head's class map of the target,
min-max normalized, reaches the threshold; no gradient flows through the erased region. The heatmap is the maximum of
both heads' normalized maps. The paper finds a threshold of .6 best on ILSVRC, wsolevaluation starts from .7; class
scores are the first head's, as there.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..bounds import Checked, Share
from ..cam import class_activation, normalize
from ..config import Architecture, Inference
from ..data import Batch
from ..losses import classification
from ..model.classifier import Encoded, build_head, pool
from ..model.extractor import Extractor
from .base import FeatureBatch, Method


def erase(
    features: Float[Tensor, "B C h w"], attention: Float[Tensor, "B h w"], threshold: float
) -> Float[Tensor, "B C h w"]:
    """Features set to zero where the attention map, in [0, 1], reaches the threshold."""
    return features * (attention.detach() < threshold)[:, None]


@dataclass(frozen=True)
class Options(Checked):
    """Options of acol."""

    erase_threshold: Share = 0.6
    """Value of the first head's normalized map from which features are erased for the second head."""


class ACoL(Method):
    """Classifier with two complementary heads."""

    name = "acol"
    Options = Options
    learns_from_images = False
    new_layers = ("head", "second_head")

    def __init__(self, extractor: Extractor, num_classes: int, architecture: Architecture, *rest: Any) -> None:
        super().__init__(extractor, num_classes, architecture, *rest)
        self.second_head = build_head(extractor.f2_channels, architecture, num_classes)

    def both_class_maps(
        self, features: Float[Tensor, "B C h w"], target: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B K ch cw"], Float[Tensor, "B K ch cw"]]:
        """Class maps of the first head, and of the second on features with the first's region of the target erased."""
        deep = self.deep_features(features)
        first = self.head(deep)
        attention = normalize(class_activation(first, target))
        return first, self.second_head(erase(deep, attention, self.options.erase_threshold))

    def losses(self, batch: Batch | FeatureBatch, step: int) -> dict[str, Float[Tensor, ""]]:
        first, second = self.both_class_maps(self.batch_features(batch), batch.target)
        return {
            "classify": classification(pool(first), batch.labels),
            "classify_erased": classification(pool(second), batch.labels),
        }

    def heatmaps(self, encoded: Encoded, target: Int[Tensor, " B"], inference: Inference) -> Float[Tensor, "B h w"]:
        first, second = self.both_class_maps(encoded.features, target)
        return torch.maximum(normalize(class_activation(first, target)), normalize(class_activation(second, target)))
