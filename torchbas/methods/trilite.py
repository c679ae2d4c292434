"""TriLite (Sabaghi and Oramas 2026): three maps of frozen features, foreground, background and ambiguous regions.

A 3x3 convolution and a softmax give every place of F a share of each region. F, pooled by the foreground and by the
background, is classified by one linear layer: the foreground must show the class, the background must not. What is
ambiguous is asked nothing, and there is no area term. The heatmap is the foreground map. It is class-agnostic: in a
photo with several tags it is the same for all of them.

In the paper F is the output of a frozen DINOv2 before its last norm (``--generator-stage 12 --f1 cached``), and the
classifier beside the maps reads its class token. That token stays behind in the cut of a transformer, so here the
classifier is the network's head on the pooled output of F2. On frozen features this changes Top-1 and no map. Where F1
is kept, F2 is kept too: then the maps and the two linear layers alone learn, as in the paper.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..bounds import Checked, NonNegative, Share
from ..config import Architecture, Inference, Training
from ..data import Batch
from ..losses import classification
from ..model.classifier import Encoded, pool
from ..model.extractor import Extractor
from ..model.reflect import reflect_edges
from ..structures import Dataset
from .base import FeatureBatch, Method


def region_means(
    features: Float[Tensor, "B C h w"], regions: Float[Tensor, "B R h w"], eps: float = 1e-6
) -> Float[Tensor, "B R C"]:
    """Mean of the features weighted by each map."""
    sums = torch.einsum("brhw,bchw->brc", regions, features.float())
    return sums / (regions.sum(dim=(2, 3)) + eps)[:, :, None]


def absence(logits: Float[Tensor, "B K"], target: Int[Tensor, " B"], eps: float = 1e-7) -> Float[Tensor, ""]:
    """-log(1 - p) of the target's softmax probability p, mean over images."""
    probability = logits.softmax(dim=1).gather(1, target[:, None])
    return -(1 - probability + eps).log().mean()


@dataclass(frozen=True)
class Options(Checked):
    """Options of trilite."""

    alpha: NonNegative[float] = 100.0
    """Weight of the background's loss; 500 for ILSVRC."""
    dropout: Share = 0.5
    """Of the pooled features, before they are classified."""


class TriLite(Method):
    """Three maps of F, two of which are pooled and classified."""

    name = "trilite"
    Options = Options
    new_layers = ("head", "regions", "region_classifier")
    learns_from_images = False
    bounded = True

    def __init__(self, extractor: Extractor, num_classes: int, architecture: Architecture, *rest: Any) -> None:
        super().__init__(extractor, num_classes, architecture, *rest)
        channels = extractor.f1_channels
        convolution = nn.Conv2d(channels, 3, kernel_size=3, padding=1, bias=False)
        self.regions = nn.Sequential(convolution, nn.BatchNorm2d(3))
        self.region_classifier = nn.Linear(channels, num_classes)
        self.dropout = nn.Dropout(self.options.dropout)
        self._f2_frozen = False
        if architecture.padding_mode == "reflect":
            reflect_edges(self.regions)

    def setup(self, dataset: Dataset, training: Training, /) -> None:
        if self._f1_frozen:
            self._f2_frozen = True
            self.f2.requires_grad_(False)
            self.train(self.training)

    def train(self, mode: bool = True) -> "TriLite":
        super().train(mode)
        if self._f2_frozen:
            self.f2.eval()
        return self

    def maps(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 h w"]:
        """Share of each place that is foreground, background, ambiguous; they sum to 1."""
        return self.regions(features).float().softmax(dim=1)

    def losses(self, batch: Batch | FeatureBatch, step: int) -> dict[str, Float[Tensor, ""]]:
        features = self.batch_features(batch)
        classify = classification(pool(self.class_maps(features)), batch.labels)
        return {"classify": classify, **self.map_losses(features, batch)}

    def map_losses(
        self, features: Float[Tensor, "B C h w"], batch: Batch | FeatureBatch
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms that the maps learn from: what is pooled by the foreground and by the background."""
        means = self.dropout(region_means(features, self.maps(features)[:, :2]))
        foreground, background = self.region_classifier(means).float().unbind(dim=1)
        return {
            "foreground": classification(foreground, batch.labels),
            "background": self.options.alpha * absence(background, batch.target),
        }

    def heatmaps(self, encoded: Encoded, target: Int[Tensor, " B"], inference: Inference) -> Float[Tensor, "B h w"]:
        return self.maps(encoded.features)[:, 0]

    def seed_maps(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]:
        """The foreground map, for every present class the same."""
        return self.maps(self.features(images))[:, :1] * (labels > 0)[..., None, None]
