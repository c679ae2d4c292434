"""Photos and their tags, in any of the usual formats."""

import os
from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..structures import Dataset, Problem, Sample
from .datasets import FORMATS, TAG_FOLDERS, format_of
from .datasets.reading import ACCEPTED_FORMS, Places, Reading, TagSource, collector_paused, error_of, folder_name
from .datasets.tag_folders import photos_below
from .datasets.truth_json import read_ground_truth, with_ground_truth


def read(
    path: str | os.PathLike[str],
    strict: bool = True,
    images: str | os.PathLike[str] | None = None,
    masks: str | os.PathLike[str] | None = None,
    need_images: bool = True,
    tags_from: TagSource = "lists",
) -> Dataset:
    """The photos and tags at ``path``; no photo is opened.

    ``path`` is one of: a folder with one folder per tag, optionally below ``train``, ``val`` and ``test``; a CSV
    ``file,tags[,split]`` with ``;`` between tags; a JSON ``{file: [tags]}`` or ``[{"file", "tags", "split"}]``; a
    folder with the lists of a data set (CUB-200-2011, the metadata of wsolevaluation, the lists of the authors of BAS
    for CUB, ILSVRC, OpenImages, Stanford Cars, Stanford Dogs and FGVC-Aircraft, Pascal VOC and what is laid out like
    it, COCO): all of :data:`~torchbas.data.datasets.FORMATS`. A file ``truth.json`` beside the tags' folders, the CSV
    or the JSON adds boxes and masks, see :func:`~torchbas.data.datasets.truth_json.read_ground_truth`.

    Args:
        path: a folder or a list.
        strict: refuse a list that names photos which do not exist, or which another of its lists lacks; otherwise
            these photos are left out, and each is one of the dataset's problems.
        images: folder that a list's paths of photos are relative to, instead of the format's own (docs/data.md).
        masks: the same for its masks.
        need_images: False reads a list without its photos: names, tags, sizes and ground truth suffice to score maps.
        tags_from: for VOC-style folders: ``masks`` takes the tags from the true masks, ``npy`` from IRN's pickled
            ``cls_labels.npy``, of which only arrays are built.

    Raises:
        InputError: no such path, no tags at it, a broken list, or a photo missing while ``strict``.
    """
    path = Path(path)
    places = Places(_folder(images, "photos"), _folder(masks, "masks"), need_images, tags_from)
    if not path.exists():
        raise InputError(f"{path} does not exist. Give {ACCEPTED_FORMS}.")
    if tags_from != "lists" and not FORMATS["voc"].recognizes(path):
        raise InputError(f"{path} is no folder like VOC's, so its tags are where its format has them, only there.")
    folder = path if path.is_dir() else path.parent
    try:
        ground_truth = read_ground_truth(folder / "truth.json")
        mask_files = frozenset(entry.mask for entry in ground_truth.values() if entry.mask)
        with collector_paused():
            reading = _read(path, places._replace(mask_files=mask_files))
    except PermissionError as error:
        raise InputError(f"{error.filename} may not be read by this user. Change its permissions.") from error
    if strict and reading.faults:
        raise error_of(reading.faults, path)
    problems = (*reading.faults, *reading.dataset.problems)
    return with_ground_truth(replace(reading.dataset, problems=problems), ground_truth, places.images or folder)


def read_untagged(path: str | os.PathLike[str]) -> Dataset:
    """One photo, or all photos below a folder, without classes, for prediction.

    Raises:
        InputError: no such path, or no photo in the folder.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist. Give a photo or a folder of photos.")
    if path.is_file():
        return Dataset(path.parent, (), (Sample(path, path.name),))
    files, problems = photos_below(path)
    if not files:
        raise InputError(f"{folder_name(path)} holds no photos. Give a photo or a folder of photos.")
    return Dataset(path, (), tuple(Sample(file, file.relative_to(path).as_posix()) for file in files), problems)


LISTS = ("tags.csv", "tags.json")
"""Names of lists that count beside folders."""


def _read(path: Path, places: Places) -> Reading:
    format_here = format_of(path)
    if format_here is TAG_FOLDERS:
        return _read_folders(path, places)
    if format_here:
        return format_here.read(path, places)
    if format_of(path.parent) is not TAG_FOLDERS:
        raise InputError(f"{path} is one of several lists. Give their folder, {folder_name(path.parent)}")
    raise InputError(f"{path} holds no tags. Give {ACCEPTED_FORMS}.")


def _read_folders(path: Path, places: Places) -> Reading:
    """Folders of tags, or the list beside them where they would be one tag only; a note says which was read."""
    if (path / "run.json").is_file() and (path / "boxes.coco.json").is_file():
        raise InputError(f"{folder_name(path)} is the output of a command. Give the photos that it was made from.")
    lists = [path / name for name in LISTS if (path / name).is_file()] or sorted(path.glob("*.csv"))
    if len(lists) != 1:
        return TAG_FOLDERS.read(path, places)
    folders = [one.name for one in path.iterdir() if one.is_dir() and not one.name.startswith((".", "_"))]
    if len(folders) > 1:
        reading = TAG_FOLDERS.read(path, places)
        note = "was not read: tags are the folders' names. Give the list itself for what it says."
    else:
        reading = _read(lists[0], places)
        note = "was read for the tags, for the photos lie in one folder at most."
    problems = (*reading.dataset.problems, Problem(lists[0].name, note))
    return reading._replace(dataset=replace(reading.dataset, problems=problems))


def _folder(path: str | os.PathLike[str] | None, holds: str) -> Path | None:
    if path is not None and not Path(path).is_dir():
        raise InputError(f"{path} is no folder. Give the one that the lists' {holds} are relative to.")
    return Path(path) if path is not None else None
