"""CUB-200-2011 as its authors publish it, and any data set laid out the same way."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import InputError
from ..types import Box, Collection, Photo, Problem
from .reading import Places, Reading, exists, missing, spell

T = TypeVar("T")


def is_cub(folder: Path) -> bool:
    """Whether the folder looks like CUB-200-2011."""
    return all((folder / name).is_file() for name in ("images.txt", "classes.txt", "image_class_labels.txt"))


def read_cub(folder: Path, places: Places) -> Reading:
    """Species as tags, the official split, one box each, and the masks of ``segmentations/`` where they are.

    Photos lie in ``images/``, masks in ``segmentations/``, unless ``places`` says otherwise.

    ``bounding_boxes.txt`` holds x, y, width and height in pixels, counted from the image's left upper corner.
    """
    names = _table(folder / "images.txt", str)
    classes = _table(folder / "classes.txt", spell)
    number = {key: index for index, key in enumerate(classes)}
    label = _table(folder / "image_class_labels.txt", number.__getitem__)
    train = _table(folder / "train_test_split.txt", int)
    boxes = _table(folder / "bounding_boxes.txt", _box)
    images, masks = places.images or folder / "images", places.masks or folder / "segmentations"
    base = "the folder given as images" if places.images else "images/"
    photos: list[Photo] = []
    faults: list[Problem] = []
    for key, name in names.items():
        path, mask = images / name, (masks / name).with_suffix(".png")
        if key not in label or (train and key not in train):
            raise InputError(f"{folder / 'images.txt'}: the lists beside it lack {key}, {name}. Copy them again.")
        if places.need_photos and not exists(path):
            faults.append(missing(f"images.txt number {key}", name, images, base))
            continue
        split = ("train" if train[key] else "test") if train else ""
        box = (boxes[key],) if key in boxes else ()
        photos.append(Photo(path, f"images/{name}", (label[key],), split, box, mask if exists(mask) else None))
    return Reading(Collection(folder, tuple(classes.values()), tuple(photos)), faults)


def _table(file: Path, parse: Callable[[str], T]) -> dict[str, T]:
    """Lines of a number and what belongs to it, as a dictionary; empty where the file is optional and absent."""
    if not file.is_file():
        return {}
    table = {}
    for count, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if line.strip():
            key, _, rest = line.strip().partition(" ")
            try:
                table[key] = parse(rest.strip())
            except (ValueError, KeyError) as error:
                raise InputError(f'{file} line {count} is not understood: "{line}". Copy the file again.') from error
    return table


def _box(words: str) -> Box:
    x, y, width, height = map(float, words.split())
    return x, y, x + width, y + height
