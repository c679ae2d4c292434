"""SPG (Zhang et al. 2018, "Self-produced guidance"): CAM with side branches trained on masks made from its class maps.

The target's class map, min-max normalized, gives seeds: foreground above a high threshold, background below a low one,
the rest ignored. They supervise branch B2; seeds of B2's mask supervise B1, which reads earlier features; those of the
mean of both supervise C on top (binary cross-entropy). The branches only shape the shared features: the heatmap is the
classifier's class map, as in the paper and in wsolevaluation. Where nothing exceeds the high threshold, .7 of the map's
maximum replaces it (wsolevaluation: fewer than 30 of 224 x 224 pixels). Thresholds are wsolevaluation's.

Different here: B1 reads F1 and B2 reads F2, which every backbone has (the paper: two intermediate stages); masks are
compared on the grid of F instead of 224 x 224; branches have 256 channels.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..bounds import Checked, Positive
from ..cam import class_activation, normalize, upsample
from ..config import Architecture
from ..data import Batch
from ..losses import classification
from ..model.classifier import pool
from ..model.extractor import Extractor
from .base import FeatureBatch
from .cam import CAM

Thresholds = tuple[float, float]
"""High (foreground) and low (background), in [0, 1]."""


def agreement(
    logits: Float[Tensor, "B h w"], guidance: Float[Tensor, "B h w"], thresholds: Thresholds
) -> Float[Tensor, ""]:
    """Binary cross-entropy with the seeds of ``guidance``, in [0, 1]; mean over the pixels that are not ignored."""
    high, low = thresholds
    guidance = guidance.detach()
    most = guidance.amax(dim=(1, 2), keepdim=True)
    foreground_seeds = guidance > torch.where(most > high, high, 0.7 * most)
    counted = (foreground_seeds | (guidance < low)).float()
    seeds = (foreground_seeds & (guidance >= low)).float()
    losses = F.binary_cross_entropy_with_logits(logits.float(), seeds, reduction="none")
    return (losses * counted).sum() / counted.sum().clamp(min=1)


@dataclass(frozen=True)
class Options(Checked):
    """Options of spg."""

    thresholds: tuple[Thresholds, Thresholds, Thresholds] = ((0.7, 0.01), (0.5, 0.05), (0.7, 0.1))
    """Of the seeds for B2, B1 and C."""
    width: Positive[int] = 256
    """Channels of the branches."""


class SPG(CAM):
    """CAM with side branches B1, B2 and C."""

    name = "spg"
    Options = Options
    new_layers = ("head", "branches")

    def __init__(self, extractor: Extractor, num_classes: int, architecture: Architecture, *rest: Any) -> None:
        super().__init__(extractor, num_classes, architecture, *rest)
        width = self.options.width

        def layer(channels: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU(inplace=True))

        shared = nn.Sequential(layer(width), nn.Conv2d(width, 1, kernel_size=1))  # by B1 and B2
        own = nn.Sequential(layer(extractor.f2_channels), nn.Conv2d(width, 1, kernel_size=1))
        first, second = layer(extractor.f1_channels), layer(extractor.f2_channels)
        self.branches = nn.ModuleDict({"first": first, "second": second, "shared": shared, "last": own})

    def losses(self, batch: Batch | FeatureBatch, step: int) -> dict[str, Float[Tensor, ""]]:
        features = self.batch_features(batch)
        deep = self.deep_features(features)
        class_maps = self.head(deep)
        b1, b2, c = self.masks(features, deep)
        attention = normalize(upsample(class_activation(class_maps, batch.target), (b1.shape[1], b1.shape[2])))
        for_b2, for_b1, for_c = self.options.thresholds
        return {
            "classify": classification(pool(class_maps), batch.labels),
            "b2": agreement(b2, attention, for_b2),
            "b1": agreement(b1, b2.sigmoid(), for_b1),
            "c": agreement(c, (b1.sigmoid() + b2.sigmoid()) / 2, for_c),
        }

    def masks(
        self, features: Float[Tensor, "B C h w"], deep: Float[Tensor, "B C2 h2 w2"]
    ) -> tuple[Float[Tensor, "B h w"], Float[Tensor, "B h w"], Float[Tensor, "B h w"]]:
        """Foreground logits of the branches B1, B2 and C, on the grid of F."""
        inner = self.branches
        grids = (
            inner["shared"](inner["first"](features)),
            inner["shared"](inner["second"](deep)),
            inner["last"](deep),
        )
        size = features.shape[2], features.shape[3]
        b1, b2, c = (upsample(grid[:, 0].float(), size) for grid in grids)
        return b1, b2, c
