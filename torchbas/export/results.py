"""What the output formats write: the detections, the class list and the photos they belong to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ..errors import InputError
from ..io import write_error
from ..localization import Localization, NotFound, TagReport
from ..structures import Problem
from . import FORMATS, VAL_SPLIT, check_formats

Sizes = Mapping[str, tuple[int, int]]
"""Height and width in pixels of every photo of a run, with detections or without, by name."""
OpenImage = Callable[[Path, int], Image.Image]
"""Opens a photo as upright RGB whose shorter side has at least so many pixels, if the original has.

Raises :class:`InputError` for a photo that cannot be opened.
"""


@dataclass(frozen=True)
class Results:
    """Everything that an output format may write.

    Raises:
        InputError: a detection has a class that is not in ``classes``, or a photo that is not in ``sizes``; two photos
            have one name.
    """

    detections: Sequence[Localization]
    classes: Sequence[str]
    """The data set's class list; the formats number it from 1, 0 is background."""
    sizes: Sizes
    open_image: OpenImage
    problems: Sequence[Problem] = ()
    """Files that were skipped."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What a reader should know of the run, such as the model: value by caption."""
    reports: Sequence[TagReport] = ()
    """Whether each tag's maps can be used; empty where the photos' tags are not known."""
    not_found: Sequence[NotFound] = ()
    """Tags of photos in which nothing of them was found, and photos without a known tag in which nothing was."""
    val_split: float = VAL_SPLIT
    """Share of the photos that are in the split val of formats that have splits, in [0, 1)."""

    def __post_init__(self) -> None:
        classes, photos = set(self.classes), {}
        for one in self.detections:
            if photos.setdefault(one.name, one.photo) is not one.photo:
                raise InputError(f"Two photos are called {one.name}: predict them in one call, or replace their names.")
            if one.label not in classes:
                raise InputError(f'{one.name}: its tag "{one.label}" is not in the class list. Add it there.')
            if one.name not in self.sizes:
                raise InputError(f"{one.name} has findings but is not in the list of photos. Add it there.")


def save(results: Results, folder: Path, formats: Sequence[str] = ("coco",)) -> None:
    """Write ``results`` into ``folder`` in each of ``formats``, names in :data:`~torchbas.export.FORMATS`.

    Raises:
        InputError: what :func:`~torchbas.export.check_formats` refuses, before anything is written; a full disk.
    """
    check_formats(formats, results.classes)
    for name in formats:
        try:
            FORMATS[name].write(results, folder)
        except OSError as error:
            raise write_error(Path(error.filename or folder), error) from error
