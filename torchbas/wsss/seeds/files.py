"""Seeds on disk: class maps of one photo before refinement, as ``.npz`` without pickle; the format of any method."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32

from ...data.arrays import read_arrays, read_pickled
from ...data.tensors import load_tensors
from ...errors import InputError, one_line
from ...io import atomic_write
from ...structures import LARGEST, working_size

STRIDE = 4
"""Pixels between the cells of a map: a quarter of the working height and width, both rounded up."""


class Seed(NamedTuple):
    """Class maps of one photo, by one or more methods."""

    maps: Float32[np.ndarray, "N h w"]
    """One map for each of the photo's tags, in [0, 1], at a quarter of its working size."""
    tags: tuple[str, ...]
    """The tags, in the order of the class list."""
    size: tuple[int, int]
    """Height and width of the photo, EXIF applied."""


def quarter(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the maps of a photo of this original size."""
    height, width = working_size(size)
    return -(-height // STRIDE), -(-width // STRIDE)


def write_seed(path: Path, seed: Seed) -> None:
    """Write a seed atomically, its maps in half precision. Raises :class:`InputError` for a full disk."""
    with atomic_write(path) as partial, partial.open("wb") as stream:
        tags, size = np.array(seed.tags, np.str_), np.array(seed.size)
        np.savez_compressed(stream, maps=seed.maps.astype(np.float16), tags=tags, size=size)


def read_seed(path: Path) -> Seed:
    """Read what :func:`write_seed` wrote, or another program in its form.

    Raises:
        InputError: no such file, a damaged one, or arrays that do not fit together.
    """
    try:
        kept = read_arrays(path)
        maps, tags, size = kept["maps"], tuple(map(str, kept["tags"])), tuple(map(int, kept["size"]))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: make the seeds again, for all of the photos.") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} cannot be read as a seed ({one_line(error)}): make it again.") from error
    return _checked(path, maps, tags, size)


def read_irn(path: Path, classes: tuple[str, ...]) -> Seed:
    """Read a seed as IRN's code and its descendants write it: a pickled dictionary, class numbers in ``classes``.

    Of the pickle arrays and tensors of numbers are built; nothing in it is run.

    Raises:
        InputError: no such file, or not such a dictionary.
    """
    try:
        content = read_pickled(path, _TENSORS)
        keys, maps = np.asarray(content["keys"]), np.asarray(content["cam"])
        size = np.asarray(content["high_res"]).shape[-2:]
        if maps.ndim != 3 or keys.shape != (len(maps),) or len(keys) > len(classes):
            raise ValueError(f"{len(maps)} maps for {len(keys)} keys of {len(classes)} classes")
        keys = keys.astype(int)
    except (OSError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} is no seed of IRN ({one_line(error)}): give a folder of its cam_out_dir.") from error
    if unknown := sorted(set(keys.tolist()) - set(range(len(classes)))):
        raise InputError(f"{path} has maps of class {unknown[0]}, but there are {len(classes)}: give IRN's class list.")
    order = np.argsort(keys)
    return _checked(path, maps[order], tuple(classes[key] for key in keys[order]), size)


def _storage(content: bytes) -> torch.TypedStorage:
    return load_tensors(io.BytesIO(content))


def _tensor(storage: torch.TypedStorage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Any:
    """The numbers of a pickled tensor; torch refuses what lies outside its storage."""
    return torch.empty(0, dtype=storage.dtype).set_(storage, offset, size, stride).numpy()


_TENSORS = {
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("collections", "OrderedDict"): dict,
}
"""What a pickle with tensors in it calls, as functions that run nothing else."""


def _checked(path: Path, maps: np.ndarray, tags: tuple[str, ...], size: tuple[int, ...]) -> Seed:
    if len(size) != 2 or min(size) < 1 or maps.dtype.kind not in "fiub":
        raise InputError(f"{path} holds no numbers, or no height and width of a photo: make it again.")
    needed = len(tags), *quarter((size[0], size[1]))
    if maps.shape != needed:
        raise InputError(
            f"{path} holds maps {maps.shape}, but its {len(tags)} tags and photo of {size[0]} x {size[1]} need "
            f"{needed}: a map per tag, at a quarter of the photo's size once it is reduced to {LARGEST} pixels."
        )
    maps = maps.astype(np.float32)
    if maps.size and not (maps.min() >= 0 and maps.max() <= 1):  # NaN fails both
        raise InputError(f"{path} has values outside [0, 1]: divide each map by its largest value.")
    return Seed(maps, tags, (size[0], size[1]))
