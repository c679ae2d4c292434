"""Results as files that other programs read. A format is one function in :data:`FORMATS`."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from ..errors import InputError
from ..types import Localization
from . import coco, voc
from .files import refusal, replacing
from .lists import Sizes, check
from .manifest import read_manifest, write_manifest

__all__ = ["FORMATS", "Sizes", "Writer", "read_manifest", "replacing", "save", "write_manifest"]

Writer = Callable[[Sequence[Localization], Sequence[str], Sizes, Path], None]
"""What was found, the class list, every photo's height and width by name, the folder to write into."""


def _coco(found: Sequence[Localization], classes: Sequence[str], images: Sizes, folder: Path) -> None:
    coco.write_boxes(found, classes, images, folder / "boxes.coco.json")
    coco.write_masks(found, classes, images, folder / "masks.coco.json")


def _outlines(found: Sequence[Localization], classes: Sequence[str], images: Sizes, folder: Path) -> None:
    coco.write_masks(found, classes, images, folder / "outlines.coco.json", outlines=True)


def _voc(found: Sequence[Localization], classes: Sequence[str], images: Sizes, folder: Path) -> None:
    voc.write_masks(found, classes, images, folder / "masks")


FORMATS: dict[str, Writer] = {"coco": _coco, "coco-outlines": _outlines, "voc": _voc}


def save(
    found: Sequence[Localization],
    folder: Path,
    classes: Sequence[str],
    images: Sizes,
    formats: Sequence[str] = ("coco",),
    writers: Mapping[str, Writer] = FORMATS,
) -> None:
    """Write ``found`` into ``folder`` in each of ``formats``, names in ``writers``; nothing before all are known.

    ``classes`` is the collection's list, ``images`` the height and width of every photo that was looked at, by name.
    Raises :class:`InputError` for an unknown format, a tag or photo outside those lists, a disk that is full.
    """
    for name in formats:
        if name not in writers:
            close = get_close_matches(name.lower(), writers, n=1)
            advice = f'Did you mean "{close[0]}"?' if close else f"There are {', '.join(writers)}."
            raise InputError(f'"{name}" is no format. {advice}')
    check(found, classes, images)
    for name in formats:
        try:
            writers[name](found, classes, images, folder)
        except OSError as error:
            raise refusal(Path(error.filename or folder), error) from error
