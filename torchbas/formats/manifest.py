"""``run.json``: what a command did, written last, so that a folder that has one is complete."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import torchbas

from ..errors import InputError
from .files import replacing

MANIFEST = "run.json"


def write_manifest(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write ``content`` and the version of torchbas to ``folder/run.json``, in one step, and return its path.

    Paths, dataclasses, tuples and numpy scalars are fine; numbers that JSON does not know (NaN, infinity) become null.
    Raises :class:`InputError` when the disk refuses it.
    """
    path = folder / MANIFEST
    text = json.dumps(_plain({"torchbas": torchbas.__version__, **content}), indent=2, allow_nan=False)
    with replacing(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return path


def read_manifest(folder: Path) -> dict[str, Any]:
    """What :func:`write_manifest` wrote. Raises :class:`InputError` when it is missing, so incomplete, or damaged."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{folder} has no readable {MANIFEST}: its command did not finish. Run it again.") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}). Run the command that made it again.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no manifest of torchbas. Check the folder.")
    return content


def _plain(value: Any) -> Any:
    """The same in the words of JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
