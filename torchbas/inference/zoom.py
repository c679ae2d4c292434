"""Geometry of the second stage (Sec. 6): regions to enlarge, their crops, and their heatmaps pasted back.

A region is a square ``(left, top, side)`` in shares of the image's width and height. A square of the squeezed photo
has the photo's distortion, which is the one that the network was trained on.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import roi_align

from ..config import Inference

CLOSEST = 0.25
"""Side of the smallest region: a smaller crop would be mostly interpolated."""


def regions(heatmaps: Float[Tensor, "Q h w"], thresholds: Float[Tensor, " Q"], padding: float) -> Float[Tensor, "Q 3"]:
    """Square around all places above the threshold, enlarged on each side by ``padding`` times its side.

    It stays inside the image; where nothing exceeds the threshold it is the whole image.
    """
    found = heatmaps > thresholds[:, None, None]
    starts, ends = torch.stack([_span(found.any(dim=1)), _span(found.any(dim=2))], dim=2).unbind(1)
    side = ((ends - starts).amax(dim=1, keepdim=True) * (1 + 2 * padding)).clamp(CLOSEST, 1)
    corner = torch.minimum(((starts + ends - side) / 2).clamp(min=0), 1 - side)
    return torch.cat([corner, side], dim=1)


def crop_regions(
    images: Float[Tensor, "B 3 H W"], index: Int[Tensor, " Q"], regions: Float[Tensor, "Q 3"], size: tuple[int, int]
) -> Float[Tensor, "Q 3 _ _"]:
    """Regions of the images at ``index``, resampled to ``size``; pixels are averaged where that is smaller."""
    corner, side = regions[:, :2], regions[:, 2:]
    scale = regions.new_tensor([images.shape[3], images.shape[2]])
    boxes = torch.cat([index[:, None].to(regions.dtype), corner * scale, (corner + side) * scale], dim=1)
    return roi_align(images, boxes, list(size), aligned=True)


def paste_regions(
    heatmaps: Float[Tensor, "Q h w"], regions: Float[Tensor, "Q 3"], size: tuple[int, int]
) -> Float[Tensor, "Q H W"]:
    """Heatmaps of regions at their place in an image of ``size``, bilinear; 0 outside."""
    corner, side = regions[:, :2], regions[:, 2:]
    scale = torch.diag_embed((1 / side).expand(-1, 2))
    theta = torch.cat([scale, ((1 - 2 * corner) / side - 1)[:, :, None]], dim=2)  # of the image's -1..1 to the region's
    places = F.affine_grid(theta, [len(heatmaps), 1, *size], align_corners=False)
    inside = (places.abs() <= 1).all(dim=3)
    # With zeros as padding the outermost half cell would fade.
    return F.grid_sample(heatmaps[:, None], places, padding_mode="border", align_corners=False)[:, 0] * inside


def detail(*settings: Inference | None) -> int:
    """The largest :attr:`~torchbas.config.Inference.detail` of some settings; 1 without any."""
    return max((one.detail for one in settings if one is not None), default=1)


def reduce(images: Float[Tensor, "B 3 H W"], times: int) -> Float[Tensor, "B 3 _ _"]:
    """Images ``times`` smaller, bilinear with antialiasing as in Pillow."""
    if times == 1:
        return images
    size = (images.shape[2] // times, images.shape[3] // times)
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)


def _span(found: Bool[Tensor, "Q n"]) -> Float[Tensor, "Q 2"]:
    """Start and end of the True places as shares of the length; 0 and 1 where there are none."""
    count = found.shape[1]
    first, last = found.int().argmax(dim=1), found.flip(1).int().argmax(dim=1)
    return torch.stack([first, count - last], dim=1) / count
