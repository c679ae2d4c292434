"""CutMix (Yun et al. 2019): paste a box of another photo of the batch, and count both tags by their areas.

One box and one pairing for the whole batch, as in the paper's code and in wsolevaluation. The box's area share is
drawn from Beta(beta, beta), its centre anywhere, and it is cut off at the border; labels count by the pixels that are
really left. Beta 1 and, for localisation, every batch (wsolevaluation; the paper mixes half of the CIFAR batches).
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data import Batch
from ..losses import classification
from .cam import CAM


def draw_box(height: int, width: int, beta: float, probability: float) -> tuple[slice, slice]:
    """Rows and columns of the box; empty where this batch is not mixed. Drawn on the CPU: no device has to wait."""
    mixes = torch.rand(()).item() < probability
    share = torch.distributions.Beta(beta, beta).sample().item() if mixes else 0.0
    rows, columns = (int(side * share**0.5) // 2 for side in (height, width))
    y, x = int(torch.randint(height, ()).item()), int(torch.randint(width, ()).item())
    return slice(max(y - rows, 0), min(y + rows, height)), slice(max(x - columns, 0), min(x + columns, width))


def paste(
    images: Float[Tensor, "B 3 H W"], rows: slice, columns: slice
) -> tuple[Float[Tensor, "B 3 H W"], Int[Tensor, " B"], float]:
    """The photos with a box of each one's partner, the partners, and the share of pixels that is the partner's."""
    partner = torch.randperm(len(images), device=images.device)
    pasted = images.clone()
    pasted[..., rows, columns] = images[..., rows, columns][partner]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return pasted, partner, area / images[0, 0].numel()


class CutMix(CAM):
    """CAM trained on mixed photos.

    Args:
        beta: of the distribution of the box's area share.
        probability: that a batch is mixed.
    """

    def __init__(self, *network: Any, beta: float = 1.0, probability: float = 1.0) -> None:
        super().__init__(*network)
        self.beta, self.probability = beta, probability

    def forward(self, batch: Batch, _step: int) -> dict[str, Float[Tensor, ""]]:
        images = self.prepare(batch)
        box = draw_box(images.shape[2], images.shape[3], self.beta, self.probability)
        pasted, partner, share = paste(images, *box)
        logits = self.logits(pasted)
        own, other = classification(logits, batch.labels), classification(logits, batch.labels[partner])
        return {"classify": (1 - share) * own + share * other}
