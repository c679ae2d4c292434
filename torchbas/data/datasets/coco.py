"""COCO 2014 and 2017: photos and tags from its annotations."""

import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import InputError
from ...inputs import parse_json, read_text
from ...structures import Problem, Sample
from .listed import Listed, pictures_below, read_listed
from .reading import Places, Reading, folder_name, normalize_tag
from .records import name_of, size_of

_FILE = re.compile(r"instances_(train|val)(20\d\d)\.json")
_TOOL = re.compile(r"instances_(\w+)\.json")
_OUTLINES = re.compile(r'"(segmentation|counts|bbox)":\s*\[[-+\[\]\d.,eE\s]*\]', re.ASCII)


class Annotations(NamedTuple):
    """One file of annotations."""

    file: Path
    split: str
    year: str

    @property
    def image_folder(self) -> str:
        """The folder of its photos; none where the file is a tool's."""
        return self.split + self.year

    def load(self, outlines: bool) -> Any:
        """The file's content; without ``outlines`` it takes a third of the memory."""
        content = read_text(self.file)
        # A quote inside a word is escaped in JSON, so only a key can look like this.
        return parse_json(content if outlines else _OUTLINES.sub(r'"\1": []', content), self.file)

    def broken(self, error: Exception) -> InputError:
        """The error of a file that is no COCO annotations."""
        expected = "a JSON object with images, categories and annotations, as COCO publishes it"
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        return InputError(f"{self.file} is not understood ({reason}). It should hold {expected}.")


class _Split(NamedTuple):
    """Content of one file of annotations."""

    classes: tuple[str, ...]
    listed: list[Listed]
    notes: list[Problem]


def is_coco(folder: Path) -> bool:
    """Whether the folder or its ``annotations/`` holds ``instances_train2014.json`` or a file named like it, or
    ``annotations/`` one file ``instances_default.json``, as tools export it."""
    return bool(annotations_in(folder))


def read_coco(folder: Path, places: Places) -> Reading:
    """``instances_train20xx.json`` and ``instances_val20xx.json``, in the folder or in ``annotations/``.

    A photo has the classes of all its annotations, crowds too; classes are numbered by their ids, without gaps.
    Photos without annotations are left out and counted in a note, as in the paper (82,081 remain of train2014,
    40,137 of val2014). They lie in ``train2014/`` and so on below ``places.images`` or the folder, or in its
    ``images/``; or all in ``places.images`` itself. One file of another name has no split, and its photos lie in
    ``images/``, or there in a folder of the file's name, such as ``images/default/``. Masks are files called like the
    photos, ``.png``, in ``places.masks`` or ``SegmentationClass/``; see
    :func:`~torchbas.data.datasets.coco_masks.paint`.
    """
    masks = pictures_below(places.masks or folder / "SegmentationClass")
    root, parts = _root(folder, places), []
    for annotations in annotations_in(folder):
        flat = places.need_images and not (root / annotations.image_folder).is_dir()
        parts.append(_read_split(annotations, root, root if flat else root / annotations.image_folder, masks))
        if parts[-1].classes != parts[0].classes:
            raise InputError(f"{annotations.file} has other categories than the file beside it. Copy both again.")
    listed = [sample for part in parts for sample in part.listed]
    return read_listed(root, parts[0].classes, listed, places, [note for part in parts for note in part.notes])


def _read_split(annotations: Annotations, root: Path, base: Path, masks: dict[str, Path]) -> _Split:
    content = annotations.load(outlines=False)
    listed: list[Listed] = []
    empty = []
    try:
        classes, number = class_numbers(content)
        labels = _labels(content, number)
        for image in content["images"]:
            file = base / name_of(image["file_name"])
            if image["id"] in labels:
                size, mask = size_of(image["height"], image["width"]), masks.get(file.stem)
                name = file.relative_to(root).as_posix()
                sample = Sample(file, name, labels[image["id"]], annotations.split, mask=mask, size=size)
                listed.append((os.fspath(annotations.file), sample))
            else:
                empty.append(file.name)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise annotations.broken(error) from error
    count = f"{len(empty)} photos have" if len(empty) > 1 else "one photo has"
    reason = f'{annotations.file}: {count} no objects, "{empty[0]}" first; left out.' if empty else ""
    return _Split(classes, listed, [Problem(empty[0], reason)] if empty else [])


def annotations_in(folder: Path) -> list[Annotations]:
    """The files of annotations, training first."""
    places = (folder / "annotations", folder)
    found = next((files for place in places if (files := sorted(place.glob("instances_*.json")))), [])
    named = [(file, name) for file in found if (name := _FILE.fullmatch(file.name))]
    annotations = [Annotations(file, name[1], name[2]) for file, name in named]
    if not named and len(found) == 1 and found[0].parent != folder:
        return [Annotations(found[0], "", "")]
    if len({one.year for one in annotations}) > 1:
        raise InputError(
            f"{folder_name(folder)} holds annotations of two years, of the same photos. Keep those of one."
        )
    return annotations


def _root(folder: Path, places: Places) -> Path:
    images, annotations = places.images or folder, annotations_in(folder)
    if not annotations[0].image_folder:
        name = _TOOL.fullmatch(annotations[0].file.name)
        below = (images / "images" / (name[1] if name else ""), images / "images")
        return next((root for root in below if root.is_dir()), images)
    folders = [one.image_folder for one in annotations]
    return next((root for root in (images, images / "images") if any((root / f).is_dir() for f in folders)), images)


def class_numbers(content: dict[str, Any]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Class names, and class numbers from 0 by category id."""
    names = {category["id"]: normalize_tag(category["name"]) for category in content["categories"]}
    return tuple(names[key] for key in sorted(names)), {key: label for label, key in enumerate(sorted(names))}


def _labels(content: dict[str, Any], number: dict[int, int]) -> dict[int, tuple[int, ...]]:
    """Labels by the id of each photo that has annotations."""
    labels = defaultdict(set)
    for one in content["annotations"]:
        labels[one["image_id"]].add(number[one["category_id"]])
    return {key: tuple(sorted(found)) for key, found in labels.items()}
