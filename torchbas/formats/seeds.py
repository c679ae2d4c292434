"""Seeds on disk: a photo's class maps before refinement, ``.npz`` without pickle, where any two methods meet."""

import pickle
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from ..errors import InputError
from .files import replacing

STRIDE = 4
"""Maps are kept at a quarter of the working height and width, both rounded up."""
LARGEST = 640
"""Pixels of the longer side that work is done at; larger photos are reduced to it (VOC and COCO have none)."""


class Seed(NamedTuple):
    """What one or more methods say of one photo."""

    maps: Float32[np.ndarray, "N h w"]
    """One map for each of the photo's tags, in [0, 1], at a quarter of its working size."""
    tags: tuple[str, ...]
    """The tags, in the order of the class list."""
    size: tuple[int, int]
    """Height and width of the photo, EXIF applied."""


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a photo while it is worked on: its own, or reduced to ``LARGEST``."""
    shrink = min(1, LARGEST / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def quarter(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the grid of its maps, for a photo of this original size."""
    height, width = working_size(size)
    return -(-height // STRIDE), -(-width // STRIDE)


def write_seed(path: Path, seed: Seed) -> None:
    """Write a seed, whole or not at all; maps in half precision. Raises :class:`InputError` for a full disk."""
    with replacing(path) as partial, partial.open("wb") as stream:
        tags, size = np.array(seed.tags, np.str_), np.array(seed.size)
        np.savez_compressed(stream, allow_pickle=False, maps=seed.maps.astype(np.float16), tags=tags, size=size)


def read_seed(path: Path) -> Seed:
    """Read what :func:`write_seed` wrote, or another program in its form.

    Raises:
        InputError: no such file, a damaged one, or arrays that do not fit together.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            maps, tags, size = kept["maps"], tuple(map(str, kept["tags"])), tuple(map(int, kept["size"]))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: make the seeds again, for all of the photos.") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as a seed ({error}): make it again.") from error
    return _checked(path, maps, tags, size)


def read_irn(path: Path, classes: tuple[str, ...]) -> Seed:
    """Read a seed as IRN's code and its descendants write it: a pickled dictionary, class numbers in ``classes``.

    Unpickling runs whatever the file says, so call this only for files whose writer you trust.

    Raises:
        InputError: no such file, or not such a dictionary.
    """
    try:
        content = np.load(path, allow_pickle=True).item()
        keys = np.asarray(content["keys"]).astype(int)
        tags = tuple(classes[key] for key in keys)
        maps, full = np.asarray(content["cam"]), np.asarray(content["high_res"])
    except (OSError, EOFError, ValueError, KeyError, IndexError, AttributeError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is no seed of IRN ({error}): give a folder of its cam_out_dir.") from error
    order = np.argsort(keys)
    return _checked(path, maps[order], tuple(tags[place] for place in order), full.shape[-2:])


def _checked(path: Path, maps: np.ndarray, tags: tuple[str, ...], size: tuple[int, ...]) -> Seed:
    if len(size) != 2 or maps.shape != (len(tags), *quarter((size[0], size[1]))):
        shape = f"{len(tags)} tags, a photo of {' x '.join(map(str, size))} and maps {maps.shape}"
        raise InputError(f"{path} holds {shape}: a map per tag at a quarter of the photo is needed.")
    maps = maps.astype(np.float32)
    if maps.size and not (maps.min() >= 0 and maps.max() <= 1):  # NaN fails both
        raise InputError(f"{path} has values outside [0, 1]: divide each map by its largest value.")
    return Seed(maps, tags, (size[0], size[1]))
