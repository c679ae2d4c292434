"""Tags from folders: ``photos/cat/1.jpg``, optionally below ``train``, ``val`` and ``test``."""

import os
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from ...structures import Problem
from ..images import SUFFIXES
from .reading import (
    ACCEPTED_FORMS,
    BACKGROUND,
    SPLITS,
    Entry,
    Places,
    Reading,
    dataset_of,
    folder_name,
    is_background,
    is_utf8,
    normalize_tag,
    tags_of,
)


def read_tag_folders(root: Path, places: Places) -> Reading:
    """The top folders are tags, at any depth of files below them, or splits that hold the tags' folders.

    Photos outside a tag's folder are kept without a tag, as those in a folder ``_background`` are. Masks among the
    images are in ``places.mask_files``.
    """
    if places.images:
        raise InputError(f"{folder_name(root)} holds no lists, so its photos cannot lie elsewhere. Leave out images.")
    files, problems = photos_below(root)
    names = {file: file.relative_to(root).parts for file in files if file not in places.mask_files}
    tops = {parts[0].lower() for parts in names.values() if len(parts) > 1 and not is_background(parts[0])}
    level = 1 if tops and tops <= set(SPLITS) else 0
    entries, notes = [], list(problems)
    for file, parts in names.items():
        folders = parts[:-1]
        split = folders[0].lower() if level and folders and not is_background(folders[0]) else ""
        named = folders[level if split else 0 :][:1]
        if not any(map(normalize_tag, named)):
            reason = f"lies in no tag's folder, so it has no tag. Move it into one, or into {BACKGROUND}."
            notes.append(Problem("/".join(parts), reason))
        entries.append(Entry(file, tags_of(named), split))
    if not entries:
        raise InputError(f"{folder_name(root)} holds no photos. Give {ACCEPTED_FORMS}.")
    if not any(entry.tags for entry in entries):
        count = f"{len(entries)} photos, but not in folders that tag them"
        raise InputError(f"{folder_name(root)} holds {count}. Give {ACCEPTED_FORMS}.")
    return Reading(dataset_of(root, entries, notes), [])


def photos_below(root: Path) -> tuple[list[Path], tuple[Problem, ...]]:
    """Files below ``root`` with a photo's suffix, in the order of their names; problems of names that are no UTF-8."""
    files, problems = [], []
    for file in _walk(root, ()):
        if is_utf8(file):
            files.append(file)
        else:
            problems.append(Problem(ascii(file.name), "its name is not valid UTF-8. Rename it."))
    return files, tuple(problems)


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:  # a link back to a folder that contains it
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        try:
            directory = entry.is_dir()
        except OSError:  # a link to itself
            continue
        if entry.name.startswith("."):
            continue
        if directory:
            yield from _walk(folder / entry.name, (*above, here))
        elif entry.name.rpartition(".")[2].lower() in SUFFIXES:
            yield folder / entry.name
