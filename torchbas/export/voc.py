"""Masks as Pascal VOC has them: one palette PNG a photo, 0 background, then the classes in their order, 255 ignore."""

import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ..errors import InputError
from ..io import atomic_write, output_paths
from ..localization import Localization
from ..structures import IGNORE_INDEX
from .photos import by_photo
from .results import Results

VOC_CLASSES = 20
_SERVER = PurePosixPath("results/VOC2012/Segmentation/comp6_test_cls")


def write(results: Results, folder: Path) -> None:
    """Write the masks into ``folder/masks``."""
    write_masks(results, folder / "masks")


def write_masks(results: Results, folder: Path) -> None:
    """Write ``folder/NAME.png`` for every photo with detections, and the names of the label values: ``classes.json``.

    A pixel is 1 + the index of its class, 0 where nothing was detected, 255 (ignore) where detections of different
    classes overlap. A photo without detections gets no mask, since that does not prove background. Subfolders are
    kept, and names that file systems refuse are changed by :func:`~torchbas.io.output_paths`.

    Raises:
        InputError: a disk that is full.
    """
    index = {label: number for number, label in enumerate(results.classes, 1)}
    paths = output_paths(results.sizes, ".png")
    for name, detections in by_photo(results).items():
        write_labels(folder / paths[name], _merge(detections, index))
    with atomic_write(folder / "classes.json") as partial:
        partial.write_text(json.dumps(["background", *results.classes], indent=0), encoding="utf-8")


def write_labels(path: Path, labels: UInt8[np.ndarray, "H W"]) -> None:
    """Write a label map (0 background, n the n-th class, 255 ignore) as a PNG in VOC's colors, atomically.

    Raises:
        InputError: a disk that is full.
    """
    picture = Image.fromarray(labels)
    picture.putpalette(voc_palette().tobytes())
    with atomic_write(path) as partial:
        picture.save(partial, format="PNG")


def write_submission(predicted: Iterable[tuple[str, UInt8[np.ndarray, "_ _"]]], folder: Path) -> Path:
    """Write the archive that VOC's evaluation server takes, and return its path: ``folder/results.tar.gz``.

    ``predicted`` holds each test photo's name, with or without suffix, and its label map with values 0 .. 20 at the
    photo's size. The label maps also stay in ``folder/results/VOC2012/Segmentation/comp6_test_cls/``; comp6 is the
    segmentation task where other training data may be used.

    Raises:
        InputError: any other label; no photo at all; a disk that is full.
    """
    files = {}
    for name, labels in predicted:
        if labels.max(initial=0) > VOC_CLASSES:
            raise InputError(f"{name}: VOC's server knows labels from 0 to {VOC_CLASSES}, not {labels.max()}.")
        member = _SERVER / f"{PurePosixPath(name).stem}.png"
        write_labels(folder / member, labels)
        files[member] = folder / member
    if not files:
        raise InputError(f"{folder}: there is no photo to submit. Give VOC's test split.")
    archive = folder / "results.tar.gz"
    with atomic_write(archive) as partial, tarfile.open(partial, "w:gz") as packed:
        for member, file in sorted(files.items()):
            packed.add(file, str(member))
    return archive


def voc_palette() -> UInt8[np.ndarray, "256 3"]:
    """Pascal VOC's color map: the index's bits, lowest first, go to red, green and blue in turn, highest bit first."""
    index, channel = np.arange(256)[:, None], np.arange(3)
    bits = [(index >> (3 * place + channel)) & 1 for place in range(3)]
    return (bits[0] << 7 | bits[1] << 6 | bits[2] << 5).astype(np.uint8)


def _merge(detections: Sequence[Localization], index: dict[str, int]) -> UInt8[np.ndarray, "H W"]:
    """One photo's masks as a label map."""
    merged = np.zeros(detections[0].size, np.uint8)
    for one in detections:
        mask = one.mask
        overlap = mask & (merged != 0) & (merged != index[one.label])
        merged[mask] = index[one.label]
        merged[overlap] = IGNORE_INDEX
    return merged
