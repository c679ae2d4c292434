"""Samples, datasets and their problems, and the letters that name shapes.

B  images in a batch     K  classes            N  objects in one image
C  feature channels      h w  feature grid     H W  pixels

Boxes are ``(x0, y0, x1, y1)`` in pixels of the ORIGINAL image (EXIF applied), the end exclusive.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from PIL import Image

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the original image, end exclusive."""

IGNORE_INDEX = 255
"""Label of pixels that no loss and no metric counts."""

LARGEST = 640
"""Pixels of the longer side that segmentation works at; larger photos are reduced to it (VOC and COCO have none)."""


def working_size(size: tuple[int, int], largest: int = LARGEST) -> tuple[int, int]:
    """Height and width that segmentation works at: the photo's own, or reduced to ``largest`` on the longer side."""
    shrink = min(1, largest / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


@dataclass(frozen=True)
class Sample:
    """One image, its tags and its ground truth. Files are opened only when they are used."""

    path: Path
    """File of the image."""
    name: str
    """Unique in its dataset: the path relative to the dataset's root, with forward slashes."""
    labels: tuple[int, ...] = ()
    """Indices into :attr:`Dataset.classes`, ascending; empty when the photo has no tag."""
    split: str = ""
    """``train``, ``val``, ``test``, or empty where the data set has no splits."""
    boxes: tuple[Box, ...] = ()
    """Ground-truth boxes, for evaluation only; training never uses them."""
    mask: Path | None = None
    """Ground-truth mask as a palette or gray PNG, for evaluation only."""
    instances: tuple[Path, ...] = ()
    """Ground-truth masks of single objects as gray PNGs, nonzero on the object; their union is the foreground."""
    ignore: Path | None = None
    """Gray PNG, nonzero on pixels that evaluation leaves out; foreground wins over it."""
    size: tuple[int, int] | None = None
    """Height and width of the original, where the data set lists them; stored heatmaps then need no photos."""
    image: "Image.Image | None" = field(default=None, compare=False)
    """The photo itself as upright RGB, where it is in memory and no file; ``path`` is its name then."""
    content: bytes | None = field(default=None, compare=False, repr=False)
    """The photo's file, where that is in memory; ``path`` is its name then."""


@dataclass(frozen=True)
class Problem:
    """A fault of the input, for the user and ``run.json``."""

    name: str
    """Path of the file, as the user gave it."""
    reason: str
    """One sentence: what is wrong and the next move."""


@dataclass(frozen=True)
class Dataset:
    """Samples and their class list.

    Raises:
        InputError: a class without a name, or two of one name.
    """

    root: Path
    """Folder or list that was read."""
    classes: tuple[str, ...]
    """Names of the tags; a label is an index into them."""
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...] = ()
    """What was left out or does not fit."""

    def __post_init__(self) -> None:
        """Raise :class:`InputError` where a class has no name, or that of another one."""
        if len(set(self.classes)) < len(self.classes) or not all(self.classes):
            count = Counter(self.classes)
            name = next(name for name in self.classes if not name or count[name] > 1)
            what = f'two classes called "{name}"' if name else "a class without a name"
            raise InputError(f"{self.root} has {what}. Give each class a name of its own.")

    def only(self, *splits: str) -> "Dataset":
        """The photos of these splits; all of them where the data set has no splits."""
        if not any(sample.split for sample in self.samples):
            return self
        return replace(self, samples=tuple(sample for sample in self.samples if sample.split in splits))

    def relabeled(self, classes: tuple[str, ...]) -> "Dataset":
        """The same photos with their tags as numbers of another class list, matched by name.

        Raises:
            InputError: a tag in use that the other list lacks.
        """
        if classes == self.classes:
            return self
        number = {tag: index for index, tag in enumerate(classes)}
        used = {label for sample in self.samples for label in sample.labels}
        for tag in sorted(self.classes[label] for label in used):
            if tag not in number:
                raise InputError(unknown_tag(tag, classes))
        ours = {label: number[self.classes[label]] for label in used}
        samples = (
            replace(sample, labels=tuple(sorted(ours[label] for label in sample.labels))) for sample in self.samples
        )
        return replace(self, classes=classes, samples=tuple(samples))

    def with_background(self, *tags: str) -> "Dataset":
        """The same photos without these tags, which say that a photo shows none of the others.

        Raises:
            InputError: a tag that is not there, or none would be left.
        """
        for tag in tags:
            if tag not in self.classes:
                raise InputError(f'{self.root} has no tag "{tag}"; it has {_listed(self.classes)}.')
        kept = {label: tag for label, tag in enumerate(self.classes) if tag not in tags}
        if tags and not kept:
            raise InputError(f"{self.root} has no other tag than {_listed(tags)}: leave one that is to be found.")
        number = {label: index for index, label in enumerate(kept)}
        samples = (
            replace(sample, labels=tuple(number[label] for label in sample.labels if label in kept))
            for sample in self.samples
        )
        return replace(self, classes=tuple(kept.values()), samples=tuple(samples)) if tags else self


def unknown_tag(tag: str, classes: tuple[str, ...]) -> str:
    """The sentence about a tag that a model does not know."""
    return f'the model does not know the tag "{tag}"; it knows {_listed(classes)}.'


def _listed(tags: tuple[str, ...]) -> str:
    return ", ".join(tags[:20]) + (", ..." if len(tags) > 20 else "")
