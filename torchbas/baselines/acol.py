"""ACoL (Zhang et al. 2018): a second classifier sees the features without what convinced the first one.

Both heads have BAS's form and read the tail. What is erased is set to zero where the first head's class map of the
target, min-max normalised, reaches the threshold; no gradient goes through that choice. The map is the larger of both
heads' normalised maps. The paper finds .6 best on ILSVRC, wsolevaluation starts from .7; class scores are those of the
first head, as there.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..config import Architecture
from ..data import Batch
from ..losses import classification
from ..maps import class_activation, normalise
from ..model.bas import build_head, pool
from ..model.extractor import Extractor
from .classifier import Classifier, Looked


def erase(
    features: Float[Tensor, "B C h w"], seen: Float[Tensor, "B h w"], threshold: float
) -> Float[Tensor, "B C h w"]:
    """Zero where ``seen``, in [0, 1], reaches the threshold."""
    return features * (seen.detach() < threshold)[:, None]


class ACoL(Classifier):
    """Two adversarial heads.

    Args:
        threshold: in [0, 1], of the first head's map; what reaches it is erased for the second.
    """

    new = ("head", "second_head")

    def __init__(
        self, extractor: Extractor, num_classes: int, architecture: Architecture, *rest: Any, threshold: float = 0.6
    ) -> None:
        super().__init__(extractor, num_classes, architecture, *rest)
        self.second_head = build_head(extractor.tail_channels, architecture, num_classes)
        self.threshold = threshold

    def both(
        self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B K ch cw"], Float[Tensor, "B K ch cw"]]:
        """The class maps of the first head, and of the second with the first's region of the target erased."""
        deep = self.deep_features(self.features(images))
        first = self.head(deep)
        return first, self.second_head(erase(deep, normalise(class_activation(first, target)), self.threshold))

    def forward(self, batch: Batch, _step: int) -> dict[str, Float[Tensor, ""]]:
        """Losses by name; their sum is minimised."""
        first, second = self.both(self.prepare(batch), batch.target)
        return {
            "classify": classification(pool(first), batch.labels),
            "classify_erased": classification(pool(second), batch.labels),
        }

    def look(self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]) -> Looked:
        first, second = self.both(images, target)
        maps = torch.maximum(normalise(class_activation(first, target)), normalise(class_activation(second, target)))
        return Looked(pool(first), maps)
