"""Pre-annotations for Label Studio: tasks with predictions, and the labelling configuration that fits them.

``data.image`` is ``/data/local-files/?d=FOLDER/NAME``: with local file serving on, its document root is the folder that
the folder of photos lies in, for Label Studio serves nothing that lies in its document root itself.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from ..io import atomic_write
from ..localization import CORRECTED, Localization
from ..viz.overlay import class_colors
from .photos import by_photo
from .polygons import polygons
from .results import Results
from .xml import clean

Regions = Callable[[Localization], Iterator[tuple[str, str, dict[str, Any]]]]
"""Control tag, type and value of the regions of an object."""


def write(results: Results, folder: Path) -> None:
    """Write ``boxes.label-studio.json``, ``outlines.label-studio.json`` and ``label-studio.xml`` into ``folder``.

    Every photo is a task with a prediction to correct; its score is that of its worst object, by which Label Studio
    can sort. Where all objects were corrected by hand it has an annotation instead, so that it counts as done; else
    ``origin`` of those that were is ``manual``.

    Raises:
        InputError: a disk that is full.
    """
    for name, regions in (("boxes", boxes), ("outlines", outlines)):
        with atomic_write(folder / f"{name}.label-studio.json") as partial, partial.open("w", encoding="utf-8") as file:
            for number, task in enumerate(_tasks(results, regions)):
                file.write(("," if number else "[") + "\n" + json.dumps(task))
            file.write("\n]\n" if results.sizes else "[]\n")
    with atomic_write(folder / "label-studio.xml") as partial:
        partial.write_text(configuration(results.classes), encoding="utf-8")


def configuration(classes: Any) -> str:
    """The labelling configuration: boxes and outlines of the classes, in the colors of the gallery."""
    view = ET.Element("View")
    ET.SubElement(view, "Image", name="image", value="$image", zoom="true", zoomControl="true")
    colors = class_colors(classes)
    for kind, name in (("RectangleLabels", "box"), ("PolygonLabels", "outline")):
        labels = ET.SubElement(view, kind, name=name, toName="image")
        for label in classes:
            ET.SubElement(labels, "Label", value=clean(label), background="#{:02x}{:02x}{:02x}".format(*colors[label]))
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _tasks(results: Results, regions: Regions) -> Iterator[dict[str, Any]]:
    found, folder = by_photo(results), _folder(results)
    for name in results.sizes:
        task: dict[str, Any] = {"data": {"image": f"/data/local-files/?d={quote(folder + name)}"}}
        if detections := found.get(name):
            if all(one.method == CORRECTED for one in detections):
                task["annotations"] = [{"result": [region for one in detections for region in _regions(one, regions)]}]
            else:
                task["predictions"] = [prediction(detections, regions)]
        yield task


def _folder(results: Results) -> str:
    """Name of the folder of photos and a slash; empty where the photos' files do not tell it."""
    for one in results.detections:
        path = one.image.absolute().as_posix()
        if one.photo is None and path.endswith(f"/{one.name}"):
            root = Path(os.path.normpath(path.removesuffix(f"/{one.name}"))).name  # it may have been given as dots
            return f"{root}/" if root else ""
    return ""


def prediction(found: Sequence[Localization], regions: Regions, version: str = "torchbas") -> dict[str, Any]:
    """What was found in a task's photo, by :func:`boxes` or :func:`outlines`; its score is that of the worst object, 0
    without any."""
    result = [region for one in found for region in _regions(one, regions)]
    score = min((one.score for one in found), default=0.0)
    return {"model_version": version, "score": round(score, 4), "result": result}


def _regions(one: Localization, regions: Regions) -> Iterator[dict[str, Any]]:
    height, width = one.size
    for control, kind, value in regions(one):
        yield {
            "from_name": control,
            "to_name": "image",
            "type": kind,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {**value, kind: [clean(one.label)]},
            "score": round(one.score, 4),
            "origin": "manual" if one.method == CORRECTED else "prediction",
        }


def boxes(one: Localization) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """In percent of the photo's width and height."""
    (x0, y0, x1, y1), (height, width) = one.xyxy, one.size
    place = {"x": x0 / width, "y": y0 / height, "width": (x1 - x0) / width, "height": (y1 - y0) / height}
    yield "box", "rectanglelabels", {key: 100 * value for key, value in place.items()} | {"rotation": 0}


def outlines(one: Localization) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Outlines of the mask's pieces, likewise."""
    height, width = one.size
    for shape in polygons(one.mask):
        points = [[100 * x / width, 100 * y / height] for x, y in zip(shape[::2], shape[1::2], strict=True)]
        yield "outline", "polygonlabels", {"points": points, "closed": True}
