"""Tags of a VOC-style folder that stand in arrays: in its true masks, or in IRN's ``cls_labels.npy``."""

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...structures import IGNORE_INDEX
from ..arrays import read_pickled
from ..ground_truth import read_mask
from .reading import folder_name


def labels_in_mask(file: Path, classes: tuple[str, ...]) -> tuple[int, ...]:
    """The classes of a true mask, background and ignored pixels aside."""
    numbers = [number for number in np.unique(read_mask(file)).tolist() if number not in (0, IGNORE_INDEX)]
    if numbers and numbers[-1] > len(classes):
        raise InputError(f"{file} holds class {numbers[-1]}, but there are {len(classes)}. List them in classes.txt.")
    return tuple(number - 1 for number in numbers)


def labels_in_npy(file: Path, num_classes: int) -> dict[str, tuple[int, ...]]:
    """IRN's ``cls_labels.npy``: a dictionary from id to a 0 or 1 per class; VOC's ids are numbers in it."""
    try:
        table = read_pickled(file)
        return {_id_of(key): _present(row, num_classes) for key, row in table.items()}
    except FileNotFoundError as error:
        raise InputError(f"{folder_name(file.parent)} has no {file.name}. Copy it there.") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{file} is no table of {num_classes} labels a photo ({error}). Copy it again.") from error


def _id_of(key: Any) -> str:
    return key if isinstance(key, str) else f"{int(key) // 10**6}_{int(key) % 10**6:06d}"


def _present(row: Any, num_classes: int) -> tuple[int, ...]:
    if np.shape(row) != (num_classes,):
        raise ValueError(f"a row of shape {np.shape(row)}")
    return tuple(np.flatnonzero(row).tolist())
