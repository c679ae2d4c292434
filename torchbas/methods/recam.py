"""ReCAM (Chen et al. 2022): a second classifier, trained by softmax cross-entropy on features pooled by class maps.

The positive part of a class map, divided by its maximum, weights the features; their spatial mean is the feature of
that class. A second, bias-free classifier is trained on the feature of every present class by softmax cross-entropy.
The element-wise product of both classifiers' weights gives the filters of the final maps. (For COCO the authors' script
uses the first classifier's weights alone.)
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..bounds import NonNegative
from ..cam import class_activation
from ..config import Architecture, Inference
from ..data import Batch
from ..model.classifier import Encoded, pool
from ..model.extractor import Extractor
from .base import FeatureBatch
from .irn import IRN
from .irn import Options as IRNOptions


def class_features(
    features: Float[Tensor, "B C h w"], class_maps: Float[Tensor, "B K h w"], eps: float = 1e-5
) -> Float[Tensor, "B K C"]:
    """Spatial mean of the features weighted by each class map; gradient flows to both."""
    maps = class_maps.relu()
    maps = maps / (maps.amax(dim=(2, 3), keepdim=True) + eps)
    return torch.einsum("bkhw,bchw->bkc", maps, features) / maps[0, 0].numel()


def reactivation(logits: Float[Tensor, "B K K"], labels: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """Softmax cross-entropy of the feature of every present class; mean over an image's classes, then over images.

    Args:
        logits: scores of all classes (last dimension) for the feature of each class.
    """
    losses = -logits.float().log_softmax(dim=2).diagonal(dim1=1, dim2=2)
    return ((losses * labels).sum(dim=1) / labels.sum(dim=1).clamp(min=1)).mean()


@dataclass(frozen=True)
class Options(IRNOptions):
    """Options of recam."""

    weight: NonNegative[float] = 1.0
    """Of the softmax cross-entropy; .1 for COCO."""


class ReCAM(IRN):
    """Trained classifier with a second classifier on its class features."""

    name = "recam"
    Options = Options
    new_layers = ("second_head",)
    needs_classifier = True

    def __init__(self, extractor: Extractor, num_classes: int, architecture: Architecture, *rest: Any) -> None:
        super().__init__(extractor, num_classes, architecture, *rest)
        convolutions = [place for place, layer in enumerate(self.head) if isinstance(layer, nn.Conv2d)]
        self.last = convolutions[-1]
        self.second_head = nn.Linear(self.filters.shape[1], num_classes, bias=False)
        nn.init.xavier_uniform_(self.second_head.weight)

    @property
    def filters(self) -> Float[Tensor, "K C 1 1"]:
        """Filters of the first classifier."""
        return self.head[self.last].weight  # pyright: ignore[reportReturnType]

    def last_features(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h2 w2"]:
        """Input of the first classifier's filters."""
        return self.head[: self.last](self.deep_features(features))

    def losses(self, batch: Batch | FeatureBatch, step: int) -> dict[str, Float[Tensor, ""]]:
        features = self.last_features(self.batch_features(batch))
        class_maps = self.head[self.last :](features)
        scores = self.second_head(class_features(features, class_maps))
        return {
            "classify": F.multilabel_soft_margin_loss(pool(class_maps), batch.labels),
            "reactivate": self.options.weight * reactivation(scores, batch.labels),
        }

    def reactivated(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K h2 w2"]:
        """Class maps by the product of both classifiers' weights."""
        filters = self.filters * self.second_head.weight[:, :, None, None]
        return F.conv2d(self.last_features(features), filters)

    def heatmaps(self, encoded: Encoded, target: Int[Tensor, " B"], inference: Inference) -> Float[Tensor, "B h w"]:
        return class_activation(self.reactivated(encoded.features), target)

    def seed_maps(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]:
        return self.reactivated(self.features(images)).float().relu() * (labels > 0)[..., None, None]
