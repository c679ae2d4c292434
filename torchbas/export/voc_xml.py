"""Boxes as Pascal VOC has them: one XML file a photo, in ``Annotations``."""

from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET

from ..io import atomic_write, output_paths
from ..localization import Localization
from .photos import by_photo
from .results import Results
from .xml import add, clean


def write(results: Results, folder: Path) -> None:
    """Write ``folder/Annotations/NAME.xml`` for every photo with detections.

    VOC's pixels count from 1 and its boxes end on their last pixel. A photo without detections gets no file, since that
    does not prove background. ``score`` and ``method`` are elements that VOC does not have; its readers pass over them.

    Raises:
        InputError: a disk that is full.
    """
    found = by_photo(results)
    paths = output_paths(results.sizes, ".xml")
    for name, detections in found.items():
        content = ET.tostring(_annotation(name, detections), encoding="utf-8", xml_declaration=True)
        with atomic_write(folder / "Annotations" / paths[name]) as partial:
            partial.write_bytes(content)


def _annotation(name: str, detections: list[Localization]) -> ET.Element:
    photo, (height, width) = PurePosixPath(clean(name)), detections[0].size
    root = ET.Element("annotation")
    add(root, {"folder": photo.parent.name, "filename": photo.name, "path": str(photo)})
    add(ET.SubElement(root, "source"), {"database": "torchbas"})
    add(ET.SubElement(root, "size"), {"width": width, "height": height, "depth": 3})
    add(root, {"segmented": 0})
    for one in detections:
        (x0, y0, x1, y1), thing = (round(value) for value in one.xyxy), ET.SubElement(root, "object")
        add(thing, {"name": one.label, "pose": "Unspecified", "truncated": 0, "difficult": 0})
        add(ET.SubElement(thing, "bndbox"), {"xmin": x0 + 1, "ymin": y0 + 1, "xmax": x1, "ymax": y1})
        add(thing, {"score": f"{one.score:.3f}", "method": one.method})
    ET.indent(root)
    return root
