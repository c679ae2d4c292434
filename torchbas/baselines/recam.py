"""ReCAM (Chen et al. 2022): softmax cross-entropy on what the class maps themselves pick out.

A class's map, cut at zero and divided by its maximum, weighs the features; their mean over places is the class's own
feature. A second classifier without bias must tell those of the present classes from all others, one softmax for each.
Its weights times the first classifier's, element by element, are the filters of the final maps. (For COCO the authors'
script uses the first classifier's alone.)
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..config import Architecture
from ..data import Batch
from ..maps import class_activation
from ..model.bas import pool
from ..model.extractor import Extractor
from .classifier import Looked
from .irn import IRN


def class_features(
    features: Float[Tensor, "B C h w"], class_maps: Float[Tensor, "B K h w"], eps: float = 1e-5
) -> Float[Tensor, "B K C"]:
    """The features' mean over places, weighed by each class's map; gradient flows to both."""
    maps = class_maps.relu()
    maps = maps / (maps.amax(dim=(2, 3), keepdim=True) + eps)
    return torch.einsum("bkhw,bchw->bkc", maps, features) / maps[0, 0].numel()


def reactivation(logits: Float[Tensor, "B K K"], labels: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """Softmax cross-entropy of every present class's own feature; mean over an image's classes, then over images.

    Args:
        logits: scores of all classes (last) for each class's feature.
    """
    losses = -logits.float().log_softmax(dim=2).diagonal(dim1=1, dim2=2)
    return ((losses * labels).sum(dim=1) / labels.sum(dim=1).clamp(min=1)).mean()


class ReCAM(IRN):
    """A trained classifier, and a second one on its class features.

    Args:
        weight: of the softmax cross-entropy; .1 for COCO.
    """

    new = ("second_head",)
    continues = True

    def __init__(
        self, extractor: Extractor, num_classes: int, architecture: Architecture, *rest: Any, weight: float = 1.0
    ) -> None:
        super().__init__(extractor, num_classes, architecture, *rest)
        self.weight = weight
        convolutions = [place for place, layer in enumerate(self.head) if isinstance(layer, nn.Conv2d)]
        self.last = convolutions[-1]
        self.second_head = nn.Linear(self.filters.shape[1], num_classes, bias=False)
        nn.init.xavier_uniform_(self.second_head.weight)

    @property
    def filters(self) -> Float[Tensor, "K C 1 1"]:
        """The first classifier's."""
        return self.head[self.last].weight  # pyright: ignore[reportReturnType]

    def both(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B K h w"]]:
        """What the first classifier reads, and its class maps."""
        features = self.head[: self.last](self.deep_features(self.features(images)))
        return features, self.head[self.last :](features)

    def forward(self, batch: Batch, _step: int) -> dict[str, Float[Tensor, ""]]:
        features, class_maps = self.both(self.prepare(batch))
        scores = self.second_head(class_features(features, class_maps))
        return {
            "classify": F.multilabel_soft_margin_loss(pool(class_maps), batch.labels),
            "reactivate": self.weight * reactivation(scores, batch.labels),
        }

    def reactivated(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K h w"]:
        """The class maps of both classifiers' product."""
        return F.conv2d(features, self.filters * self.second_head.weight[:, :, None, None])

    def look(self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]) -> Looked:
        features, class_maps = self.both(images)
        return Looked(pool(class_maps), class_activation(self.reactivated(features), target))

    def seed_maps(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]:
        features, _ = self.both(images)
        return self.reactivated(features).float().relu() * (labels > 0)[..., None, None]
