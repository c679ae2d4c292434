"""Corrections as the tools that people correct in write them: photos by name, boxes by tag."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET

from ...errors import InputError, one_line
from ...inputs import number, open_text, read_json, read_text, regular
from ...structures import Box
from ..datasets.reading import normalize_tag


class Runs(NamedTuple):
    """A mask of CVAT: lengths of the runs of a rectangle row by row, the first of them background."""

    left: int
    top: int
    width: int
    height: int
    lengths: Sequence[int]


Polygons = Sequence[Sequence[float]]
"""Each ``x0, y0, x1, y1, ...`` in the unit of the boxes."""
Outline = Polygons | Mapping[str, Any] | Runs | None
"""Polygons, COCO's run lengths, CVAT's; None where a thing has only a box."""
BROKEN = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""What a file of another content makes the readers raise, and an outline what fills it."""
Shape = tuple[Box, Outline]
"""A thing's box, and its outline where it has one."""


class Entry(NamedTuple):
    """A photo in a file of corrections."""

    name: str
    """As the file has it: perhaps with folders before it, or without its suffix (``stem``)."""
    things: dict[str, list[Shape]]
    """All things of each tag that was reviewed; none: it is not there."""
    size: tuple[int, int] | None = None
    """Height and width that the boxes are of; None where the file does not say."""
    sha256: str = ""
    """Of the photo's file, where the gallery wrote it."""
    nothing: bool = False
    """Whether none of the photo's tags is there."""
    relative: bool = False
    """Whether boxes are shares of width and height."""
    stem: bool = False
    """Whether the name has no suffix."""
    folder: str = ""
    """A folder that the photo may lie in; what tools write there is often only a word."""


def read_entries(path: Path) -> list[Entry]:
    """The photos in a file or folder of corrections.

    COCO, that of the gallery with what was reviewed; Label Studio's JSON and JSON-MIN; CVAT for images 1.1; Pascal
    VOC's XML, a file or a folder of them; a folder of YOLO with ``data.yaml``.

    Raises:
        InputError: no such path, or none of these.
    """
    try:
        return list(_reader(path)(path))
    except (*BROKEN, ET.ParseError, RecursionError) as error:
        raise InputError(f"{path} is not understood as corrections ({one_line(error)}): export them again.") from error


def _reader(path: Path) -> Callable[[Path], Iterator[Entry]]:
    if not path.exists():
        raise InputError(f"--corrected {path} does not exist: check the path.")
    if path.is_dir():
        if (path / "data.yaml").is_file():
            return _yolo
        if any(path.rglob("*.xml")):
            return _voc_folder
    elif path.suffix.lower() == ".json":
        return _json
    elif path.suffix.lower() == ".xml":
        return _xml
    forms = "a JSON (of the gallery, COCO, Label Studio), an XML (CVAT, Pascal VOC), or a folder of YOLO or VOC"
    raise InputError(f"--corrected {path} is nothing that corrections are read from: give {forms}.")


def _json(path: Path) -> Iterator[Entry]:
    content = read_json(path)
    return _coco(content) if isinstance(content, dict) else label_studio_entries(content)


def _coco(content: dict[str, Any]) -> Iterator[Entry]:
    """The gallery lists the tags that were reviewed; elsewhere these are the tags that have a box."""
    tags = {one["id"]: normalize_tag(one["name"]) for one in content["categories"]}
    things: dict[Any, dict[str, list[Shape]]] = {one["id"]: {} for one in content["images"]}
    for one in content["annotations"]:
        x, y, width, height = map(number, one["bbox"])
        shape = (x, y, x + width, y + height), _coco_outline(one.get("segmentation"))
        things[one["image_id"]].setdefault(tags[one["category_id"]], []).append(shape)
    for image in content["images"]:
        found, reviewed = things[image["id"]], image.get("reviewed")
        if reviewed is not None:
            found = {normalize_tag(tag): found.get(normalize_tag(tag), []) for tag in reviewed}
        if found:
            size = _size(image.get("height"), image.get("width"))
            yield Entry(str(image["file_name"]), found, size, str(image.get("sha256", "")))


def _coco_outline(segmentation: Any) -> Outline:
    """Polygons or run lengths."""
    if isinstance(segmentation, dict):
        return segmentation
    return [[number(value) for value in polygon] for polygon in segmentation or ()]


def _size(height: Any, width: Any) -> tuple[int, int] | None:
    return None if height is None or width is None else (int(number(height)), int(number(width)))


def label_studio_entries(tasks: list[dict[str, Any]]) -> Iterator[Entry]:
    """Tasks with the last annotation that was not skipped, or JSON-MIN, where each task has its regions by control."""
    for task in tasks:
        if "data" in task:  # else JSON-MIN
            done = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
            if not done:
                continue
            image = photo_in(task["data"])
            regions = [region for region in done[-1]["result"] if region.get("value")]
            values = [region["value"] | {"size": _original(region)} for region in regions]
        else:
            image = task["image"]
            values = [
                region | {"size": _original(region)}
                for regions in task.values()
                if isinstance(regions, list)
                for region in regions
                if isinstance(region, dict)
            ]
        things: dict[str, list[Shape]] = {}
        for value in values:
            labels = value.get("rectanglelabels") or value.get("polygonlabels")
            if labels:
                things.setdefault(normalize_tag(str(labels[0])), []).append(_shares(value))
        size = next((value["size"] for value in values if value["size"]), None)
        if things or not values:  # regions of other kinds say nothing
            yield Entry(file_of(image), things, size, nothing=not things, relative=True)


def photo_in(data: dict[str, Any], key: str = "image") -> str:
    """Address of the photo in a task's data: under its key, else the first text; empty where there is none."""
    texts = (value for value in (data.get(key), *data.values()) if isinstance(value, str))
    return next(filter(None, texts), "")


