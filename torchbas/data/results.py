"""The results of an earlier command, read from its COCO file, to be written in other formats."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32
from pycocotools import mask as coco_mask

from ..errors import InputError, one_line
from ..export.results import Results
from ..inputs import number, read_json
from ..io import MANIFEST, read_manifest
from ..localization import CORRECTED, Localization
from ..structures import Box, Problem
from .datasets.coco_masks import filled
from .datasets.records import size_of
from .images import LARGEST_PHOTO, UnreadableImage, image_size, open_image

MASKS = "masks.coco.json"
"""The file of a folder of results that is read."""
PHOTO_FOLDER = "photo_folder"
"""Key in ``run.json``: the folder that names of photos are relative to, seen from the folder of results."""
OUTSIDE = 1.0
"""Pixels that a box may reach out of its photo; it is cut there."""
GRID = 28
"""Cells of each side of the map that stands for the one that COCO has no place for."""


def read_results(source: str | os.PathLike[str], photos: str | os.PathLike[str] | None = None) -> Results:
    """What a command has left in its folder (``masks.coco.json``, or the parts of ``bas predict --shard``), or what
    stands in another COCO file.

    Score, confidence, S_b / S and method are those of the file. COCO has no place for the maps: the mask, on a grid,
    stands for each, and a box without a mask is its own. Where the file says nothing else the score is 1 and the
    method ``unknown``, or ``corrected`` in corrections that the gallery has saved. Crowd regions are left out.

    Args:
        source: folder of ``bas label``, ``predict``, ``segment`` or ``export``, or a COCO file.
        photos: folder that names of photos are relative to; by default the one that ``run.json`` beside the file names.

    Raises:
        InputError: no such path, a folder without that file, or one that is not understood.
    """
    if not (Path(source) / MASKS).is_file() and any(Path(source).glob("part-*.parquet")):
        return _read_parts(Path(source), photos)
    file = _file_in(Path(source))
    content = read_json(file)
    folder = Path(photos) if photos is not None else _photo_folder(file.parent)
    try:
        tags = {one["id"]: _word(one["name"]) for one in content["categories"]}
        images = {one["id"]: one for one in content["images"]}
        sizes = {_name(one["file_name"]): _size(one) for one in images.values()}
        if len(sizes) < len(content["images"]):
            raise ValueError("it lists a photo twice")
        found = [_read(one, images[one["image_id"]], tags, folder) for one in _objects(content["annotations"])]
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else one_line(error)
        expected = "a JSON object with images, categories and annotations, as COCO has them"
        raise InputError(f"{file} is not understood ({what}): it should hold {expected}.") from error
    facts = {"Read from": file.name, "Maps": "COCO has none: the masks in their place"}
    return Results(found, tuple(dict.fromkeys(tags.values())), sizes, open_image, facts=facts)


def require_photos(results: Results) -> None:
    """Refuse results whose photos cannot be copied or drawn, before anything is written.

    Raises:
        InputError: a photo with an object that is not there, cannot be opened, or has another size now.
    """
    photos = {one.name: one for one in results.detections}
    faults = list(filter(None, map(_fault, photos.values())))
    if faults:
        more = f" {len(faults) - 1} more like it." if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}: give the folder that its name is relative to with --photos.{more}")


def folder_of(file: Path, name: str) -> Path:
    """The folder that the name of a photo is relative to."""
    return file.parents[len(PurePosixPath(name).parts) - 1]


def photo_folder(photos: Iterable[tuple[Path, str]], results: Path) -> dict[str, str]:
    """The entry of ``run.json`` that leads from a folder of results to the photos, as long as both are moved together.

    Args:
        photos: file and name of photos, of which the first tells; none: there is no entry.
    """
    for file, name in photos:
        folder = folder_of(file, name)
        try:
            return {PHOTO_FOLDER: Path(os.path.relpath(folder, results)).as_posix()}
        except ValueError:  # another drive
            return {PHOTO_FOLDER: folder.absolute().as_posix()}
    return {}


def _read_parts(source: Path, photos: str | os.PathLike[str] | None) -> Results:
    """All parts of ``bas predict --shard``; photos that could not be read are the problems."""
    try:
        from .parts import classes_of, rows_in
    except ImportError as error:
        raise InputError(f'{error.name} is not installed: pip install "torch-bas[shards]".') from error
    folder = Path(photos) if photos is not None else _photo_folder(source)
    classes, found, sizes, problems = classes_of(source), list[Localization](), dict[str, tuple[int, int]](), []
    for row in rows_in(source):
        try:
            name = _name(row["key"])
            if row["error"] is not None:
                problems.append(Problem(name, row["error"]))
                continue
            sizes[name] = _size(row)
            if row["label"] is not None:
                found.append(_of_row(row, folder))
        except (ValueError, TypeError) as error:
            raise InputError(f"{source} is not understood ({one_line(error)}): run its command again.") from error
    facts = {"Read from": "parts", "Maps": "the parts have none: the masks in their place"}
    return Results(found, classes, sizes, open_image, tuple(problems), facts)


def _of_row(row: dict[str, Any], folder: Path) -> Localization:
    x0, y0, x1, y1 = row["xyxy"]
    image = {"file_name": row["key"], "height": row["height"], "width": row["width"]}
    annotation = {
        "category_id": row["label"],
        "bbox": (x0, y0, x1 - x0, y1 - y0),
        "segmentation": {"size": [row["height"], row["width"]], "counts": row["mask"]},
        "attributes": {name: row[name] for name in ("score", "confidence", "bas_ratio", "method")},
    }
    return _read(annotation, image, {row["label"]: row["label"]}, folder)


def _file_in(source: Path) -> Path:
    if not source.exists():
        raise InputError(f"{source} does not exist: give the folder of bas label or bas predict, or a COCO file.")
    if not source.is_dir():
        return source
    file = source / MASKS
    if not (source / MANIFEST).is_file() and not file.is_file():
        raise InputError(
            f"{source} holds no results ({MANIFEST}, {MASKS}): give the folder of bas label or bas predict."
        )
    read_manifest(source)
    if not file.is_file():
        again = "run its command again with --format coco (bas label with --resume does not train again)"
        raise InputError(f"{source} has no {MASKS}, for it was written without the format coco: {again}.")
    return file


def _photo_folder(results: Path) -> Path:
    """The photos' folder by ``run.json``, or the current one."""
    named = read_manifest(results).get(PHOTO_FOLDER) if (results / MANIFEST).is_file() else None
    return Path(os.path.normpath(results / named)) if isinstance(named, str) else Path()


