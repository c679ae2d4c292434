"""What every reader shares: how tags are spelt, and how faults become one sentence."""

import gc
import os
import shlex
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import InputError
from ..types import Collection, Photo, Problem

SPLITS = ("train", "val", "test")
TagSource = Literal["lists", "masks", "npy"]
"""What tags the photos of a VOC-style folder: lists; or, when somebody asks for it, true masks or a pickled table."""


class Reading(NamedTuple):
    """What a reader understood, and what it had to leave out."""

    collection: Collection
    """Its problems are notes: nothing is lost by them."""
    faults: list[Problem]
    """Each one cost a photo."""


class Entry(NamedTuple):
    """One photo and its tags as words."""

    path: Path
    tags: frozenset[str] = frozenset()
    split: str = ""


class Places(NamedTuple):
    """Where the files of a list lie, whether the photos must be there, and what is believed of their tags."""

    images: Path | None = None
    """What photos are relative to; None: what the format says, beside its lists."""
    masks: Path | None = None
    """What masks are relative to; None: what the format says."""
    need_photos: bool = True
    """False where names, tags and truth are enough; then no photo is looked for."""
    tags_from: TagSource = "lists"


@contextmanager
def collector_paused() -> Iterator[None]:
    """For building what stays: walking a growing list again and again is half the time of reading a long one."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def spell(tag: str) -> str:
    """One spelling for tags that look the same: NFC, no white space around."""
    return unicodedata.normalize("NFC", tag).strip()


def exists(path: Path) -> bool:
    """Whether ``path`` is a file; also an answer for what can be no file name at all."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def collect(root: Path, entries: Iterable[Entry], notes: Iterable[Problem] = ()) -> Collection:
    """A collection whose class list is the sorted tags."""
    entries = list(entries)
    classes = sorted(frozenset().union(*(entry.tags for entry in entries)))
    number = {tag: index for index, tag in enumerate(classes)}
    photos = (
        Photo(path, path.relative_to(root).as_posix(), tuple(sorted(number[tag] for tag in tags)), split)
        for path, tags, split in entries
    )
    return Collection(root, tuple(classes), tuple(photos), tuple(notes))


def missing(where: str, file: str, folder: Path, base: str) -> Problem:
    """The fault of a list that names a file which is not there; ``base`` is what its paths are relative to."""
    return Problem(file, f'{where}: "{file}" is not in {shown(folder)}. Paths are read relative to {base}.')


def shown(folder: Path) -> str:
    """A folder as it is written in a sentence."""
    return f"{os.fspath(folder).rstrip('/')}/"


def refuse(faults: list[Problem], source: Path) -> InputError:
    """The error that names the first fault and where to see the others."""
    sentence = faults[0].reason
    if len(faults) > 1:
        sentence += f" {len(faults) - 1} more like it: run bas check {shlex.quote(os.fspath(source))}."
    return InputError(sentence)