def _original(region: dict[str, Any]) -> tuple[int, int] | None:
    return _size(region.get("original_height"), region.get("original_width"))


def file_of(address: str) -> str:
    """The photo in an address: ``/data/local-files/?d=cat/1.jpg``, ``/data/upload/3/0123abcd-1.jpg``, a path."""
    parts = urlsplit(address)
    (name,) = parse_qs(parts.query).get("d", [unquote(parts.path)])[:1]
    return re.sub(r"(^|.*/)upload/\d+/[0-9a-f]{8}-", "", name)


def _shares(value: dict[str, Any]) -> Shape:
    """A rectangle, perhaps turned about its first corner, or a polygon, as shares of width and height."""
    drawn = "points" in value
    if drawn:
        points = [(number(x), number(y)) for x, y in value["points"]]
    else:
        x, y, width, height = (number(value[key]) for key in ("x", "y", "width", "height"))
        angle = math.radians(number(value.get("rotation") or 0))
        rows, columns = value["size"] or (1, 1)  # turned in pixels, not in percent
        corners = ((0.0, 0.0), (width, 0.0), (0.0, height), (width, height))
        points = [
            (
                x + a * math.cos(angle) - b * math.sin(angle) * rows / columns,
                y + a * math.sin(angle) * columns / rows + b * math.cos(angle),
            )
            for a, b in corners
        ]
    return _polygon([share / 100 for point in points for share in point], drawn)


def _polygon(values: list[float], drawn: bool = True) -> Shape:
    """Bounds of a polygon, and itself unless only they are known."""
    across, down = values[::2], values[1::2]
    return (min(across), min(down), max(across), max(down)), [values] if drawn else None


def _xml(path: Path) -> Iterator[Entry]:
    root = ET.parse(regular(path)).getroot()
    if root.tag == "annotation":
        return iter([_voc(root)])
    if root.tag == "annotations":
        return _cvat(root)
    raise ValueError(f"its root is {root.tag}, not annotation (VOC) or annotations (CVAT)")


def _cvat(root: ET.Element) -> Iterator[Entry]:
    """Tags with a shape that is not ``auto``: CVAT marks what somebody has changed ``semi-auto``."""
    for image in root.iterfind("image"):
        things: dict[str, list[Shape]] = {}
        touched = set()
        for element in image:
            if (shape := _cvat_shape(element)) is not None:
                tag = normalize_tag(element.attrib["label"])
                things.setdefault(tag, []).append(shape)
                if element.get("source") != "auto":
                    touched.add(tag)
        if things := {tag: shapes for tag, shapes in things.items() if tag in touched}:
            yield Entry(image.attrib["name"], things, _size(image.attrib["height"], image.attrib["width"]))


def _cvat_shape(element: ET.Element) -> Shape | None:
    given = element.attrib
    if element.tag == "box":
        x0, y0, x1, y1 = (number(given[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
        return (x0, y0, x1, y1), None
    if element.tag == "mask":
        left, top, width, height = (int(number(given[key])) for key in ("left", "top", "width", "height"))
        lengths = [int(number(length)) for length in given["rle"].split(",")]
        box = float(left), float(top), float(left + width), float(top + height)
        return box, Runs(left, top, width, height, lengths)
    if element.tag in ("polygon", "polyline"):
        pairs = [pair.split(",") for pair in given["points"].split(";")]
        return _polygon([number(value) for x, y in pairs for value in (x, y)], element.tag == "polygon")
    return None


def _voc_folder(folder: Path) -> Iterator[Entry]:
    for file in sorted(folder.rglob("*.xml")):
        yield from _xml(file)


def _voc(root: ET.Element) -> Entry:
    """VOC's pixels count from 1, and its boxes end on their last one."""
    things: dict[str, list[Shape]] = {}
    for thing in root.iterfind("object"):
        x0, y0, x1, y1 = (number(thing.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
        tag = normalize_tag(thing.findtext("name") or "")
        things.setdefault(tag, []).append(((x0 - 1, y0 - 1, x1, y1), None))
    size = _size(root.findtext("size/height"), root.findtext("size/width"))
    path, name = root.findtext("path") or "", root.findtext("filename") or ""
    whole = PurePosixPath(path).name == name
    folder = "" if whole else root.findtext("folder") or ""
    return Entry(path.replace("\\", "/") if whole else name, things, size, nothing=not things, folder=folder)


def _yolo(folder: Path) -> Iterator[Entry]:
    tags = _yolo_names(folder / "data.yaml")
    for file in sorted((folder / "labels").rglob("*.txt")):
        things: dict[str, list[Shape]] = {}
        with open_text(file) as stream:
            for line in filter(str.strip, stream):
                kind, *rest = line.split()
                things.setdefault(tags[int(kind)], []).append(_yolo_shape([number(word) for word in rest]))
        name = file.relative_to(folder / "labels").with_suffix("").as_posix()
        yield Entry(re.sub(r"^(train|val|test)/", "", name), things, nothing=not things, relative=True, stem=True)


def _yolo_names(file: Path) -> dict[int, str]:
    import yaml

    try:
        names = yaml.safe_load(read_text(file))["names"]
    except yaml.YAMLError as error:
        raise ValueError(f"data.yaml: {one_line(error)}") from error
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return {int(key): normalize_tag(f"{name}") for key, name in pairs if isinstance(name, (str, int, float))}


def _yolo_shape(values: list[float]) -> Shape:
    """Of center, width and height, or an outline."""
    if len(values) == 4:
        x, y, width, height = values
        return (x - width / 2, y - height / 2, x + width / 2, y + height / 2), None
    return _polygon(values)
