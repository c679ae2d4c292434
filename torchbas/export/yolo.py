"""Photos and labels as Ultralytics' YOLO trains on them. It has no place for a score."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..io import atomic_write
from ..localization import Localization
from .photos import by_photo, photo_paths, place
from .polygons import polygons
from .results import Results


def write_detect(results: Results, folder: Path) -> None:
    """Write ``folder/yolo``: ``data.yaml``, ``images/<split>/`` and ``labels/<split>/`` with boxes.

    A photo without detections is left out, since that does not prove background. Of two and more photos both splits
    have some, unless ``val_split`` is 0; else ``val`` is ``train``, for Ultralytics demands one.

    Raises:
        InputError: a disk that is full.
    """
    _write(results, folder / "yolo", outlines=False)


def write_segment(results: Results, folder: Path) -> None:
    """Write ``folder/yolo-segment``, with outlines in place of boxes; pieces of an object are lines of their own."""
    _write(results, folder / "yolo-segment", outlines=True)


def split_of(name: str, val_split: float) -> str:
    """``train`` or ``val``, by a hash of the photo's name: among others it is in the same, and in a larger val, too."""
    return "val" if int(sha256(name.encode("utf-8", "replace")).hexdigest()[:8], 16) < val_split * 2**32 else "train"


def _write(results: Results, root: Path, *, outlines: bool) -> None:
    number = {label: index for index, label in enumerate(results.classes)}
    photos, paths = by_photo(results), photo_paths(results)
    splits = _splits(sorted(photos), results.val_split)
    for name, detections in photos.items():
        lines = [line for one in detections for line in _lines(one, number[one.label], outlines=outlines)]
        with atomic_write(root / "labels" / splits[name] / f"{paths[name].with_suffix('')}.txt") as partial:
            partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for name, detections in photos.items():
        place(detections[0], root / "images" / splits[name] / paths[name])
    val = "val" if "val" in splits.values() else "train"
    content = {"train": "images/train", "val": f"images/{val}", "names": [*results.classes]}
    with atomic_write(root / "data.yaml") as partial:
        partial.write_text(_yaml(content) + "\n", encoding="utf-8")


def _splits(names: list[str], val_split: float) -> dict[str, str]:
    splits = {name: split_of(name, val_split) for name in names}
    if len({*splits.values()}) < 2 and names:
        splits[names[-1]] = "train"
        if val_split and len(names) > 1:
            splits[names[0]] = "val"
    return splits


def _yaml(content: dict[str, Any]) -> str:
    """JSON, which is YAML but for characters that YAML does not print, and for pairs of surrogates."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    return re.sub(
        "[^\n\x20-\x7e\xa0-\u2027\u2030-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]", _escaped, text
    )


def _escaped(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"


def _lines(one: Localization, number: int, *, outlines: bool) -> list[str]:
    """Class and box (center, width, height) or outline, as shares of the photo's width and height."""
    height, width = one.size
    if outlines:
        scale = (width, height)
        shapes = [[value / scale[n % 2] for n, value in enumerate(shape)] for shape in polygons(one.mask)]
    else:
        x0, y0, x1, y1 = one.xyxy
        shapes = [[(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]]
    return [" ".join([str(number), *(f"{value:.6f}" for value in shape)]) for shape in shapes]
