"""SPG (Zhang et al. 2018, "Self-produced guidance"): what the classifier is sure of teaches side branches masks.

The target's class map, min-max normalised, gives seeds: object above a high threshold, background below a low one, the
rest ignored. They supervise branch B2; B2's own seeds supervise B1, which reads earlier features; the mean of both
supervises C on top (binary cross-entropy). The branches only shape the shared features: the map is the classifier's
class map, as in the paper and in wsolevaluation. Where nothing reaches the high threshold, .7 of the map's maximum
counts instead (wsolevaluation: fewer than 30 of 224 x 224 pixels). Thresholds are wsolevaluation's.

Different here: B1 reads the stem and B2 the tail, places that every backbone has (the paper: two stages in the
middle); masks are compared on the grid of the stem's features instead of 224 x 224; branches are 256 channels wide.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..config import Architecture
from ..data import Batch
from ..losses import classification
from ..maps import class_activation, enlarge, normalise
from ..model.bas import pool
from ..model.extractor import Extractor
from .cam import CAM

Thresholds = tuple[float, float]
"""High and low, in [0, 1]."""


def agreement(
    logits: Float[Tensor, "B h w"], teacher: Float[Tensor, "B h w"], thresholds: Thresholds
) -> Float[Tensor, ""]:
    """Binary cross-entropy against the ``teacher``'s seeds, mean over the places where it is sure."""
    high, low = thresholds
    teacher = teacher.detach()
    most = teacher.amax(dim=(1, 2), keepdim=True)
    sure_object = teacher > torch.where(most > high, high, 0.7 * most)
    sure = (sure_object | (teacher < low)).float()
    seeds = (sure_object & (teacher >= low)).float()
    losses = F.binary_cross_entropy_with_logits(logits.float(), seeds, reduction="none")
    return (losses * sure).sum() / sure.sum().clamp(min=1)


class SPG(CAM):
    """CAM with side branches that learn masks from its maps.

    Args:
        thresholds: of the seeds for B2, B1 and C.
        width: channels of the branches.
    """

    new = ("head", "branches")

    def __init__(
        self,
        extractor: Extractor,
        num_classes: int,
        architecture: Architecture,
        *rest: Any,
        thresholds: tuple[Thresholds, Thresholds, Thresholds] = ((0.7, 0.01), (0.5, 0.05), (0.7, 0.1)),
        width: int = 256,
    ) -> None:
        super().__init__(extractor, num_classes, architecture, *rest)
        self.thresholds = thresholds

        def layer(channels: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU(inplace=True))

        shared = nn.Sequential(layer(width), nn.Conv2d(width, 1, kernel_size=1))  # one judge for B1 and B2
        own = nn.Sequential(layer(extractor.tail_channels), nn.Conv2d(width, 1, kernel_size=1))
        first, second = layer(extractor.stem_channels), layer(extractor.tail_channels)
        self.branches = nn.ModuleDict({"first": first, "second": second, "shared": shared, "last": own})

    def forward(self, batch: Batch, _step: int) -> dict[str, Float[Tensor, ""]]:
        features = self.features(self.prepare(batch))
        deep = self.deep_features(features)
        class_maps = self.head(deep)
        b1, b2, c = self.masks(features, deep)
        attention = normalise(enlarge(class_activation(class_maps, batch.target), (b1.shape[1], b1.shape[2])))
        for_b2, for_b1, for_c = self.thresholds
        return {
            "classify": classification(pool(class_maps), batch.labels),
            "b2": agreement(b2, attention, for_b2),
            "b1": agreement(b1, b2.sigmoid(), for_b1),
            "c": agreement(c, (b1.sigmoid() + b2.sigmoid()) / 2, for_c),
        }

    def masks(
        self, features: Float[Tensor, "B C h w"], deep: Float[Tensor, "B C2 h2 w2"]
    ) -> tuple[Float[Tensor, "B h w"], Float[Tensor, "B h w"], Float[Tensor, "B h w"]]:
        """Object against background as the branches B1, B2 and C see it, before the sigmoid, on the grid of F."""
        inner = self.branches
        grids = (
            inner["shared"](inner["first"](features)),
            inner["shared"](inner["second"](deep)),
            inner["last"](deep),
        )
        size = features.shape[2], features.shape[3]
        b1, b2, c = (enlarge(grid[:, 0].float(), size) for grid in grids)
        return b1, b2, c
