"""Hide-and-Seek (Singh and Lee 2017): CAM trained on images with randomly masked patches.

The paper divides the image into patches of S x S pixels (16 to 56) and replaces each with probability .5 by the mean
color of the data, zero once standardized; nothing is masked at inference. Here the grid is given in patches per side,
for any image size: 4 are the paper's patches of 56 pixels. In wsolevaluation ``has_grid_size`` is the side of a patch
in pixels (searched over, 4 by default), and random numbers are drawn one by one.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..bounds import Checked, Positive, Share
from ..data import Batch
from .cam import CAM


def mask_patches(images: Float[Tensor, "B 3 H W"], grid: int, probability: float) -> Float[Tensor, "B 3 H W"]:
    """Images in which each of ``grid`` x ``grid`` patches is set to zero with this probability."""
    kept = torch.rand(len(images), 1, grid, grid, device=images.device) >= probability
    return images * F.interpolate(kept.to(images.dtype), size=images.shape[2:], mode="nearest")


@dataclass(frozen=True)
class Options(Checked):
    """Options of has."""

    grid: Positive[int] = 4
    """Patches per side."""
    probability: Share = 0.5
    """Of masking a patch."""


class HaS(CAM):
    """CAM trained on images with masked patches."""

    name = "has"
    Options = Options
    learns_from_images = True

    def batch_images(self, batch: Batch) -> Float[Tensor, "B 3 H W"]:
        return mask_patches(super().batch_images(batch), self.options.grid, self.options.probability)
