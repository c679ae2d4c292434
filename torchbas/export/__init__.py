"""Output formats: one file in this folder and one entry of :data:`FORMATS` each. Imports nothing heavy."""

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..structures import IGNORE_INDEX

if TYPE_CHECKING:
    from .results import Results

VAL_SPLIT = 0.1
"""Share of the photos in the split val of formats that have splits, unless another is asked for."""

Writer = Callable[["Results", Path], None]
"""Writes results into a folder, which it makes where needed."""


@dataclass(frozen=True)
class Format:
    """One way to write :class:`~torchbas.export.results.Results`."""

    write: Writer
    about: str
    """What it writes, one line for the command line's help."""
    outputs: tuple[str, ...]
    """Names or patterns of all that it writes into the folder; ``--overwrite`` removes them."""
    most_classes: int | None = None
    """How many classes it can hold, where that is limited."""
    photos: bool = False
    """Whether it needs the photos themselves, to copy or to draw them."""


def _writer(module: str, function: str = "write") -> Writer:
    """A function of a module of this folder, imported when it is first called."""

    def write(results: "Results", folder: Path) -> None:
        getattr(import_module(f".{module}", __name__), function)(results, folder)

    return write


FORMATS: dict[str, Format] = {
    "coco": Format(
        _writer("coco"), "boxes and exact masks as COCO annotations", ("boxes.coco.json", "masks.coco.json")
    ),
    "coco-outlines": Format(
        _writer("coco", "write_outlines"), "masks as COCO polygons, to edit by hand", ("outlines.coco.json",)
    ),
    "voc": Format(_writer("voc"), "masks as palette PNGs, as Pascal VOC has them", ("masks",), IGNORE_INDEX - 1),
    "voc-xml": Format(_writer("voc_xml"), "boxes as Pascal VOC has them, one XML file a photo", ("Annotations",)),
    "cvat": Format(
        _writer("cvat"), "boxes and masks for CVAT (CVAT for images 1.1)", ("boxes.cvat.xml", "masks.cvat.xml")
    ),
    "label-studio": Format(
        _writer("label_studio"),
        "tasks with predictions for Label Studio, and the configuration that fits them",
        ("boxes.label-studio.json", "outlines.label-studio.json", "label-studio.xml"),
    ),
    "yolo": Format(
        _writer("yolo", "write_detect"), "photos and boxes to train Ultralytics' YOLO", ("yolo",), photos=True
    ),
    "yolo-segment": Format(
        _writer("yolo", "write_segment"), "the same with outlines of the masks", ("yolo-segment",), photos=True
    ),
    "huggingface": Format(
        _writer("huggingface"), "photos and boxes for Hugging Face's load_dataset", ("huggingface",), photos=True
    ),
    "gallery": Format(
        _writer("gallery"),
        "all photos with what was found, as a page to look through",
        ("index.html", "gallery"),
        photos=True,
    ),
}


def check_formats(names: Iterable[str], classes: Sized) -> None:
    """Refuse formats that cannot be written, before anything is computed for them.

    Raises:
        InputError: a name that is not in :data:`FORMATS`; more ``classes`` than one of the formats can hold.
    """
    for name in names:
        if name not in FORMATS:
            close = get_close_matches(name.lower(), FORMATS, n=1)
            advice = f'Did you mean "{close[0]}"?' if close else f"There are {', '.join(FORMATS)}."
            raise InputError(f'"{name}" is no format. {advice}')
        most = FORMATS[name].most_classes
        if most is not None and len(classes) > most:
            others = " ".join(other for other, one in FORMATS.items() if one.most_classes is None)
            limit = f'the format "{name}" holds {most} classes, but there are {len(classes)}'
            raise InputError(f"{limit}. Choose among the others: --format {others}")


def outputs() -> tuple[str, ...]:
    """Names or patterns of all that any of the formats writes into a folder."""
    return tuple(dict.fromkeys(pattern for one in FORMATS.values() for pattern in one.outputs))
