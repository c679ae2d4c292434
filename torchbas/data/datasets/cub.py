"""CUB-200-2011 as published, and any data set laid out the same way."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ...errors import InputError
from ...structures import Box, Dataset, Problem, Sample
from .reading import Places, Reading, exists, missing_photo, normalize_tag

T = TypeVar("T")


def read_cub(folder: Path, places: Places) -> Reading:
    """Species as tags, the official split, one box a photo, and masks where they exist.

    Photos lie in ``places.images`` or ``images/``, masks in ``places.masks`` or ``segmentations/``.
    ``bounding_boxes.txt`` holds x, y, width and height in pixels, from the upper left corner.
    """
    names = _table(folder / "images.txt", str)
    classes = _table(folder / "classes.txt", normalize_tag)
    number = {key: index for index, key in enumerate(classes)}
    label = _table(folder / "image_class_labels.txt", number.__getitem__)
    train = _table(folder / "train_test_split.txt", int)
    boxes = _table(folder / "bounding_boxes.txt", _box)
    images, masks = places.images or folder / "images", places.masks or folder / "segmentations"
    base = "the folder given as images" if places.images else "images/"
    samples: list[Sample] = []
    faults: list[Problem] = []
    for key, name in names.items():
        path, mask = images / name, (masks / name).with_suffix(".png")
        if key not in label or (train and key not in train):
            raise InputError(f"{folder / 'images.txt'}: the lists beside it lack {key}, {name}. Copy them again.")
        if places.need_images and not exists(path):
            faults.append(missing_photo(f"images.txt number {key}", name, images, base))
            continue
        split = ("train" if train[key] else "test") if train else ""
        box = (boxes[key],) if key in boxes else ()
        samples.append(Sample(path, f"images/{name}", (label[key],), split, box, mask if exists(mask) else None))
    return Reading(Dataset(folder, tuple(classes.values()), tuple(samples)), faults)


def _table(file: Path, parse: Callable[[str], T]) -> dict[str, T]:
    """Lines of a number and a value, as a dictionary by number; empty where the file is absent."""
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
