"""Views of a photo: resized to a square and cropped, as in the paper; or IRN's, which keep the aspect ratio.

Views are uint8 tensors, the smallest form to send from a loading process; :func:`standardize` turns a whole batch into
the network's input, on the batch's device. Equal to torchvision's transforms, whose import takes seconds in every
loading process.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

MEAN_COLOR = (124, 116, 104)
"""ImageNet's mean in RGB: padding that :func:`standardize` turns into (nearly) zero."""


def train_view(
    image: Image.Image, rng: np.random.Generator, resize: int = 256, crop: int = 224
) -> UInt8[Tensor, "3 {crop} {crop}"]:
    """A random crop of the photo resized to a square, mirrored with probability 1/2."""
    left, top = rng.integers(0, resize - crop, size=2, endpoint=True).tolist()
    view = _square(image, resize).crop((left, top, left + crop, top + crop))
    return to_tensor(view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else view)


def long_side_view(image: Image.Image, rng: np.random.Generator, crop: int = 512) -> UInt8[Tensor, "3 {crop} {crop}"]:
    """IRN's training view: the long side drawn from 5/8 to 5/4 of ``crop``, mirrored with probability 1/2, then a
    random crop, padded with the mean color."""
    long = rng.integers(round(crop * 5 / 8), round(crop * 5 / 4), endpoint=True)
    width, height = (max(1, round(side * long / max(image.size))) for side in image.size)
    view = image.resize((width, height), Image.Resampling.BICUBIC)
    view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else view
    left, top = random_corner(view, rng, crop)
    return to_tensor(window(view, left, top, crop, MEAN_COLOR))


def window(image: Image.Image, left: int, top: int, crop: int, fill: int | tuple[int, ...]) -> Image.Image:
    """The crop of ``crop`` x ``crop`` pixels from (left, top) on, with ``fill`` outside the image."""
    canvas = Image.new(image.mode, (crop, crop), fill)
    canvas.paste(image, (-left, -top))
    return canvas


def random_corner(image: Image.Image, rng: np.random.Generator, crop: int) -> tuple[int, int]:
    """Left and top of a random :func:`window`: inside the image, or around it on an axis where it is smaller."""
    spare = np.subtract(image.size, crop)
    left, top = rng.integers(np.minimum(spare, 0), np.maximum(spare, 0), endpoint=True).tolist()
    return left, top


def center_view(image: Image.Image, resize: int = 256, crop: int = 224) -> UInt8[Tensor, "3 {crop} {crop}"]:
    """The center crop of the photo resized to a square: the authors' test view."""
    margin = _margin(resize, crop)
    return to_tensor(_square(image, resize).crop((margin, margin, margin + crop, margin + crop)))


def whole_view(image: Image.Image, size: int = 224) -> UInt8[Tensor, "3 {size} {size}"]:
    """The whole photo resized to a square, without a crop."""
    return to_tensor(_square(image, size))


def ten_crops(image: Image.Image, resize: int = 256, crop: int = 224) -> UInt8[Tensor, "10 3 {crop} {crop}"]:
    """Corner crops (top left, top right, bottom left, bottom right) and center crop of the photo resized to a square,
    then of its mirror image: the authors' classification protocol, in torchvision's order."""
    upright = to_tensor(_square(image, resize))
    last, middle = resize - crop, _margin(resize, crop)
    corners = [(0, 0), (0, last), (last, 0), (last, last), (middle, middle)]
    return torch.stack([view[:, y : y + crop, x : x + crop] for view in (upright, upright.flip(2)) for y, x in corners])


def standardize(
    images: UInt8[Tensor, "*B 3 H W"] | Float[Tensor, "*B 3 H W"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "*B 3 H W"]:
    """Subtract ``mean`` and divide by ``std``, both per channel in units of [0, 1].

    uint8 images are in [0, 255], floats in [0, 1]. The result is on the images' device.
    """
    scaled = images if images.is_floating_point() else images.to(torch.get_default_dtype()) / 255
    return (scaled - per_channel(mean, scaled)) / per_channel(std, scaled)


def per_channel(values: Sequence[float], images: Float[Tensor, "*B C H W"]) -> Float[Tensor, "C 1 1"]:
    """A value of each channel, to compute with images on their device."""
    if type(images) is not Tensor:  # traced: what is made now is a part of that graph alone
        return torch.tensor(values, device=images.device, dtype=images.dtype)[:, None, None]
    return _kept(tuple(values), images.device, images.dtype)


@lru_cache(maxsize=64)  # a copy from the host to a GPU waits until the GPU has done all that it was told
def _kept(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Float[Tensor, "C 1 1"]:
    with torch.inference_mode(mode=False):  # else it could not be used in training
        return torch.tensor(values, device=device, dtype=dtype)[:, None, None]


def _square(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BILINEAR)


def _margin(resize: int, crop: int) -> int:
    return round((resize - crop) / 2)


def to_tensor(image: Image.Image) -> UInt8[Tensor, "3 H W"]:
    """The pixels of an RGB image, channels first."""
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
