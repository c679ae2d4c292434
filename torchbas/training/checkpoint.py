"""Checkpoint: a stopped training on disk, which is read whole before anything is changed."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from ..bounds import NonNegative, built, checked
from ..data.arrays import DAMAGED
from ..data.tensors import load_tensors
from ..errors import InputError, one_line
from ..inputs import regular
from ..io import atomic_write

CHECKPOINT = "checkpoint.pt"


@dataclass
class TrainerState:
    """Progress of a run: ``step`` optimizer steps are done, ``batch`` of ``epoch`` is next."""

    step: NonNegative[int] = 0
    epoch: NonNegative[int] = 0
    batch: NonNegative[int] = 0


class Checkpoint(TypedDict):
    """What continues bit for bit."""

    module: dict[str, Tensor]
    optimizer: dict[str, Any]
    precision: dict[str, Any]
    state: dict[str, int]
    fingerprint: str


def write_checkpoint(path: Path, content: Checkpoint) -> None:
    """Write a checkpoint atomically. Raises :class:`InputError` where the disk refuses."""
    with atomic_write(path) as partial:
        try:
            torch.save(content, partial)
        except (OSError, RuntimeError) as error:
            raise InputError(f"{path} cannot be written; make room on the disk and --resume.") from error


def read_checkpoint(path: Path, fingerprint: str) -> tuple[Checkpoint, TrainerState]:
    """A checkpoint whose every byte is as it was written, and the state in it.

    Raises:
        InputError: it is damaged, of other settings or data, or no checkpoint.
    """
    try:
        with zipfile.ZipFile(regular(path)) as archive:  # torch itself does not compare the check sums
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"{broken} has another check sum")
        content: Any = checked(dict[str, Any], load_tensors(path), "content")
        if checked(str, content.get("fingerprint"), "fingerprint") != fingerprint:
            raise InputError(f"{path} was made with other settings or data; give the same, or --overwrite to restart.")
        for name in ("module", "optimizer", "precision"):
            checked(dict[str, Any], content.get(name), name)
        return content, built(TrainerState, content.get("state"), "state")
    except DAMAGED as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> InputError:
    """The error that says so, and the next move; the file is left as it is."""
    return InputError(
        f"{path} is damaged ({one_line(error)}): bring back a copy of it, or start again with --overwrite."
    )
