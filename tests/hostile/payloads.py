"""Files that somebody made on purpose: pickles that run code, bombs, pipes, links in a circle."""

import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch


class _Calls:
    """Unpickled by a trusting reader, it calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def attacks(canary: Path) -> dict[str, bytes]:
    """Pickles that make the file ``canary``, bare and in the wrappings of NumPy and torch."""
    calls = {
        "open": _Calls(open, str(canary), "w"),
        "system": _Calls(os.system, f"touch '{canary}'"),
        "exec": _Calls(exec, f"open({str(canary)!r}, 'w')"),
        "mkdir": _Calls(os.mkdir, str(canary)),
    }
    files = {}
    for name, call in calls.items():
        held = {"state_dict": {"a": call}, "keys": call, "cam": call, "fingerprint": call}
        files |= {f"{name}_pickle": pickle.dumps(held), f"{name}_npy": _npy(held), f"{name}_object": _npy([call])}
        for form in (True, False):
            stream = io.BytesIO()
            torch.save(held, stream, _use_new_zipfile_serialization=form)
            files[f"{name}_torch_{'zip' if form else 'old'}"] = stream.getvalue()
    return files


def _npy(held: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(held, object), allow_pickle=True)
    return stream.getvalue()


def _zip(name: str, start: bytes, zeros: int) -> bytes:
    """A zip file of one member that is ``start`` and then so many zeros."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as out,
    ):
        out.write(start)
        for _ in range(zeros >> 20):
            out.write(bytes(1 << 20))
    return packed.getvalue()


def _header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _png(width: int, height: int, rows: int) -> bytes:
    """A gray PNG that claims a size and holds so many black rows."""
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(bytes(width + 1)) for _ in range(rows)) + packer.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", pixels), (b"IEND", b""))
    parts = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@cache
def bombs() -> dict[str, tuple[str, str, bytes]]:
    """By name: the kind of reader, the file and bytes that want far more memory than they are."""
    large = struct.pack(
        "<Q", 90
    ) + b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'.ljust(90)
    return {
        "npz of 1.2 GB": ("map_npz", "a.npz", _zip("MAP.npy", _header((1 << 14, 19000)), 1200 << 20)),
        "npz that lies": ("map_npz", "a.npz", _zip("MAP.npy", _header((1 << 40, 1 << 20)), 1 << 20)),
        "npy that lies": ("map_npy", "a.npy", _header((1 << 40, 1 << 20)) + bytes(100)),
        "seed that lies": ("seed", "a.npz", _zip("maps.npy", _header((1 << 40, 1 << 20)), 1 << 20)),
        "safetensors that lies": ("model_bas", "model.safetensors", large),
        "checkpoint that is no archive of torch": (
            "training_checkpoint",
            "checkpoint.pt",
            _zip("a/data.pkl", b"N.", 0),
        ),
        "PNG of 4 gigapixels": ("png", "photo.png", _png(1 << 16, 1 << 16, 1)),
        "mask of 4 gigapixels": ("mask_png", "mask.png", _png(1 << 16, 1 << 16, 1)),
        "PNG with a comment of 64 MB": ("png", "photo.png", _comment(64)),
    }


def _comment(megabytes: int) -> bytes:
    """A PNG whose compressed comment is that long."""
    text = b"a\0\0" + zlib.compress(bytes(megabytes << 20), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    whole = _png(4, 4, 4)
    return whole[:33] + chunk + whole[33:]


def misplaced() -> dict[str, Callable[[Path], object]]:
    """What may lie where a file belongs: makers of it, by name."""
    return {
        "pipe": os.mkfifo,
        "circle of links": lambda path: path.symlink_to(path.name),
        "link to nothing": lambda path: path.symlink_to("absent"),
        "folder": Path.mkdir,
        "nothing": lambda path: None,  # noqa: ARG005
    }
