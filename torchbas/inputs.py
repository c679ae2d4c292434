"""Input files: their text, their JSON and numbers from either, each fault one sentence that names the file."""

import json
import re
import reprlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest
from pathlib import Path
from typing import Any, NoReturn, TextIO

from .errors import InputError

LARGEST = 2.0**31
"""Numbers of lists are no larger: pixels, and what is computed from them, then fit into every integer and float."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def regular(file: Path) -> Path:
    """The file, unless opening it would wait for another program, or reading it would never end.

    Raises:
        InputError: a pipe, a device or a socket.
    """
    with suppress(OSError, ValueError):  # what is missing is said where it is opened
        mode = file.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"{file} is no file but a pipe, a device or a socket. Put a file in its place.")
    return file


def content_hash(file: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Raises OSError, or ValueError for a path that none can have."""
    with regular(file).open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


@contextmanager
def open_text(file: Path, newline: str | None = None) -> Iterator[TextIO]:
    """A text file in UTF-8, with or without a byte order mark, open for reading.

    Raises:
        InputError: the file is missing, may not be read, or turns out not to be UTF-8 while it is read.
    """
    try:
        with regular(file).open(encoding="utf-8-sig", newline=newline) as stream:
            yield stream
    except FileNotFoundError as error:
        raise InputError(f"{file.parent} has no {file.name}. Copy it there.") from error
    except UnicodeDecodeError as error:
        form = "CSV UTF-8" if file.suffix.lower() == ".csv" else "UTF-8"
        raise InputError(f"{file} is not written in UTF-8. Save it as {form}.") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}). Check the path.") from error


def read_text(file: Path) -> str:
    """The content of a text file; raises as :func:`open_text`."""
    with open_text(file) as stream:
        return stream.read()


def read_json(file: Path) -> Any:
    """The content of a JSON file; raises as :func:`open_text` and :func:`parse_json`."""
    return parse_json(read_text(file), file)


def parse_json(text: str, file: Path) -> Any:
    """The content of ``text``, which stood in ``file``.

    Raises:
        InputError: text that is no JSON (NaN and infinity are none), that nests too deeply, or whose words cannot be
            written again, for they hold half a character (a lone surrogate).
    """
    try:
        content = json.loads(text, parse_constant=_refuse)
        if _SURROGATE.search(text):  # most are halves of one character, which were put together
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not valid JSON ({error}). Correct it there.") from error
    return content


def number(value: object) -> float:
    """A number, or that which a word spells. Raises ``ValueError`` unless it is finite, and no larger than LARGEST."""
    read = float(value) if isinstance(value, str) else value
    if isinstance(read, bool) or not isinstance(read, (int, float)) or not -LARGEST <= read <= LARGEST:
        raise ValueError(f"{reprlib.repr(value)} is no number that can be used")
    return float(read)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
