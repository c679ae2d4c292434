"""Arrays from ``.npz`` and ``.npy`` files, within bounds; of pickled ones numbers are built, and nothing is run."""

import io
import lzma
import pickle
import pickletools
import re
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, one_line
from ..inputs import regular

LARGEST = 2**30
"""Bytes of all arrays of a file together."""
DAMAGED = (
    *(OSError, EOFError, MemoryError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(AssertionError, SyntaxError, RuntimeError, struct.error, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, pickle.UnpicklingError),
)
"""What zipfile, pickle, NumPy and torch raise for damaged bytes."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` by name; of an ``.npy`` one, without a name. Objects are refused.

    Raises:
        FileNotFoundError: no such file.
        InputError: a damaged file, or one of more than :data:`LARGEST` bytes.
    """
    try:
        with regular(path).open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, of headers that Python 2 wrote
            content: Any = np.load(stream, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return {"": content}
            if sum(member.file_size for member in content.zip.infolist()) > LARGEST:
                raise ValueError(f"it holds more than {LARGEST >> 20} MB")
            arrays = {name: content[name] for name in content.files}
            if odd := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
                raise ValueError(f"{odd[0]} in it is no array")  # NumPy gives bytes
            return arrays
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise InputError(f"{path} cannot be read as an array ({one_line(error)}): write it again.") from error


def read_pickled(path: Path, more: dict[tuple[str, str], Callable[..., Any]] | None = None) -> Any:
    """The Python object, of dictionaries, lists, text and arrays of numbers, that ``np.save`` has pickled.

    The bytes may say anything: no function is called but the ones here and ``more``, by module and name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: one line on what is damaged, or wants to run something.
    """
    try:
        with regular(path).open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of damaged versions
            major, _ = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            header(stream)
            content = stream.read()
            _refuse_far_places(content)
            array = _value(_Numbers(io.BytesIO(content), more or {}).load())
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise ValueError(one_line(error)) from error
    return array.item() if isinstance(array, np.ndarray) and array.shape == () else array


def _refuse_far_places(content: bytes) -> None:
    """Refuse places of the memo that no honest pickle of this length has: all below them would be allocated."""
    for opcode, argument, _ in pickletools.genops(content):
        if "PUT" in opcode.name and argument is not None and not 0 <= argument <= len(content):
            raise ValueError(f"place {argument} in {len(content)} bytes")


class _Numbers(pickle.Unpickler):
    """Calls nothing of NumPy, whose own reconstruction trusts its arguments and may end the interpreter."""

    def __init__(self, stream: Any, more: dict[tuple[str, str], Callable[..., Any]]) -> None:
        super().__init__(stream)
        self.more = more

    def find_class(self, module: str, name: str) -> Any:
        known = {"_reconstruct": _Array, "scalar": _scalar, "ndarray": "ndarray", "dtype": _Dtype}
        if module.partition(".")[0] == "numpy" and name in known:
            return known[name]
        if (module, name) not in self.more:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}")
        return self.more[module, name]


class _Dtype:
    """Type of elements as a pickle has it: a code, and later its byte order."""

    order = "="

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r"b1|[iu][1248]|f[248]|O8?", code):
            raise ValueError(f"{code} are no numbers")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = {"<": "<", ">": ">"}.get(state[1], "=")

    def of_numbers(self) -> "np.dtype[Any]":
        """NumPy's own; ValueError for objects."""
        if self.code[0] == "O":
            raise ValueError("objects where numbers belong")
        return np.dtype(self.order + self.code)


class _Array:
    """Array as a pickle has it, whose content comes later."""

    value: np.ndarray

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        values = _objects(data) if dtype.code[0] == "O" else _numbers(dtype, data)
        self.value = values.reshape(shape, order="F" if fortran else "C")


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    return _numbers(dtype, data)[0]


def _numbers(dtype: _Dtype, data: bytes) -> np.ndarray:
    kind = dtype.of_numbers()
    if not isinstance(data, bytes):
        raise ValueError(f"numbers in a {type(data).__name__}")
    return np.frombuffer(data, kind) if data else np.empty(0, kind)


def _objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), object)
    for place, item in enumerate(items):
        array[place] = item
    return array


def _value(held: Any) -> Any:
    """What was unpickled, with arrays in place of their parts."""
    if isinstance(held, _Array):
        array = held.value
        return _objects([*map(_value, array.flat)]).reshape(array.shape) if array.dtype == object else array
    if isinstance(held, dict):
        return {key: _value(one) for key, one in held.items()}
    return [_value(one) for one in held] if isinstance(held, list) else held
