"""Objects as inference finds them, in photos of any size, for tests of what is written of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from torchbas.export.results import Results
from torchbas.localization import Localization

SIZES = {"a.jpg": (12, 16), "sub/b.jpg": (8, 9), "empty.jpg": (5, 7)}
CLASSES = ("cat", 'a/b "c" <script>', "Zebra 🦓")


def detection(name="a.jpg", label="cat", box=(2.0, 3.0, 8.0, 9.0), size=(12, 16), **changes) -> Localization:
    """An object whose mask is its box without one corner pixel."""
    mask = filled(box, size)
    mask[int(box[1]), int(box[0])] = 0
    return boxed(name, label, box, size, **{"rle": dict(coco_mask.encode(mask)), **changes})


def filled(box, size) -> np.ndarray:
    mask = np.zeros(size, np.uint8, order="F")
    x0, y0, x1, y1 = map(int, box)
    mask[y0:y1, x0:x1] = 1
    return mask


def boxed(name, label, box, size, **changes) -> Localization:
    """An object whose mask is its box."""
    plain = Localization(
        image=Path(name),
        name=name,
        size=size,
        label=label,
        xyxy=box,
        rle=dict(coco_mask.encode(filled(box, size))),
        grid=np.zeros((2, 2), np.float32),
        confidence=0.75,
        bas_ratio=0.1,
        threshold=0.5,
    )
    return replace(plain, **changes)


def open_gray(*_) -> Image.Image:
    return Image.new("RGB", (16, 12), (128, 128, 128))


def results_of(*detections: Localization, classes=CLASSES, sizes=None, **notes) -> Results:
    return Results(detections, classes, SIZES if sizes is None else sizes, open_gray, **notes)


def three(photos: Path) -> Results:
    """Three objects in two of three photos, which are made as files in a folder."""
    for name, (height, width) in SIZES.items():
        (photos / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (width, height), (10, 20, 30)).save(photos / name)
    found = (
        detection("a.jpg", "cat", (2.0, 3.0, 8.0, 9.0), confidence=0.9),
        detection("sub/b.jpg", CLASSES[1], (0.0, 0.0, 5.0, 4.0), (8, 9), confidence=0.4),
        detection("a.jpg", CLASSES[2], (6.0, 5.0, 16.0, 12.0), confidence=0.8),
    )
    return results_of(*(replace(one, image=photos / one.name) for one in found))
