"""Folders laid out like Pascal VOC, and the authors' lists for VOC and COCO: many classes a photo, a mask for some."""

import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..types import Photo, Problem
from .listed import Listed, one_sided, pictures_below, read_listed
from .reading import Places, Reading, shown
from .records import multi_labelled, name_of, records
from .voctags import Tags, read_tags, semantic_classes

_SETS = Path("ImageSets", "Segmentation")
_ID = '"2007_000032", a photo\'s name without its ending'
_PAIR = re.compile(r"/?JPEGImages/(\S+)\.\w+\s+/\S+")


def is_voc(folder: Path) -> bool:
    """Whether the folder holds photos and lists as VOC does, or the authors' ``train_cls.txt`` or ``val_cls.txt``."""
    return _lists(folder) is not None


def read_voc(folder: Path, places: Places) -> Reading:
    """``JPEGImages/``, ids in ``ImageSets/Segmentation/``, masks in ``SegmentationClass/``, and tags.

    Trained on are ``train_aug.txt`` and ``train.txt`` together (10,582 photos of VOC with SBD), or ``train.txt`` alone;
    ``val.txt`` and ``test.txt`` are optional. Masks belong to the photos of ``train.txt`` and ``val.txt`` only: a
    training photo with a mask is one that seeds are judged on (1,464 in VOC). They lie in ``SegmentationClass/``, those
    that are missing there in ``SegmentationClassAug/``, or all below ``places.masks``.

    Instead of ``ImageSets/`` the lists may lie in the folder itself, beside the authors' ``train_cls.txt`` or
    ``val_cls.txt``, and be absent: then these list the photos. Lines with two paths, as the authors write them, are
    fine too. Photos lie below ``places.images`` or ``JPEGImages/``; any ending will do. What tags a photo is in
    :func:`~torchbas.data.voctags.read_tags`; a photo that shows none of the classes stays, without a tag.
    """
    images, lists = places.images or folder / "JPEGImages", _lists(folder) or folder
    splits, judged = _splits(folder, lists)
    ids = {photo: split for split, rows in splits.items() for photo in rows}
    masks = pictures_below(places.masks) if places.masks else _masks(folder)
    classes = semantic_classes(folder / "classes.txt", ids)
    tags = read_tags(folder, ids, classes, masks, places.tags_from)
    files = pictures_below(images) if places.need_photos else {}
    listed: list[Listed] = []
    for split, rows in splits.items():
        for photo, where in rows.items():
            file = files.get(photo, images / f"{photo}.jpg")
            mask = masks.get(photo) if photo in judged else None
            name = file.relative_to(images).as_posix()
            listed.append((where, Photo(file, name, tags.labels.get(photo, ()), split, mask=mask)))
    notes = _notes(ids, tags, classes, lists) + _without_mask(judged, masks, lists)
    return read_listed(images, classes, listed, places, notes)


def _lists(folder: Path) -> Path | None:
    sets = folder / _SETS
    if (folder / "JPEGImages").is_dir() and any(sets.glob("*.txt")):
        return sets
    return folder if any((folder / f"{split}_cls.txt").is_file() for split in ("train", "val")) else None


def _splits(folder: Path, lists: Path) -> tuple[dict[str, dict[str, str]], set[str]]:
    """The ids of each split and where they stand; the ids that may have a mask."""
    train, augmented, val, test = (_ids(lists / f"{name}.txt") for name in ("train", "train_aug", "val", "test"))
    train_all = augmented | train or _ids(folder / "train_cls.txt")
    val = val or _ids(folder / "val_cls.txt")
    if not (train_all or val or test):
        raise InputError(f"{shown(lists)} has no train.txt, val.txt or test.txt with a photo. Copy them there.")
    return {"train": train_all, "val": val, "test": test}, {*(train or train_all), *val}


def _ids(file: Path) -> dict[str, str]:
    """The ids of a list and where each one stands; none where there is no list."""
    if not file.is_file():
        return {}
    parse = _tagged_id if file.stem.endswith("_cls") else _id
    return {photo: f"{file} line {line}" for line, photo in records(file, parse, _ID)}


def _id(line: str) -> str:
    pair = _PAIR.fullmatch(line)
    return name_of(pair[1] if pair else line)


def _tagged_id(line: str) -> str:
    return multi_labelled(line)[0]


def _masks(folder: Path) -> dict[str, Path]:
    return pictures_below(folder / "SegmentationClassAug") | pictures_below(folder / "SegmentationClass")


def _notes(ids: dict[str, str], tags: Tags, classes: tuple[str, ...], lists: Path) -> list[Problem]:
    """What photos and tags do not say of each other."""
    wanted = [photo for photo, split in ids.items() if split != "test"]
    bare = [photo for photo in wanted if not tags.labels.get(photo, (0,))]
    reason = f"shows none of the classes, says {tags.source.name}: it trains nothing and is judged as background."
    notes = [Problem(photo, reason) for photo in bare]
    notes += one_sided(wanted, tags.labels, lists, tags.source, "they have no tags")
    notes += one_sided(tags.labels, ids, tags.source, lists, "they are left out")
    used = {label for photo in ids for label in tags.labels.get(photo, ())}
    if unused := [name for label, name in enumerate(classes) if label not in used]:
        count = f"{len(unused)} classes tag" if len(unused) > 1 else "one class tags"
        notes.append(Problem(unused[0], f'{count} no photo, "{unused[0]}" first; nothing can be learned of it.'))
    return notes


def _without_mask(judged: Iterable[str], masks: dict[str, Path], lists: Path) -> list[Problem]:
    lost = sorted(photo for photo in judged if photo not in masks)
    if not lost or not masks:
        return []
    count = f"{len(lost)} photos of {shown(lists)} have" if len(lost) > 1 else f"a photo of {shown(lists)} has"
    return [Problem(lost[0], f'{count} no mask, "{lost[0]}" first; they cannot be judged.')]
