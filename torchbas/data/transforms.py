"""Views of a photo: squeezed to a square, then a crop, as in the paper; or IRN's, which keeps the aspect ratio.

Views are uint8 tensors, the smallest thing to send from the loading process; :func:`normalise` makes the network's
input of a whole batch, on the batch's device.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

MEAN_COLOUR = (124, 116, 104)
"""ImageNet's mean as a pixel: what becomes (nearly) zero by :func:`normalise`."""


def train_view(
    image: Image.Image, rng: np.random.Generator, resize: int = 256, crop: int = 224
) -> UInt8[Tensor, "3 {crop} {crop}"]:
    """A random crop of the squeezed photo, mirrored every second time; ``rng`` decides both."""
    left, top = rng.integers(0, resize - crop, size=2, endpoint=True).tolist()
    view = _squeeze(image, resize).crop((left, top, left + crop, top + crop))
    return to_tensor(view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else view)


def long_side_view(image: Image.Image, rng: np.random.Generator, crop: int = 512) -> UInt8[Tensor, "3 {crop} {crop}"]:
    """IRN's training view: the long side anywhere from 5/8 to 5/4 of ``crop``, mirrored every second time, then a
    random crop; what lies outside the photo has the mean colour, so it is zero for the network."""
    long = rng.integers(round(crop * 5 / 8), round(crop * 5 / 4), endpoint=True)
    width, height = (max(1, round(side * long / max(image.size))) for side in image.size)
    view = image.resize((width, height), Image.Resampling.BICUBIC)
    view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else view
    left, top = random_corner(view, rng, crop)
    return to_tensor(window(view, left, top, crop, MEAN_COLOUR))


def window(image: Image.Image, left: int, top: int, crop: int, fill: int | tuple[int, ...]) -> Image.Image:
    """``crop`` x ``crop`` pixels of the image from (left, top) on; ``fill`` where that is outside."""
    canvas = Image.new(image.mode, (crop, crop), fill)
    canvas.paste(image, (-left, -top))
    return canvas


def random_corner(image: Image.Image, rng: np.random.Generator, crop: int) -> tuple[int, int]:
    """Left and top of a :func:`window` inside the image, or around it on each axis where the image is smaller."""
    spare = np.subtract(image.size, crop)
    left, top = rng.integers(np.minimum(spare, 0), np.maximum(spare, 0), endpoint=True).tolist()
    return left, top


def centre_view(image: Image.Image, resize: int = 256, crop: int = 224) -> UInt8[Tensor, "3 {crop} {crop}"]:
    """The middle of the squeezed photo: what the authors test on."""
    margin = _margin(resize, crop)
    return to_tensor(_squeeze(image, resize).crop((margin, margin, margin + crop, margin + crop)))


def whole_view(image: Image.Image, size: int = 224) -> UInt8[Tensor, "3 {size} {size}"]:
    """The whole photo, squeezed: nothing is cut off."""
    return to_tensor(_squeeze(image, size))


def ten_crops(image: Image.Image, resize: int = 256, crop: int = 224) -> UInt8[Tensor, "10 3 {crop} {crop}"]:
    """Corners (top left, top right, bottom left, bottom right) and centre of the squeezed photo, then of its mirror
    image: the authors' classification protocol, in torchvision's order."""
    upright = to_tensor(_squeeze(image, resize))
    far, middle = resize - crop, _margin(resize, crop)
    corners = [(0, 0), (0, far), (far, 0), (far, far), (middle, middle)]
    return torch.stack([view[:, y : y + crop, x : x + crop] for view in (upright, upright.flip(2)) for y, x in corners])


def normalise(
    images: UInt8[Tensor, "*B 3 H W"] | Float[Tensor, "*B 3 H W"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "*B 3 H W"]:
    """Subtract ``mean`` and divide by ``std``, both per channel in units of [0, 1].

    Bytes are read as 0..255; floats must be in [0, 1] already. The result lies on the images' device.
    """
    scaled = images if images.is_floating_point() else images.to(torch.get_default_dtype()) / 255
    return (scaled - scaled.new_tensor(mean)[:, None, None]) / scaled.new_tensor(std)[:, None, None]


def _squeeze(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BILINEAR)


def _margin(resize: int, crop: int) -> int:
    return round((resize - crop) / 2)


def to_tensor(image: Image.Image) -> UInt8[Tensor, "3 H W"]:
    """The pixels of an RGB image, channels first."""
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
