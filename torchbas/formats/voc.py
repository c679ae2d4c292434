"""Masks as Pascal VOC has them: one palette PNG a photo, 0 background, then the classes in their order, 255 ignore."""

import json
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ..errors import InputError
from ..types import Localization
from .files import mirrored, replacing
from .lists import Sizes, check

IGNORE = 255
VOC_CLASSES = 20
_SERVER = PurePosixPath("results/VOC2012/Segmentation/comp6_test_cls")


def write_masks(found: Sequence[Localization], classes: Sequence[str], images: Sizes, folder: Path) -> None:
    """Write ``folder/<photo's name>.png`` for every photo with findings, and what its numbers mean: ``classes.json``.

    A pixel holds 1 + the index of its tag in ``classes``, 0 where nothing was found, 255 where objects of different
    tags overlap. A photo without findings gets no mask, since nothing found does not prove background. Folders are
    kept, and names that file systems refuse are mended (:func:`.files.mirrored`).
    Raises :class:`InputError` for more than 254 classes, a tag or photo outside the lists, a disk that is full.
    """
    if len(classes) >= IGNORE:
        limit = f"a palette PNG holds {IGNORE - 1} classes, but there are {len(classes)}"
        raise InputError(f'{folder}: {limit}. Use the format "coco" for the masks instead of "voc".')
    check(found, classes, images)
    index = {label: number for number, label in enumerate(classes, 1)}
    places = mirrored(images, ".png")
    objects = defaultdict(list)
    for one in found:
        objects[one.name].append(one)
    for name, group in objects.items():
        write_labels(folder / places[name], _merge(group, index))
    with replacing(folder / "classes.json") as partial:
        partial.write_text(json.dumps(["background", *classes], indent=0), encoding="utf-8")


def write_labels(path: Path, labels: UInt8[np.ndarray, "H W"]) -> None:
    """Write a label map, 0 background, n the n-th class, 255 ignore, as a PNG in VOC's colours, whole or not at all.

    Raises :class:`InputError` for a disk that is full.
    """
    picture = Image.fromarray(labels)
    picture.putpalette(voc_palette().tobytes())
    with replacing(path) as partial:
        picture.save(partial, format="PNG")


def write_submission(predicted: Iterable[tuple[str, UInt8[np.ndarray, "_ _"]]], folder: Path) -> Path:
    """Write label maps of VOC's test photos as its server takes them, and return ``folder/results.tar.gz``.

    ``predicted`` holds each photo's name, with or without ending, and its labels 0 .. 20 at the photo's size. They are
    also left in ``folder/results/VOC2012/Segmentation/comp6_test_cls/``; 6 is the task where other data may be used.
    Raises :class:`InputError` for any other label, when there is no photo, for a disk that is full.
    """
    files = {}
    for name, labels in predicted:
        if labels.max(initial=0) > VOC_CLASSES:
            raise InputError(f"{name}: VOC's server knows labels from 0 to {VOC_CLASSES}, not {labels.max()}.")
        place = _SERVER / f"{PurePosixPath(name).stem}.png"
        write_labels(folder / place, labels)
        files[place] = folder / place
    if not files:
        raise InputError(f"{folder}: there is no photo to submit. Give VOC's test split.")
    archive = folder / "results.tar.gz"
    with replacing(archive) as partial, tarfile.open(partial, "w:gz") as packed:
        for place, file in sorted(files.items()):
            packed.add(file, str(place))
    return archive


def voc_palette() -> UInt8[np.ndarray, "256 3"]:
    """The colours of Pascal VOC: the bits of the index, dealt to red, green and blue in turn, highest place first."""
    index, channel = np.arange(256)[:, None], np.arange(3)
    bits = [(index >> (3 * place + channel)) & 1 for place in range(3)]
    return (bits[0] << 7 | bits[1] << 6 | bits[2] << 5).astype(np.uint8)


def _merge(objects: Sequence[Localization], index: dict[str, int]) -> UInt8[np.ndarray, "H W"]:
    merged = np.zeros(objects[0].size, np.uint8)
    for one in objects:
        mask = one.mask
        clash = mask & (merged != 0) & (merged != index[one.label])
        merged[mask] = index[one.label]
        merged[clash] = IGNORE
    return merged
