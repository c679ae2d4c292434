"""Photos as a program has them: paths, URLs, bytes, Pillow images, arrays and tensors, as samples."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..structures import Sample
from .images import LARGEST_FILE, UnreadableImage, decode, upright_of

Photo = str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Tensor
"""A path or an ``http(s)://`` URL; the bytes of an image file; a Pillow image; an array ``(H, W)`` or ``(H, W, 1 | 3 |
4)`` in RGB, or a tensor ``(1 | 3, H, W)``: uint8, or floats in [0, 1]."""
PATIENCE = 30
"""Seconds that a server is given to answer."""


def is_photo(source: Any) -> bool:
    """Whether that is one photo, and no path of a file or folder."""
    if isinstance(source, str):
        return source.startswith(("http://", "https://"))
    if isinstance(source, np.ndarray):
        return source.ndim == 2 or (source.ndim == 3 and source.shape[2] in (1, 3, 4))
    return isinstance(source, (bytes, Image.Image)) or (isinstance(source, Tensor) and source.ndim == 3)


def samples_of(photos: Iterable[Photo]) -> Iterator[Sample]:
    """A sample of each photo, made as it is asked for; what is no file has its number as its name, as ``0.png``.

    Raises:
        InputError: something that is no photo, or cannot be decoded or fetched; a URL where the network is off limits.
    """
    for number, photo in enumerate(photos):
        if isinstance(photo, (str, os.PathLike)) and not is_photo(photo):
            yield Sample(Path(photo), os.fspath(photo))
        else:
            name = f"{number}.png"
            yield Sample(Path(name), name, image=_image(photo, name))


def _image(photo: Any, name: str) -> Image.Image:
    """A photo in memory as upright RGB."""
    if isinstance(photo, str):
        photo = _fetched(photo)
    if isinstance(photo, bytes):
        return decode(photo).image
    if isinstance(photo, Image.Image):
        return upright_of(photo, name)
    if isinstance(photo, Tensor):
        photo = photo.detach().cpu().permute(1, 2, 0).numpy() if photo.ndim == 3 else photo.numpy(force=True)
    if not isinstance(photo, np.ndarray) or not is_photo(photo):
        what = f"an array of shape {photo.shape}" if isinstance(photo, np.ndarray) else f"a {type(photo).__name__}"
        raise InputError(f"Photo {name} is {what}. Give a path, a URL, bytes, a Pillow image, H x W x 3 or 3 x H x W.")
    if not photo.size:
        raise InputError(f"Photo {name} has no pixels: its shape is {photo.shape}. Leave it out.")
    return upright_of(Image.fromarray(_bytes_of(photo, name)), name)


def _bytes_of(photo: np.ndarray, name: str) -> np.ndarray:
    """An array as uint8, without a channel axis of one."""
    photo = photo[..., 0] if photo.ndim == 3 and photo.shape[2] == 1 else photo
    if photo.dtype == np.uint8:
        return np.ascontiguousarray(photo)
    if photo.dtype.kind != "f" or not (photo.min() >= 0 and photo.max() <= 1):
        raise InputError(f"Photo {name} is of {photo.dtype}, not uint8 or floats in [0, 1]. Convert it first.")
    return (photo * 255).round().astype(np.uint8)


def _fetched(url: str) -> bytes:
    """The content behind a URL."""
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        raise InputError(f"{url} is on the network, which --offline (HF_HUB_OFFLINE) forbids. Give a file.")
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            content = answer.read(LARGEST_FILE + 1)
    except (URLError, OSError, ValueError) as error:
        raise InputError(f"{url} cannot be fetched ({error}). Check the address, or give a file.") from error
    if len(content) > LARGEST_FILE:
        raise UnreadableImage(f"{url} is larger than {LARGEST_FILE >> 30} GiB. Give a smaller one.")
    return content
