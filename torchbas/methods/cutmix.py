"""CutMix (Yun et al. 2019): CAM trained on images with a pasted box of another image, both labels weighted by area.

One box and one permutation for the whole batch, as in the paper's code and in wsolevaluation. The share of the box is
drawn from Beta(beta, beta) and its center uniformly (eq. 2); it is clipped at the border, and labels are weighted by
the visible pixels. Beta is 1 and, for localization, every batch is mixed (wsolevaluation; the paper mixes half of the
CIFAR batches).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..bounds import Checked, Positive, Share
from ..data import Batch
from ..losses import classification
from .cam import CAM


def draw_box(height: int, width: int, beta: float, probability: float) -> tuple[slice, slice]:
    """Rows and columns of the box; empty where the batch is not mixed. Drawn on the CPU, to avoid a synchronization."""
    mixes = torch.rand(()).item() < probability
    share = torch.distributions.Beta(beta, beta).sample().item() if mixes else 0.0
    rows, columns = (int(side * share**0.5) // 2 for side in (height, width))
    y, x = int(torch.randint(height, ()).item()), int(torch.randint(width, ()).item())
    return slice(max(y - rows, 0), min(y + rows, height)), slice(max(x - columns, 0), min(x + columns, width))


def paste(
    images: Float[Tensor, "B 3 H W"], rows: slice, columns: slice
) -> tuple[Float[Tensor, "B 3 H W"], Int[Tensor, " B"], float]:
    """Images with a box from each one's partner, index of the partners, and area share of the box."""
    partner = torch.randperm(len(images), device=images.device)
    pasted = images.clone()
    pasted[..., rows, columns] = images[..., rows, columns][partner]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return pasted, partner, area / images[0, 0].numel()


@dataclass(frozen=True)
class Options(Checked):
    """Options of cutmix."""

    beta: Positive[float] = 1.0
    """Parameter of the Beta distribution of the box's area share."""
    probability: Share = 1.0
    """Of mixing a batch."""


class CutMix(CAM):
    """CAM trained on mixed images."""

    name = "cutmix"
    Options = Options
    learns_from_images = True

    def losses(self, batch: Batch, step: int) -> dict[str, Float[Tensor, ""]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        images = self.batch_images(batch)
        box = draw_box(images.shape[2], images.shape[3], self.options.beta, self.options.probability)
        pasted, partner, share = paste(images, *box)
        logits = self.logits(pasted)
        own, other = classification(logits, batch.labels), classification(logits, batch.labels[partner])
        return {"classify": (1 - share) * own + share * other}
