"""Tensors and plain values from what ``torch.save`` has written; nothing in it is run."""

import pickletools
import warnings
import zipfile
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import torch

from .arrays import LARGEST

LONGEST = 1000
"""Letters of a function's name: torch's time for the refusal of an unknown one grows with their square."""
_LEGACY = 5
"""Pickles at the beginning of a file from before torch 1.6; bare numbers follow."""


def load_tensors(source: Path | BufferedReader | BytesIO) -> Any:
    """What the file holds, on the CPU.

    Raises one of :data:`torchbas.data.arrays.DAMAGED` for a damaged file, and for one that wants to run something.
    """
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return load_tensors(stream)
    _refuse_long_names(source)
    source.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of old pickles and sparse tensors: they are refused afterwards
        return torch.load(source, "cpu", weights_only=True)


def _refuse_long_names(stream: BufferedReader | BytesIO) -> None:
    if stream.read(4) == b"PK\x03\x04":
        with zipfile.ZipFile(stream) as archive:
            members = [one for one in archive.infolist() if Path(one.filename).name == "data.pkl"]
            if sum(one.file_size for one in members) > LARGEST:
                raise ValueError(f"what it says of its tensors has more than {LARGEST >> 20} MB")
            for member in members:
                _read_names(BytesIO(archive.read(member)))
        return
    stream.seek(0)
    for _ in range(_LEGACY):
        _read_names(stream)


def _read_names(pickled: BufferedReader | BytesIO) -> None:
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL" and len(str(argument)) > LONGEST:
            raise ValueError(f"a function's name of {len(str(argument))} letters")
