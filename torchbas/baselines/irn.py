"""The classifier that IRN (Ahn et al. 2019) and its many descendants begin with: CAM in the manner of WSSS.

Each class is a yes-or-no question of its own (multi-label soft margin), BatchNorm keeps its running statistics, and
the very first layers keep their weights.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..data import Batch
from .cam import CAM


class IRN(CAM):
    """CAM with IRN's loss and its fixed parts.

    Args:
        still: parts of the stem that do not learn, by name, where it has them. IRN's own code ends the gradient behind
            layer2, that is ``conv1 bn1 layer1 layer2``; ReCAM's and AdvCAM's do not.
    """

    def __init__(self, *network: Any, still: Sequence[str] = ("conv1", "bn1")) -> None:
        super().__init__(*network)
        for name, part in self.stem.named_children():
            part.requires_grad_(name not in still)

    def train(self, mode: bool = True) -> "IRN":
        """Training mode for all but BatchNorm."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def forward(self, batch: Batch, _step: int) -> dict[str, Float[Tensor, ""]]:
        return {"classify": F.multilabel_soft_margin_loss(self.logits(self.prepare(batch)), batch.labels)}
