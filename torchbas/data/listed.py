"""From lists to a collection: where the photos lie, what their classes are called, and where lists disagree."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..types import Collection, Photo, Problem
from .images import SUFFIXES
from .reading import Places, Reading, exists, missing, shown, spell
from .records import labelled, records
from .truth import Truth

Listed = tuple[str, Photo]
"""A photo, and where it is listed."""


class LabelList(NamedTuple):
    """A list of photos and their class numbers."""

    file: Path
    rows: dict[int, tuple[str, int]]
    """Name and label by the number of the line."""

    @classmethod
    def read(cls, file: Path, separator: str, example: str) -> "LabelList":
        return cls(file, dict(records(file, labelled(separator), f'"{example}"')))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.rows.values()]

    def photos(self, base: Path, split: str, truth: Mapping[str, Truth]) -> list[Listed]:
        """The photos of the list, their names relative to ``base``."""
        return [
            (f"{self.file} line {line}", Photo(base / name, name, (label,), split, *truth.get(name, Truth())))
            for line, (name, label) in self.rows.items()
        ]


def read_listed(
    images: Path, classes: Sequence[str], listed: Iterable[Listed], places: Places, notes: Iterable[Problem] = ()
) -> Reading:
    """The photos as a reading; those that must be there and are not become faults.

    Raises :class:`InputError` where a photo is listed twice.
    """
    place_of: dict[str, str] = {}
    photos, notes, faults = [], list(notes), []
    for where, photo in listed:
        if photo.name in place_of:
            raise InputError(
                f'{where}: "{photo.name}" stands in {place_of[photo.name]} already. Delete one of the two.'
            )
        place_of[photo.name] = where
        if places.need_photos and not exists(photo.path):
            faults.append(missing(where, photo.name, images, "the folder given as images, or else the lists"))
            continue
        if any(x1 < x0 or y1 < y0 for x0, y0, x1, y1 in photo.boxes):
            notes.append(Problem(photo.name, f"{where}: a true box of it ends before it begins. Correct that box."))
        photos.append(photo)
    return Reading(Collection(images, tuple(classes), tuple(photos), tuple(notes)), faults)


def classes_by_folder(*lists: LabelList) -> tuple[str, ...]:
    """Classes named after the folders that their photos lie in; after their numbers where photos lie in none."""
    folder_of: dict[int, str] = {}
    label_of: dict[str, int] = {}
    flat = not all("/" in name for one in lists for name in one.names)
    for file, rows in lists:
        for line, (name, label) in rows.items():
            folder = str(label) if flat else name.split("/")[-2]
            if label_of.setdefault(folder, label) != label:
                reason = f'the folder "{folder}" has label {label}, but {label_of[folder]} in an earlier line'
            elif folder_of.setdefault(label, folder) != folder:
                reason = f'the label {label} is in folder "{folder}", but in "{folder_of[label]}" in an earlier line'
            else:
                continue
            raise InputError(f"{file} line {line}: {reason}. Correct one of them.")
    return tuple(folder_of.get(label, str(label)) for label in range(max(folder_of, default=-1) + 1))


def enough_names(classes: Sequence[str], source: Path, listed: Iterable[Listed]) -> tuple[str, ...]:
    """The class names of ``source``. Raises :class:`InputError` where a photo has a label beyond them."""
    for where, photo in listed:
        if photo.labels[0] >= len(classes):
            raise InputError(
                f"{where}: label {photo.labels[0]}, but {source} ends with {len(classes) - 1}. Add a name."
            )
    return tuple(classes)


def base_of(images: Path, folders: Iterable[str], names: Iterable[str]) -> Path:
    """The first of the folders below ``images`` that holds one of the photos; ``images`` itself where none does."""
    names = list(names)[:20]
    return next((images / below for below in folders if any(exists(images / below / name) for name in names)), images)


def pictures_below(folder: Path) -> dict[str, Path]:
    """The pictures below a folder by their paths in it, without ending; of ``a.jpg`` and ``a.png`` the first."""
    files = {}
    for base, _, names in os.walk(folder):
        below = "" if Path(base) == folder else Path(base).relative_to(folder).as_posix() + "/"
        for name in sorted(names, reverse=True):
            stem, _, suffix = name.rpartition(".")
            if suffix.lower() in SUFFIXES:
                files[below + stem] = Path(base, name)
    return files


def with_class_folders(reading: Reading, folder: Path, places: Places, split: str = "train") -> Reading:
    """The reading and the photos that lie in ``folder`` in one folder per class, named like the classes.

    They are only looked for where photos are needed.
    """
    if not places.need_photos or not folder.is_dir():
        return reading
    collection, faults = reading
    number = {name: label for label, name in enumerate(collection.classes)}
    photos, notes = list(collection.photos), list(collection.problems)
    for below in sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        label = number.get(spell(below.name))
        if label is None:
            notes.append(Problem(below.name, f"{shown(below)} is no class of the lists; its photos are left out."))
            continue
        files = sorted(file for file in below.iterdir() if file.suffix[1:].lower() in SUFFIXES)
        photos += [Photo(file, f"{split}/{below.name}/{file.name}", (label,), split) for file in files]
    return Reading(replace(collection, photos=tuple(photos), problems=tuple(notes)), faults)


def one_sided(names: Iterable[str], others: Iterable[str], file: Path, other: Path, outcome: str) -> list[Problem]:
    """At most one note, of the photos that ``file`` names and ``other`` does not."""
    known = set(others)
    lost = [name for name in names if name not in known]
    if not lost:
        return []
    count = f"{len(lost)} photos" if len(lost) > 1 else "a photo"
    return [Problem(lost[0], f'{file} names {count} that {other.name} does not, "{lost[0]}" first; {outcome}.')]


def match(names: Sequence[str], source: Path, truth: Mapping[str, Truth], file: Path) -> list[Problem]:
    """Notes of photos without truth and of truth without a photo, where there is any truth.

    Raises :class:`InputError` where the two lists have no photo in common.
    """
    if not truth:
        return []
    if names and truth.keys().isdisjoint(names):
        raise InputError(f"{file} names no photo of {source.name}. Copy both from the same data set.")
    without = one_sided(names, truth, source, file, "they cannot be judged")
    return without + one_sided(truth, names, file, source, "its lines are left out")
