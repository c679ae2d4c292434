"""Text lists with one record a line: parsers of their fields, and one sentence for each fault."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ...errors import InputError
from ...inputs import number, open_text
from ...structures import Box
from .reading import normalize_tag

T = TypeVar("T")
_MOST_CLASSES = 100_000
_MOST_PIXELS = 10**9
_LONGEST = 300
_SLASHES = re.compile(r"[\\/]+")


def records(file: Path, parse: Callable[[str], T], form: str) -> Iterator[tuple[int, T]]:
    """The number of each line, from 1, and its parsed content; blank lines and a byte order mark are skipped.

    ``parse`` raises ``ValueError`` for what does not have the ``form``.
    """
    with open_text(file) as lines:
        for line, words in enumerate(map(str.strip, lines), start=1):
            if not words:
                continue
            try:
                content = parse(words)
            except ValueError as error:
                start = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."
                raise InputError(
                    f'{file} line {line}: "{start}" is not understood. It must look like {form}.'
                ) from error
            yield line, content


def table(file: Path, parse: Callable[[str], tuple[str, T]], form: str) -> dict[str, T]:
    """The records of a list by the photo's name; empty where the file is absent."""
    return dict(entry for _, entry in records(file, parse, form)) if file.is_file() else {}


def name_of(words: str) -> str:
    """A photo's name with forward slashes in place of single and double backslashes.

    Raises ``ValueError`` for what does not stay below the photos' folder.
    """
    name = _SLASHES.sub("/", words).removeprefix("./") if "\\" in words or "//" in words or "./" in words else words
    if not name or name[0] == "/" or name[-1] == "/" or "/../" in f"/{name}/" or "\0" in name:
        raise ValueError(f'"{words}" does not stay below the folder of the photos')
    return name


def label_of(words: str) -> int:
    """A class number, counted from 0. Raises ``ValueError`` for anything else."""
    label = int(words)
    if not 0 <= label < _MOST_CLASSES:
        raise ValueError(words)
    return label


def labeled(separator: str) -> Callable[[str], tuple[str, int]]:
    """A parser of ``path SEPARATOR label``; the path may hold the separator, too."""

    def parse(line: str) -> tuple[str, int]:
        name, label = line.rsplit(separator, 1)
        return name_of(name), label_of(label)

    return parse


def multi_labeled(line: str) -> tuple[str, tuple[int, ...]]:
    """A photo's name and its class numbers, white space between them: ``2007_000032 0 14``."""
    name, *labels = line.split()
    return name_of(name), tuple(sorted(set(map(label_of, labels))))


def boxes_of(words: Sequence[str]) -> tuple[Box, ...]:
    """Boxes from 4n numbers, unchanged. Raises ``ValueError`` for anything else."""
    numbers = list(map(number, words))
    if len(numbers) % 4:
        raise ValueError(words)
    return tuple(zip(*[iter(numbers)] * 4, strict=True))


def size_of(height: object, width: object) -> tuple[int, int]:
    """Height and width in pixels. Raises ``ValueError`` unless both are whole and positive, and a mask fits memory."""
    size = number(height), number(width)
    if min(size) < 1 or not all(map(float.is_integer, size)) or size[0] * size[1] > _MOST_PIXELS:
        raise ValueError(f"{size} is no size of a photo")
    return int(size[0]), int(size[1])


def class_names(file: Path) -> tuple[str, ...]:
    """Class names, one a line; the first is class 0."""
    line_of: dict[str, int] = {}
    for line, name in records(file, normalize_tag, "one class name a line"):
        if name in line_of:
            raise InputError(f'{file} line {line} repeats "{name}" of line {line_of[name]}. Give them two names.')
        line_of[name] = line
    return tuple(line_of)
