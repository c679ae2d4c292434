"""Classifier of IRN (Ahn et al. 2019), the first stage of most WSSS methods: CAM with a multi-label loss.

Binary cross-entropy per class (multi-label soft margin loss), BatchNorm with fixed running statistics, and frozen first
layers.
"""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..bounds import Checked
from ..data import Batch
from ..model.classifier import pool
from .base import FeatureBatch
from .cam import CAM


@dataclass(frozen=True)
class Options(Checked):
    """Options of irn."""

    frozen_layers: tuple[str, ...] = ("conv1", "bn1")
    """Names of frozen submodules of F1, ignored where it has none of that name. IRN's code stops the gradient after
    layer2, that is ``conv1 bn1 layer1 layer2``; ReCAM's and AdvCAM's do not."""


class IRN(CAM):
    """CAM with IRN's loss and frozen layers."""

    name = "irn"
    Options = Options

    def __init__(self, *network: Any) -> None:
        super().__init__(*network)
        for name, part in self.f1.named_children():
            part.requires_grad_(name not in self.options.frozen_layers)

    def train(self, mode: bool = True) -> "IRN":
        """Training mode for all but BatchNorm."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def losses(self, batch: Batch | FeatureBatch, step: int) -> dict[str, Float[Tensor, ""]]:
        logits = pool(self.class_maps(self.batch_features(batch)))
        return {"classify": F.multilabel_soft_margin_loss(logits, batch.labels)}
