"""Boxes and masks for CVAT, "CVAT for images 1.1": one XML file of the task, which its *Upload annotations* takes.

Objects are marked ``source="auto"``, those that were corrected by hand ``"manual"``, and have the attributes ``score``
and ``bas_ratio``. The task's labels need attributes of these names, or CVAT leaves them out.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

from ..io import atomic_write
from ..localization import CORRECTED, Localization
from .photos import by_photo
from .results import Results
from .xml import add, clean

ATTRIBUTES = ("score", "bas_ratio")
Shape = Callable[[Localization], tuple[str, dict[str, str]]]
"""An object's element, and the place it says in the photo."""


def write(results: Results, folder: Path) -> None:
    """Write ``boxes.cvat.xml`` and ``masks.cvat.xml`` into ``folder``: in one file each object would come twice.

    Raises:
        InputError: a disk that is full.
    """
    for name, shape in (("boxes", _box), ("masks", _mask)):
        with atomic_write(folder / f"{name}.cvat.xml") as partial:
            ET.ElementTree(_annotations(results, shape)).write(partial, encoding="utf-8", xml_declaration=True)


def run_lengths(mask: Bool[np.ndarray, "h w"]) -> list[int]:
    """Lengths of the runs of a mask row by row, the first of them background, if of length 0."""
    flat = mask.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=False, append=~flat[-1:]))
    return np.diff(starts, prepend=0).tolist()


def _annotations(results: Results, shape: Shape) -> ET.Element:
    root = ET.Element("annotations")
    add(root, {"version": "1.1"})
    labels = ET.SubElement(ET.SubElement(ET.SubElement(root, "meta"), "task"), "labels")
    for tag in results.classes:
        label = ET.SubElement(labels, "label")
        add(label, {"name": tag})
        attributes = ET.SubElement(label, "attributes")
        for name in ATTRIBUTES:
            facts = {"mutable": "False", "input_type": "number", "default_value": "0", "values": "0\n1\n0.001"}
            add(ET.SubElement(attributes, "attribute"), {"name": name} | facts)
    found = by_photo(results)
    for number, (name, (height, width)) in enumerate(results.sizes.items()):
        photo = {"id": str(number), "name": clean(name), "width": str(width), "height": str(height)}
        image = ET.SubElement(root, "image", photo)
        for one in found.get(name, []):
            kind, place = shape(one)
            source = "manual" if one.method == CORRECTED else "auto"
            common = {"label": clean(one.label), "source": source, "occluded": "0", "z_order": "0"}
            thing = ET.SubElement(image, kind, common | place)
            for key in ATTRIBUTES:
                ET.SubElement(thing, "attribute", name=key).text = f"{getattr(one, key):.3f}"
    return root


def _box(one: Localization) -> tuple[str, dict[str, str]]:
    return "box", {key: f"{value:.2f}" for key, value in zip(("xtl", "ytl", "xbr", "ybr"), one.xyxy, strict=True)}


def _mask(one: Localization) -> tuple[str, dict[str, str]]:
    """Runs inside the mask's bounds, row by row."""
    left, top, width, height = (int(value) for value in coco_mask.toBbox(cast(Any, one.rle)))
    runs = run_lengths(one.mask[top : top + height, left : left + width])
    place = {"left": left, "top": top, "width": width, "height": height}
    return "mask", {"rle": ", ".join(map(str, runs))} | {key: str(value) for key, value in place.items()}
