"""What the readers of all formats share: where files lie, what was read, and the sentences about faults."""

import gc
import os
import shlex
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from ...errors import InputError
from ...structures import Box, Dataset, Problem, Sample

SPLITS = ("train", "val", "test")
BACKGROUND = "_background"
"""Folder, or word in place of a tag, of photos that show none of the tags."""
ACCEPTED_FORMS = "a folder with one folder per tag (photos/cat/1.jpg), or a CSV with the columns file,tags, or a JSON"
"""The usual forms of tags, for the end of a sentence that refuses another one."""

TagSource = Literal["lists", "masks", "npy"]
"""Source of the tags of a VOC-style folder: its lists; or, on request, true masks or IRN's pickled table."""


class Reading(NamedTuple):
    """A dataset and what had to be left out of it."""

    dataset: Dataset
    """Its problems are notes: no photo is lost by them."""
    faults: list[Problem]
    """Each one cost a photo."""


class Entry(NamedTuple):
    """One photo and its tags as words, before there is a class list."""

    path: Path
    tags: frozenset[str] = frozenset()
    split: str = ""


class GroundTruth(NamedTuple):
    """Ground truth of one photo: the last fields of a :class:`~torchbas.structures.Sample`, in their order."""

    boxes: tuple[Box, ...] = ()
    mask: Path | None = None
    instances: tuple[Path, ...] = ()
    ignore: Path | None = None
    size: tuple[int, int] | None = None


class Places(NamedTuple):
    """Where the files of a data set lie, whether the photos must exist, and the source of the tags."""

    images: Path | None = None
    """Folder that the paths of photos are relative to; None: the format's own, beside its lists."""
    masks: Path | None = None
    """Folder that the paths of masks are relative to; None: the format's own."""
    need_images: bool = True
    """False where names, tags and ground truth suffice; then no photo is searched for."""
    tags_from: TagSource = "lists"
    mask_files: frozenset[Path] = frozenset()
    """Masks that ``truth.json`` lists: images in a folder of tags that are no photos."""


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection: traversing a growing list again and again is half the time of reading a long one."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def normalize_tag(tag: str) -> str:
    """The tag in Unicode's NFC, without white space around, so that tags that look alike are equal."""
    return unicodedata.normalize("NFC", tag).strip()


def tags_of(words: Iterable[str]) -> frozenset[str]:
    """The words as normalized tags, without empty ones and :data:`BACKGROUND`."""
    return frozenset(tag for tag in map(normalize_tag, words) if tag and not is_background(tag))


def is_background(word: str) -> bool:
    """Whether a folder's name or a word of a list is :data:`BACKGROUND`."""
    return normalize_tag(word).lower() == BACKGROUND


def normalized(path: Path) -> Path:
    """The absolute path without ``..`` and with one slash at its start, so that one file has one path."""
    plain = os.path.normpath(path.absolute())
    return Path(plain[1:] if plain.startswith("//") else plain)


def is_utf8(path: Path) -> bool:
    """Whether the path can be written into a file or printed."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def ends_before_it_begins(box: Box) -> bool:
    """Whether the ends of a box are swapped."""
    x0, y0, x1, y1 = box
    return x1 < x0 or y1 < y0


def exists(path: Path) -> bool:
    """Whether ``path`` is a file; False also for a string that cannot be a file name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def dataset_of(root: Path, entries: Iterable[Entry], notes: Iterable[Problem] = ()) -> Dataset:
    """The entries as a dataset whose class list is the sorted tags; names are relative to ``root``."""
    entries = list(entries)
    classes = sorted(frozenset().union(*(entry.tags for entry in entries)))
    number = {tag: index for index, tag in enumerate(classes)}
    samples = (
        Sample(path, path.relative_to(root).as_posix(), tuple(sorted(number[tag] for tag in tags)), split)
        for path, tags, split in entries
    )
    return Dataset(root, tuple(classes), tuple(samples), tuple(notes))


def missing_photo(where: str, file: str, folder: Path, base: str) -> Problem:
    """The fault of a list that names a photo which does not exist; ``base`` is what its paths are relative to."""
    return Problem(file, f'{where}: "{file}" is not in {folder_name(folder)}. Paths are read relative to {base}.')


def folder_name(folder: Path) -> str:
    """The folder's path with one slash at its end, as messages show it."""
    return f"{os.fspath(folder).rstrip('/')}/"


def error_of(faults: list[Problem], source: Path) -> InputError:
    """An error with the first fault's sentence, the number of the others, and the command that lists them."""
    sentence = faults[0].reason
    if len(faults) > 1:
        sentence += f" {len(faults) - 1} more like it: run bas check {shlex.quote(os.fspath(source))}."
    return InputError(sentence)
