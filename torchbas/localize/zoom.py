"""Geometry of the second stage (Sec. 6): where to look closer, the enlarged cut-outs, and their maps put back.

A region is a square ``(left, top, side)`` in shares of the image's width and height. A square of the squeezed photo
keeps the photo's distortion, which is the one that the network has learned from.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import roi_align

from ..config import Inference

DETAIL = 2
"""How many times larger than the network's input a view is where a second look may follow: memory stays bounded."""
CLOSEST = 0.25
"""Side of the smallest region: closer than that there is little but blown-up pixels."""


def regions(maps: Float[Tensor, "Q h w"], thresholds: Float[Tensor, " Q"], padding: float) -> Float[Tensor, "Q 3"]:
    """The square around all that is above the threshold, ``padding`` times its side wider on each side.

    It never leaves the image; nothing above the threshold gives the whole of it.
    """
    found = maps > thresholds[:, None, None]
    starts, ends = torch.stack([_span(found.any(dim=1)), _span(found.any(dim=2))], dim=2).unbind(1)
    side = ((ends - starts).amax(dim=1, keepdim=True) * (1 + 2 * padding)).clamp(CLOSEST, 1)
    corner = torch.minimum(((starts + ends - side) / 2).clamp(min=0), 1 - side)
    return torch.cat([corner, side], dim=1)


def cut(
    images: Float[Tensor, "B 3 H W"], photo: Int[Tensor, " Q"], regions: Float[Tensor, "Q 3"], size: tuple[int, int]
) -> Float[Tensor, "Q 3 _ _"]:
    """Each region of the photo of that position, brought to ``size``; pixels are averaged where it gets smaller."""
    corner, side = regions[:, :2], regions[:, 2:]
    scale = regions.new_tensor([images.shape[3], images.shape[2]])
    boxes = torch.cat([photo[:, None].to(regions.dtype), corner * scale, (corner + side) * scale], dim=1)
    return roi_align(images, boxes, list(size), aligned=True)


def paste(maps: Float[Tensor, "Q h w"], regions: Float[Tensor, "Q 3"], size: tuple[int, int]) -> Float[Tensor, "Q H W"]:
    """The regions' maps at their place in an image of ``size``, bilinear, and 0 around them."""
    corner, side = regions[:, :2], regions[:, 2:]
    scale = torch.diag_embed((1 / side).expand(-1, 2))
    theta = torch.cat([scale, ((1 - 2 * corner) / side - 1)[:, :, None]], dim=2)  # of the image's -1..1 to the region's
    places = F.affine_grid(theta, [len(maps), 1, *size], align_corners=False)
    inside = (places.abs() <= 1).all(dim=3)
    # The border's value outside, or the outermost half cell would fade.
    return F.grid_sample(maps[:, None], places, padding_mode="border", align_corners=False)[:, 0] * inside


def detail(*ways: Inference | None) -> int:
    """How many times larger than the network's input the views must be that these ways of inference look at."""
    return DETAIL if any(way is not None and way.zoom for way in ways) else 1


def reduce(images: Float[Tensor, "B 3 H W"], times: int) -> Float[Tensor, "B 3 _ _"]:
    """The images ``times`` smaller, each pixel a weighted mean as Pillow makes it."""
    if times == 1:
        return images
    size = (images.shape[2] // times, images.shape[3] // times)
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)


def _span(found: Bool[Tensor, "Q n"]) -> Float[Tensor, "Q 2"]:
    """First place and end as shares of the length; all of it where there is none."""
    count = found.shape[1]
    first, last = found.int().argmax(dim=1), found.flip(1).int().argmax(dim=1)
    return torch.stack([first, count - last], dim=1) / count
