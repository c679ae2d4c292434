"""Folders laid out like Pascal VOC, and the authors' lists for VOC and COCO: several classes a photo, some masks."""

import re
from collections.abc import Iterable
from pathlib import Path

from ...errors import InputError
from ...structures import Problem, Sample
from .listed import Listed, pictures_below, read_listed, unmatched
from .reading import Places, Reading, folder_name
from .records import multi_labeled, name_of, records
from .voc_tags import Tags, read_tags, semantic_classes

_SETS = Path("ImageSets", "Segmentation")
_ID = '"2007_000032", a photo\'s name without its ending'
_PAIR = re.compile(r"/?JPEGImages/(\S+)\.\w+\s+/\S+")


def is_voc(folder: Path) -> bool:
    """Whether the folder holds ``JPEGImages/`` and VOC's lists, or the authors' ``train_cls.txt``, ``val_cls.txt``."""
    return _lists(folder) is not None


def read_voc(folder: Path, places: Places) -> Reading:
    """``JPEGImages/``, ids in ``ImageSets/Segmentation/``, masks in ``SegmentationClass/``, and tags.

    Trained on are ``train_aug.txt`` and ``train.txt`` together (10,582 photos of VOC with SBD), or ``train.txt`` alone;
    ``val.txt`` and ``test.txt`` are optional. Only photos of ``train.txt`` and ``val.txt`` get masks: seeds are scored
    on the training photos with a mask (1,464 in VOC). Masks lie in ``SegmentationClass/``, those missing there in
    ``SegmentationClassAug/``, or all below ``places.masks``.

    Instead of ``ImageSets/`` the lists may lie in the folder itself, beside the authors' ``train_cls.txt`` or
    ``val_cls.txt``, and be absent: then these list the photos. Lines with two paths, as the authors write them, are
    accepted too. Photos lie below ``places.images`` or ``JPEGImages/``, with any suffix. Tags are read by
    :func:`~torchbas.data.datasets.voc_tags.read_tags`; a photo of none of the classes is kept without a tag.
    """
    images, lists = places.images or folder / "JPEGImages", _lists(folder) or folder
    splits, scored = _splits(folder, lists)
    ids = {image_id: split for split, rows in splits.items() for image_id in rows}
    masks = pictures_below(places.masks) if places.masks else _masks(folder)
    classes = semantic_classes(folder / "classes.txt", ids)
    tags = read_tags(folder, ids, classes, masks, places.tags_from)
    files = pictures_below(images) if places.need_images else {}
    listed: list[Listed] = []
    for split, rows in splits.items():
        for image_id, where in rows.items():
            file = files.get(image_id, images / f"{image_id}.jpg")
            mask = masks.get(image_id) if image_id in scored else None
            name = file.relative_to(images).as_posix()
            listed.append((where, Sample(file, name, tags.labels.get(image_id, ()), split, mask=mask)))
    notes = _notes(ids, tags, classes, lists) + _without_mask(scored, masks, lists)
    return read_listed(images, classes, listed, places, notes)


def _lists(folder: Path) -> Path | None:
    sets = folder / _SETS
    if (folder / "JPEGImages").is_dir() and any(sets.glob("*.txt")):
        return sets
    return folder if any((folder / f"{split}_cls.txt").is_file() for split in ("train", "val")) else None


def _splits(folder: Path, lists: Path) -> tuple[dict[str, dict[str, str]], set[str]]:
    """The ids of each split with their place in the lists; the ids that get a mask."""
    train, augmented, val, test = (_ids(lists / f"{name}.txt") for name in ("train", "train_aug", "val", "test"))
    train_all = augmented | train or _ids(folder / "train_cls.txt")
    val = val or _ids(folder / "val_cls.txt")
    if not (train_all or val or test):
        raise InputError(f"{folder_name(lists)} has no train.txt, val.txt or test.txt with a photo. Copy them there.")
    return {"train": train_all, "val": val, "test": test}, {*(train or train_all), *val}


def _ids(file: Path) -> dict[str, str]:
    """The ids of a list with file and line; none where there is no list."""
    if not file.is_file():
        return {}
    parse = _tagged_id if file.stem.endswith("_cls") else _id
    return {image_id: f"{file} line {line}" for line, image_id in records(file, parse, _ID)}


def _id(line: str) -> str:
    pair = _PAIR.fullmatch(line)
    return name_of(pair[1] if pair else line)


def _tagged_id(line: str) -> str:
    return multi_labeled(line)[0]


def _masks(folder: Path) -> dict[str, Path]:
    return pictures_below(folder / "SegmentationClassAug") | pictures_below(folder / "SegmentationClass")


def _notes(ids: dict[str, str], tags: Tags, classes: tuple[str, ...], lists: Path) -> list[Problem]:
    """Notes on photos without tags, tags without a photo, and classes without a photo."""
    wanted = [image_id for image_id, split in ids.items() if split != "test"]
    without_class = [image_id for image_id in wanted if not tags.labels.get(image_id, (0,))]
    reason = f"shows none of the classes, says {tags.source.name}: it has no tag and is scored as background."
    notes = [Problem(image_id, reason) for image_id in without_class]
    notes += unmatched(wanted, tags.labels, lists, tags.source, "they have no tags")
    notes += unmatched(tags.labels, ids, tags.source, lists, "they are left out")
    used = {label for image_id in ids for label in tags.labels.get(image_id, ())}
    if unused := [name for label, name in enumerate(classes) if label not in used]:
        count = f"{len(unused)} classes tag" if len(unused) > 1 else "one class tags"
        notes.append(Problem(unused[0], f'{count} no photo, "{unused[0]}" first; nothing can be learned of it.'))
    return notes


def _without_mask(scored: Iterable[str], masks: dict[str, Path], lists: Path) -> list[Problem]:
    lost = sorted(image_id for image_id in scored if image_id not in masks)
    if not lost or not masks:
        return []
    count = (
        f"{len(lost)} photos of {folder_name(lists)} have" if len(lost) > 1 else f"a photo of {folder_name(lists)} has"
    )
    return [Problem(lost[0], f'{count} no mask, "{lost[0]}" first; they cannot be scored.')]
