"""Photos and their tags, in any of the usual forms, told apart by looking."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..types import Collection, Photo, Problem
from .authors import is_images_box, is_test_list, read_images_box, read_test_list
from .coco import is_coco, read_coco
from .cub import is_cub, read_cub
from .ilsvrc import is_ilsvrc, read_ilsvrc
from .images import SUFFIXES
from .lists import read_csv, read_json
from .openimages import is_openimages, read_openimages
from .reading import SPLITS, Entry, Places, Reading, TagSource, collect, collector_paused, refuse, shown, spell
from .truth import read_truth, with_truth
from .voc import is_voc, read_voc
from .wsolevaluation import is_wsolevaluation, read_wsolevaluation

_FORMS = "a folder with one folder per tag (photos/cat/1.jpg), or a CSV with the columns file,tags, or a JSON"
_LISTS = (
    (is_cub, read_cub),
    (is_wsolevaluation, read_wsolevaluation),
    (is_ilsvrc, read_ilsvrc),
    (is_openimages, read_openimages),
    (is_test_list, read_test_list),
    (is_images_box, read_images_box),
    (is_coco, read_coco),
    (is_voc, read_voc),
)
"""Folders of lists: how each format is recognised and read."""


def read(
    path: str | os.PathLike[str],
    strict: bool = True,
    images: str | os.PathLike[str] | None = None,
    masks: str | os.PathLike[str] | None = None,
    need_photos: bool = True,
    tags_from: TagSource = "lists",
) -> Collection:
    """The photos and tags at ``path``; no photo is opened.

    ``path`` is one of: a folder with one folder per tag, optionally below ``train``, ``val`` and ``test``; a CSV
    ``file,tags[,split]`` with ``;`` between tags; a JSON ``{file: [tags]}`` or ``[{"file", "tags", "split"}]``; a
    folder with the lists of a data set: CUB-200-2011, the metadata of wsolevaluation (one split or all), or the lists
    of the authors of BAS for CUB, ILSVRC, OpenImages, Stanford Cars, Stanford Dogs and FGVC-Aircraft; Pascal VOC and
    what is laid out like it; COCO. A file ``truth.json`` beside the tags' folders, the CSV or the JSON adds boxes and
    masks, see :func:`~torchbas.data.truth.read_truth`.

    ``images`` is the folder that a list's paths are relative to, and ``masks`` the one for its masks, where the format
    expects them elsewhere; docs/data.md says where. ``need_photos=False`` reads a list without looking for its photos:
    names, tags, sizes and truth are all there is to score maps. ``tags_from`` is for VOC-style folders: ``masks`` takes
    the tags from the true masks, ``npy`` from IRN's pickled ``cls_labels.npy``, of which only arrays are built.

    ``strict`` raises :class:`InputError` where a list names photos that are not there, or that another of its lists
    lacks; otherwise they are left out and stand among the problems, all of them.
    """
    path = Path(path)
    places = Places(_folder(images, "photos"), _folder(masks, "masks"), need_photos, tags_from)
    if not path.exists():
        raise InputError(f"{path} does not exist. Give {_FORMS}.")
    if tags_from != "lists" and not is_voc(path):
        raise InputError(f"{path} is no folder like VOC's, so its tags are where its format has them, only there.")
    folder = path if path.is_dir() else path.parent
    try:
        truth = read_truth(folder / "truth.json")
        with collector_paused():
            reading = _read(path, {entry.mask for entry in truth.values() if entry.mask}, places)
    except PermissionError as error:
        raise InputError(f"{error.filename} may not be read by this user. Change its permissions.") from error
    if strict and reading.faults:
        raise refuse(reading.faults, path)
    problems = (*reading.faults, *reading.collection.problems)
    return with_truth(replace(reading.collection, problems=problems), truth, places.images or folder)


def read_untagged(path: str | os.PathLike[str]) -> Collection:
    """One photo, or all photos below a folder, without classes: something to predict on."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist. Give a photo or a folder of photos.")
    if path.is_file():
        return Collection(path.parent, (), (Photo(path, path.name),))
    files, problems = _photos_below(path)
    if not files:
        raise InputError(f"{shown(path)} holds no photos. Give a photo or a folder of photos.")
    return Collection(path, (), tuple(Photo(file, file.relative_to(path).as_posix()) for file in files), problems)


def _read(path: Path, masks: set[Path], places: Places) -> Reading:
    if path.is_dir():
        for recognised, read_lists in _LISTS:
            if recognised(path):
                return read_lists(path, places)
        if places.images:
            raise InputError(f"{shown(path)} holds no lists, so its photos cannot lie elsewhere. Leave out images.")
        return _read_folder(path, masks)
    match path.suffix.lower():
        case ".csv":
            return read_csv(path, places)
        case ".json":
            return read_json(path, places)
    if any(recognised(path.parent) for recognised, _ in _LISTS):
        raise InputError(f"{path} is one of several lists. Give their folder, {shown(path.parent)}")
    raise InputError(f"{path} holds no tags. Give {_FORMS}.")


def _folder(path: str | os.PathLike[str] | None, holds: str) -> Path | None:
    if path is not None and not Path(path).is_dir():
        raise InputError(f"{path} is no folder. Give the one that the lists' {holds} are relative to.")
    return Path(path) if path is not None else None


def _read_folder(root: Path, masks: set[Path]) -> Reading:
    """The top folders are tags, whatever lies deeper, or splits that hold the tags' folders."""
    files, problems = _photos_below(root)
    names = {file: file.relative_to(root).parts for file in files if file not in masks}
    tops = {parts[0].lower() for parts in names.values() if len(parts) > 1}
    level = 1 if tops and tops <= set(SPLITS) else 0
    entries, notes = [], list(problems)
    for file, parts in names.items():
        tag = spell(parts[level]) if len(parts) > level + 1 else ""
        if not tag:
            notes.append(Problem("/".join(parts), "lies in no tag's folder, so it has no tag. Move it into one."))
        split = parts[0].lower() if level and len(parts) > 1 else ""
        entries.append(Entry(file, frozenset([tag] if tag else []), split))
    if not entries:
        raise InputError(f"{shown(root)} holds no photos. Give {_FORMS}.")
    if not any(entry.tags for entry in entries):
        raise InputError(f"{shown(root)} holds {len(entries)} photos, but not in folders that tag them. Give {_FORMS}.")
    return Reading(collect(root, entries, notes), [])


def _photos_below(root: Path) -> tuple[list[Path], tuple[Problem, ...]]:
    """Files below ``root`` that are named like photos, in the order of their names; names nobody can write down."""
    files, problems = [], []
    for file in _walk(root, ()):
        try:
            os.fspath(file).encode()
            files.append(file)
        except UnicodeEncodeError:
            problems.append(Problem(ascii(file.name), "its name is not valid UTF-8. Rename it."))
    return files, tuple(problems)


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:  # a link back to a folder we are in
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        try:
            is_folder = entry.is_dir()
        except OSError:  # a link to itself
            continue
        if entry.name.startswith("."):
            continue
        if is_folder:
            yield from _walk(folder / entry.name, (*above, here))
        elif entry.name.rpartition(".")[2].lower() in SUFFIXES:
            yield folder / entry.name
