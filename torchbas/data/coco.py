"""COCO 2014 and 2017: photos and tags from its annotations, and label maps painted when somebody needs them."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from pycocotools import mask as coco

from ..errors import InputError
from ..types import Photo, Problem
from .listed import Listed, pictures_below, read_listed
from .reading import Places, Reading, shown, spell

_FILE = re.compile(r"instances_(train|val)(20\d\d)\.json")
_OUTLINES = re.compile(rb'"(segmentation|counts|bbox)":\s*\[[-+\[\]\d.,eE\s]*\]')


class _Annotations(NamedTuple):
    """One file of annotations."""

    file: Path
    split: str
    year: str

    @property
    def photos(self) -> str:
        """The folder of its photos."""
        return self.split + self.year

    def load(self, outlines: bool) -> Any:
        """What the file says, without its ``outlines`` in a third of the memory."""
        try:
            content = self.file.read_bytes()
            # A quote inside a word is escaped in JSON, so only a key can look like this.
            return json.loads(content if outlines else _OUTLINES.sub(rb'"\1": []', content))
        except ValueError as error:
            raise InputError(f"{self.file} is not valid JSON ({error}). Copy it again.") from error

    def broken(self, error: Exception) -> InputError:
        expected = "a JSON object with images, categories and annotations, as COCO publishes it"
        return InputError(f"{self.file} is not understood ({error!r}): it should hold {expected}.")


class _Split(NamedTuple):
    """What one file of annotations says."""

    classes: tuple[str, ...]
    listed: list[Listed]
    notes: list[Problem]


def is_coco(folder: Path) -> bool:
    """Whether the folder, or ``annotations/`` in it, holds ``instances_train2014.json`` or a file named like it."""
    return bool(_annotations(folder))


def read_coco(folder: Path, places: Places) -> Reading:
    """``instances_train20xx.json`` and ``instances_val20xx.json``, in the folder or in ``annotations/``.

    A photo has the classes of all its annotations, crowds too; classes are numbered by their ids, without gaps.
    Photos without annotations are left out and counted in a note, as in the paper (82,081 are left of train2014,
    40,137 of val2014). They lie in ``train2014/`` and so on below ``places.images`` or the folder, or in its
    ``images/``; or all in ``places.images`` itself. Masks are files called like the photos, ``.png``, in
    ``places.masks`` or ``SegmentationClass/``; see :func:`paint`.
    """
    masks = pictures_below(places.masks or folder / "SegmentationClass")
    root, parts = _root(folder, places), []
    for annotations in _annotations(folder):
        flat = places.need_photos and not (root / annotations.photos).is_dir()
        parts.append(_read_split(annotations, root, root if flat else root / annotations.photos, masks))
        if parts[-1].classes != parts[0].classes:
            raise InputError(f"{annotations.file} has other categories than the file beside it. Copy both again.")
    listed = [photo for part in parts for photo in part.listed]
    return read_listed(root, parts[0].classes, listed, places, [note for part in parts for note in part.notes])


def paint(folder: str | os.PathLike[str], photos: Iterable[Photo]) -> Iterator[tuple[Photo, UInt8[np.ndarray, "H W"]]]:
    """The true label maps of photos that :func:`read_coco` read in ``folder``, one after the other.

    Objects are painted in the order of the file, each one over those before; crowds are not painted, and nothing is
    255. A file of annotations is read when the first of its photos comes (up to 3 GB of memory for train2014).

    Raises:
        InputError: a photo that the annotations do not list, or an outline that pycocotools cannot fill.
    """
    folder, wanted = Path(folder), defaultdict(list)
    for photo in photos:
        wanted[photo.split].append(photo)
    for annotations in _annotations(folder):
        if annotations.split in wanted:
            yield from _paint(annotations, wanted.pop(annotations.split))
    for photo in (photo for lost in wanted.values() for photo in lost):
        raise InputError(f"{shown(folder)} holds no annotations of {photo.name}. Give the folder it was read from.")


def _read_split(annotations: _Annotations, root: Path, base: Path, masks: dict[str, Path]) -> _Split:
    content = annotations.load(outlines=False)
    listed: list[Listed] = []
    lost = []
    try:
        classes, number = _classes(content)
        labels = _labels(content, number)
        for image in content["images"]:
            file = base / image["file_name"]
            if image["id"] in labels:
                size, mask = (image["height"], image["width"]), masks.get(file.stem)
                name = file.relative_to(root).as_posix()
                photo = Photo(file, name, labels[image["id"]], annotations.split, mask=mask, size=size)
                listed.append((os.fspath(annotations.file), photo))
            else:
                lost.append(file.name)
    except (KeyError, TypeError, AttributeError) as error:
        raise annotations.broken(error) from error
    count = f"{len(lost)} photos have" if len(lost) > 1 else "one photo has"
    notes = [Problem(lost[0], f'{annotations.file}: {count} no objects, "{lost[0]}" first; left out.')] if lost else []
    return _Split(classes, listed, notes)


def _paint(annotations: _Annotations, photos: list[Photo]) -> Iterator[tuple[Photo, UInt8[np.ndarray, "H W"]]]:
    content = annotations.load(outlines=True)
    try:
        _, number = _classes(content)
        images = {image["file_name"]: image for image in content["images"]}
        objects = defaultdict(list)
        for one in content.pop("annotations"):
            if not one.get("iscrowd"):
                objects[one["image_id"]].append(one)
    except (KeyError, TypeError, AttributeError) as error:
        raise annotations.broken(error) from error
    for photo in photos:
        image = images.get(photo.path.name)
        if image is None:
            raise InputError(f"{annotations.file} does not list {photo.path.name}. Copy it again.")
        labels = np.zeros((image["height"], image["width"]), np.uint8)
        for one in objects[image["id"]]:
            labels[_mask(one, annotations, *labels.shape)] = number[one["category_id"]] + 1
        yield photo, labels


def _mask(one: dict[str, Any], annotations: _Annotations, height: int, width: int) -> Any:
    try:
        outline = one["segmentation"]
        if isinstance(outline, list):
            return coco.decode(coco.merge(coco.frPyObjects(outline, height, width))).astype(bool)
        packed = isinstance(outline["counts"], str)
        return coco.decode(outline if packed else coco.frPyObjects(outline, height, width)).astype(bool)
    except Exception as error:  # pycocotools answers broken outlines with nearly every kind of exception
        raise InputError(f"{annotations.file}: object {one.get('id')} has no outline that can be filled.") from error


def _annotations(folder: Path) -> list[_Annotations]:
    """The files of annotations, training first."""
    places = (folder / "annotations", folder)
    found = next((files for place in places if (files := sorted(place.glob("instances_*.json")))), [])
    named = [(file, name) for file in found if (name := _FILE.fullmatch(file.name))]
    annotations = [_Annotations(file, name[1], name[2]) for file, name in named]
    if len({one.year for one in annotations}) > 1:
        raise InputError(f"{shown(folder)} holds annotations of two years, of the same photos. Keep those of one.")
    return annotations


def _root(folder: Path, places: Places) -> Path:
    images = places.images or folder
    folders = [annotations.photos for annotations in _annotations(folder)]
    return next((root for root in (images, images / "images") if any((root / f).is_dir() for f in folders)), images)


def _classes(content: dict[str, Any]) -> tuple[tuple[str, ...], dict[int, int]]:
    """The names of the classes, and their numbers, from 0, by id."""
    names = {category["id"]: spell(category["name"]) for category in content["categories"]}
    return tuple(names[key] for key in sorted(names)), {key: label for label, key in enumerate(sorted(names))}


def _labels(content: dict[str, Any], number: dict[int, int]) -> dict[int, tuple[int, ...]]:
    """The labels of each photo that has annotations, by its id."""
    labels = defaultdict(set)
    for one in content["annotations"]:
        labels[one["image_id"]].add(number[one["category_id"]])
    return {key: tuple(sorted(found)) for key, found in labels.items()}
