"""CUB-200-2011 as published, and any data set laid out the same way."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ...errors import InputError
from ...inputs import number
from ...structures import Box, Sample
from .listed import Listed, read_listed
from .reading import Places, Reading, exists, normalize_tag
from .records import name_of, records

T = TypeVar("T")
_FORM = '"1 value", as the data set\'s authors publish it: a number, and what the number stands for'


def read_cub(folder: Path, places: Places) -> Reading:
    """Species as tags, the official split, one box a photo, and masks where they exist.

    Photos lie in ``places.images`` or ``images/``, masks in ``places.masks`` or ``segmentations/``.
    ``bounding_boxes.txt`` holds x, y, width and height in pixels, from the upper left corner.
    """
    source = folder / "images.txt"
    names = _table(source, name_of)
    classes = _table(folder / "classes.txt", normalize_tag)
    label_of = {key: label for label, key in enumerate(classes)}
    label = _table(folder / "image_class_labels.txt", lambda word: _known(word, label_of))
    train = _table(folder / "train_test_split.txt", lambda word: _known(word, {"0": "test", "1": "train"}))
    boxes = _table(folder / "bounding_boxes.txt", _box)
    images, masks = places.images or folder / "images", places.masks or folder / "segmentations"
    listed: list[Listed] = []
    for key, name in names.items():
        if key not in label or (train and key not in train):
            raise InputError(f"{source}: the lists beside it lack {key}, {name}. Copy them again.")
        mask = (masks / name).with_suffix(".png")
        box = (boxes[key],) if key in boxes else ()
        sample = Sample(images / name, f"images/{name}", (label[key],), train.get(key, ""), box)
        listed.append((f"{source} number {key}", replace(sample, mask=mask if exists(mask) else None)))
    dataset, faults = read_listed(images, tuple(classes.values()), listed, places)
    return Reading(replace(dataset, root=folder), faults)


def _table(file: Path, parse: Callable[[str], T]) -> dict[str, T]:
    """Lines of a number and a value, as a dictionary by number; empty where the file is absent."""
    table: dict[str, T] = {}
    if file.is_file():
        for line, (key, value) in records(file, lambda words: _row(words, parse), _FORM):
            if key in table:
                raise InputError(
                    f"{file} line {line}: the number {key} stands in an earlier line. Copy the file again."
                )
            table[key] = value
    return table


def _row(words: str, parse: Callable[[str], T]) -> tuple[str, T]:
    key, _, rest = words.partition(" ")
    return key, parse(rest.strip())


def _known(word: str, values: Mapping[str, T]) -> T:
    if word not in values:
        raise ValueError(word)
    return values[word]


def _box(words: str) -> Box:
    x, y, width, height = map(number, words.split())
    return x, y, x + width, y + height