def _objects(annotations: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (one for one in annotations if not one.get("iscrowd"))


def _read(one: dict[str, Any], image: dict[str, Any], tags: dict[Any, str], folder: Path) -> Localization:
    size, facts = _size(image), one.get("attributes") or {}
    box = _box(one["bbox"], *size)
    mask = filled(one["segmentation"], *size) if one.get("segmentation") else np.zeros(size, bool)
    if not mask.any():
        mask = _inside(box, size)
    score = _share(one.get("score", facts.get("score", 1)))
    return Localization(
        image=folder / image["file_name"],
        name=image["file_name"],
        size=size,
        label=tags[one["category_id"]],
        xyxy=box,
        rle=dict(coco_mask.encode(np.asfortranarray(mask, np.uint8))),
        grid=_grid(mask),
        confidence=_share(facts.get("confidence", score)),
        bas_ratio=_share(facts.get("bas_ratio", 0)),
        threshold=0.5,
        method=_word(facts.get("method", CORRECTED if "reviewed" in image else "unknown")),
        recorded=score,
    )


def _size(image: dict[str, Any]) -> tuple[int, int]:
    size = size_of(image["height"], image["width"])
    if size[0] * size[1] > LARGEST_PHOTO:
        raise ValueError(f"{size[1]} x {size[0]} pixels are too many for a photo")
    return size


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _name(value: object) -> str:
    """A photo's name, which stays below the photos' folder."""
    parts = PurePosixPath(_word(value))
    os.fsencode(parts)  # raises ValueError for what no file can be called
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or "\0" in str(value):
        raise ValueError(f"{value!r} does not stay below the folder of the photos")
    return str(value)


def _share(value: object) -> float:
    read = number(value)
    if not 0 <= read <= 1:
        raise ValueError(f"{read:g} is not in [0, 1]")
    return read


def _box(values: Iterable[Any], height: int, width: int) -> Box:
    x, y, wide, high = map(number, values)
    x0, y0, x1, y1 = max(x, 0.0), max(y, 0.0), min(x + wide, float(width)), min(y + high, float(height))
    outside = max(-x, -y, x + wide - width, y + high - height) > OUTSIDE
    if outside or x1 <= x0 or y1 <= y0:
        raise ValueError(f"the box {x:g} {y:g} {wide:g} {high:g} does not lie in {width} x {height} pixels")
    return x0, y0, x1, y1


def _inside(box: Box, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """All pixels that the box meets."""
    mask = np.zeros(size, bool)
    (left, top), (right, bottom) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    mask[top:bottom, left:right] = True
    return mask


def _grid(mask: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "h w"]:
    """Share of the mask in each cell."""
    height, width = mask.shape
    shape = min(GRID, width), min(GRID, height)
    return cv2.resize(mask.astype(np.uint8) * 255, shape, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _fault(one: Localization) -> str:
    """What is wrong with a photo; empty where nothing is."""
    try:
        size = image_size(one.image)
    except UnreadableImage as error:
        return f"{one.image} is not there" if not one.image.exists() else str(error).rstrip(".")
    if size == one.size:
        return ""
    there, then = (f"{width} x {height}" for height, width in (size, one.size))
    return f"{one.image} has {there} pixels, but the results are of a photo of {then}"
