"""From lists to a dataset: roots of photos, class names, and notes where two lists differ."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ...errors import InputError
from ...structures import Dataset, Problem, Sample
from ..images import SUFFIXES
from .reading import (
    GroundTruth,
    Places,
    Reading,
    ends_before_it_begins,
    exists,
    folder_name,
    is_utf8,
    missing_photo,
    normalize_tag,
)
from .records import labeled, records

Listed = tuple[str, Sample]
"""The place (file and line) where a photo is listed, and the photo."""


class LabelList(NamedTuple):
    """A list of photos and their class numbers."""

    file: Path
    rows: dict[int, tuple[str, int]]
    """Name and label by the number of the line."""

    @classmethod
    def read(cls, file: Path, separator: str, example: str) -> "LabelList":
        """The list in ``file``, whose lines are ``path SEPARATOR label`` like ``example``."""
        return cls(file, dict(records(file, labeled(separator), f'"{example}"')))

    @property
    def names(self) -> list[str]:
        """Names in the order of the list."""
        return [name for name, _ in self.rows.values()]

    def samples(self, root: Path, split: str, ground_truth: Mapping[str, GroundTruth]) -> list[Listed]:
        """The photos of the list, their names relative to ``root``."""
        return [
            (
                f"{self.file} line {line}",
                Sample(root / name, name, (label,), split, *ground_truth.get(name, GroundTruth())),
            )
            for line, (name, label) in self.rows.items()
        ]


def read_listed(
    images: Path, classes: Sequence[str], listed: Iterable[Listed], places: Places, notes: Iterable[Problem] = ()
) -> Reading:
    """The photos as a reading; those that must exist and do not are faults.

    Raises :class:`InputError` where a photo is listed twice.
    """
    line_of: dict[str, str] = {}
    samples, faults = [], []
    for where, sample in listed:
        if sample.name in line_of:
            raise InputError(
                f'{where}: "{sample.name}" stands in {line_of[sample.name]} already. Delete one of the two.'
            )
        line_of[sample.name] = where
        if places.need_images and not exists(sample.path):
            file = sample.path.relative_to(images).as_posix()
            faults.append(missing_photo(where, file, images, "the folder given as images, or else the lists"))
            continue
        if any(map(ends_before_it_begins, sample.boxes)):
            reason = f'{where}: a true box of "{sample.name}" ends before it begins. Correct that box.'
            faults.append(Problem(sample.name, reason))
            continue
        samples.append(sample)
    return Reading(Dataset(images, tuple(classes), tuple(samples), tuple(notes)), faults)


def classes_by_folder(*lists: LabelList) -> tuple[str, ...]:
    """Class names from the folders of the photos; class numbers where photos lie in no folder."""
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


def check_class_names(classes: Sequence[str], source: Path, listed: Iterable[Listed]) -> None:
    """Raises :class:`InputError` where a photo has a label beyond the ``classes`` of ``source``."""
    for where, sample in listed:
        if sample.labels[0] >= len(classes):
            raise InputError(
                f"{where}: label {sample.labels[0]}, but {source} ends with {len(classes) - 1}. Add a name."
            )


def image_root(images: Path, folders: Iterable[str], names: Iterable[str]) -> Path:
    """The first of the folders below ``images`` that holds one of the first 20 photos, or else ``images`` itself."""
    names = list(names)[:20]
    return next((images / below for below in folders if any(exists(images / below / name) for name in names)), images)


def pictures_below(folder: Path) -> dict[str, Path]:
    """Image files below a folder by their relative paths without suffix; of ``a.jpg`` and ``a.png`` the first."""
    files = {}
    for base, _, names in os.walk(folder):
        below = "" if Path(base) == folder else Path(base).relative_to(folder).as_posix() + "/"
        for name in sorted(names, reverse=True):
            base_name, _, suffix = name.rpartition(".")
            if suffix.lower() in SUFFIXES:
                files[below + base_name] = Path(base, name)
    return files


def with_class_folders(reading: Reading, folder: Path, places: Places, split: str = "train") -> Reading:
    """The reading, and the photos of ``folder`` in one folder per class, named like the classes.

    Without ``places.need_images`` the reading alone.
    """
    if not places.need_images or not folder.is_dir():
        return reading
    dataset, faults = reading
    number = {name: label for label, name in enumerate(dataset.classes)}
    samples, notes = list(dataset.samples), list(dataset.problems)
    for below in sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        if not is_utf8(below):
            notes.append(Problem(ascii(below.name), "its name is not valid UTF-8. Rename it."))
            continue
        label = number.get(normalize_tag(below.name))
        if label is None:
            notes.append(
                Problem(below.name, f"{folder_name(below)} is no class of the lists; its photos are left out.")
            )
            continue
        files = sorted(file for file in below.iterdir() if file.suffix[1:].lower() in SUFFIXES and is_utf8(file))
        samples += [Sample(file, f"{split}/{below.name}/{file.name}", (label,), split) for file in files]
    return Reading(replace(dataset, samples=tuple(samples), problems=tuple(notes)), faults)


def unmatched(names: Iterable[str], others: Iterable[str], file: Path, other: Path, outcome: str) -> list[Problem]:
    """At most one note, on the photos that ``file`` names and ``other`` does not."""
    known = set(others)
    lost = [name for name in names if name not in known]
    if not lost:
        return []
    count = f"{len(lost)} photos" if len(lost) > 1 else "a photo"
    return [Problem(lost[0], f'{file} names {count} that {other.name} does not, "{lost[0]}" first; {outcome}.')]


def match_ground_truth(
    names: Sequence[str], source: Path, ground_truth: Mapping[str, GroundTruth], file: Path
) -> list[Problem]:
    """Notes on photos without ground truth and on ground truth without a photo, where there is any.

    Raises :class:`InputError` where the two lists have no photo in common.
    """
    if not ground_truth:
        return []
    if names and ground_truth.keys().isdisjoint(names):
        raise InputError(f"{file} names no photo of {source.name}. Copy both from the same data set.")
    without = unmatched(names, ground_truth, source, file, "they cannot be scored")
    return without + unmatched(ground_truth, names, file, source, "its lines are left out")
