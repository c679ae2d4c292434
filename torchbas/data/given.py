"""Photos as a program has them: paths, URLs, bytes, Pillow images, arrays and tensors, as samples."""

import os
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..structures import Problem, Sample
from .images import LARGEST_FILE, UnreadableImage, decode, upright_of
from .loader import Unreadable

Photo = str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Tensor
"""A path or an ``http(s)://`` URL; the bytes of an image file; a Pillow image; an array ``(H, W)`` or ``(H, W, 1 | 3 |
4)`` in RGB, or a tensor ``(H, W)`` or ``(1 | 3, H, W)``: uint8, or floats in [0, 1]."""
PATIENCE = 30
"""Seconds that a server is given to answer."""


def is_photo(source: Any) -> bool:
    """Whether that is one photo, and neither the path of a file or folder nor several."""
    if isinstance(source, (np.ndarray, Tensor)):
        return source.ndim < 4
    return _is_url(source) or isinstance(source, (bytes, Image.Image))


def samples_of(photos: Iterable[Photo], unreadable: Unreadable | None = None) -> Iterator[Sample]:
    """A sample of each photo, made as it is asked for; what is no file has its number as its name, as ``0.png``.

    Args:
        unreadable: told of photos in memory that cannot be decoded, and URLs that cannot be fetched; they are left out.

    Raises:
        InputError: something that is no photo; one that ``unreadable`` would be told of, where it is None.
    """
    for number, photo in enumerate(photos):
        if isinstance(photo, (str, os.PathLike)) and not _is_url(photo):
            yield Sample(Path(photo), os.fspath(photo))
            continue
        name = f"{number}.png"
        try:
            yield Sample(Path(name), name, image=_image(photo, name))
        except UnreadableImage as error:
            if unreadable is None:
                raise
            unreadable(Problem(name, str(error)))


def _is_url(source: Any) -> bool:
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def _image(photo: Any, name: str) -> Image.Image:
    """A photo in memory as upright RGB, in pixels of its own."""
    if isinstance(photo, str):
        return decode(photo, content=_fetched(photo)).image
    if isinstance(photo, bytes):
        return decode(f"Photo {name}", content=photo).image
    if isinstance(photo, Image.Image):
        return upright_of(photo, f"Photo {name}")
    if not isinstance(photo, (np.ndarray, Tensor)):
        raise InputError(f"Photo {name} is a {type(photo).__name__}: give a path, a URL, bytes, an image or an array.")
    return upright_of(Image.fromarray(_pixels(photo, f"Photo {name}")), f"Photo {name}")


def _pixels(photo: np.ndarray | Tensor, name: str) -> np.ndarray:
    """An array or a tensor as uint8 ``(H, W)`` or ``(H, W, 3 | 4)``."""
    shape, tensor = tuple(photo.shape), isinstance(photo, Tensor)
    channels = 1 if len(shape) == 2 else shape[0 if tensor else -1] if len(shape) == 3 else 0
    if channels not in ((1, 3) if tensor else (1, 3, 4)):
        what = "a tensor (H, W) or (1 | 3, H, W)" if tensor else "an array (H, W) or (H, W, 1 | 3 | 4)"
        raise InputError(f"{name} has the shape {shape}: give {what}.")
    if isinstance(photo, Tensor):
        photo = (photo.detach().float() if photo.is_floating_point() else photo).numpy(force=True)
        photo = photo.transpose(1, 2, 0) if photo.ndim == 3 else photo
    photo = photo[..., 0] if len(shape) == 3 and channels == 1 else photo
    if not photo.size:
        raise InputError(f"{name} has no pixels, its shape is {shape}: leave it out.")
    if photo.dtype == np.uint8:
        return np.ascontiguousarray(photo)
    if photo.dtype.kind != "f":
        raise InputError(f"{name} is of {photo.dtype}: convert it to uint8, or to floats in [0, 1].")
    if not (photo.min() >= 0 and photo.max() <= 1):
        raise InputError(f"{name} has values from {photo.min():g} to {photo.max():g}: floats must be in [0, 1].")
    return (photo * 255).round().astype(np.uint8)


def _fetched(url: str) -> bytes:
    """The content behind a URL."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise InputError(f"{url} is on the network, which --offline (HF_HUB_OFFLINE) forbids. Give a file.")
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            content = answer.read(LARGEST_FILE + 1)
    except (OSError, ValueError, HTTPException) as error:
        raise UnreadableImage(f"{url} cannot be fetched ({error}). Check the address, or give a file.") from error
    if len(content) > LARGEST_FILE:
        raise UnreadableImage(f"{url} is larger than {LARGEST_FILE >> 30} GiB. Give a smaller one.")
    return content
