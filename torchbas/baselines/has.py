"""Hide-and-Seek (Singh and Lee 2017): hide random patches of the training photos, so that the rest must be learned.

The paper cuts the image into S x S pixels (16 to 56), hides each patch with probability .5 behind the mean colour of
the data, zero once normalised, and hides nothing afterwards. Here the grid is given by its patches a side, whatever
the size of the image: 4 are the paper's patches of 56 pixels. In wsolevaluation ``has_grid_size`` is a patch's side in
pixels (its default of 4 is searched over), and the random numbers are drawn one by one.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..data import Batch
from .cam import CAM


def hide_patches(images: Float[Tensor, "B 3 H W"], grid: int, probability: float) -> Float[Tensor, "B 3 H W"]:
    """Each of ``grid`` x ``grid`` patches of each image becomes zero with this probability."""
    kept = torch.rand(len(images), 1, grid, grid, device=images.device) >= probability
    return images * F.interpolate(kept.to(images.dtype), size=images.shape[2:], mode="nearest")


class HaS(CAM):
    """CAM on photos with hidden patches.

    Args:
        grid: patches a side.
        probability: that a patch is hidden.
    """

    def __init__(self, *network: Any, grid: int = 4, probability: float = 0.5) -> None:
        super().__init__(*network)
        self.grid, self.probability = grid, probability

    def prepare(self, batch: Batch) -> Float[Tensor, "B 3 H W"]:
        return hide_patches(super().prepare(batch), self.grid, self.probability)
