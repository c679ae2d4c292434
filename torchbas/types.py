"""The values that travel between rooms, and the letters that name their shapes.

B  images in a batch     K  classes            N  objects in one image
C  feature channels      h w  feature grid     H W  pixels

Boxes are ``(x0, y0, x1, y1)`` in pixels of the ORIGINAL image (EXIF applied), the end exclusive.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from .errors import InputError

Box = tuple[float, float, float, float]

LARGEST = 640
"""Pixels of the longer side that segmentation works at; larger photos are reduced to it (VOC and COCO have none)."""


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a photo while it is segmented or learned from: its own, or reduced to ``LARGEST``."""
    shrink = min(1, LARGEST / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


class Evidence(NamedTuple):
    """What one training pass reveals; :mod:`torchbas.losses` turns it into numbers."""

    logits: Float[Tensor, "B K"]
    """Class scores of the whole image (eq. 1)."""
    logits_foreground: Float[Tensor, "B K"]
    """Class scores read under the foreground map only (eq. 5)."""
    activation: Float[Tensor, " B"]
    """Score of the target class on the whole image, S before its ReLU."""
    activation_background: Float[Tensor, " B"]
    """Score of the target class with the foreground hidden, S_b before its ReLU (eq. 2)."""
    foreground: Float[Tensor, "B 1 h w"]
    """The predicted foreground map of the target class, M_f in [0, 1]."""
    logits_background: Float[Tensor, "B K"]
    """Scores of every class with the foreground hidden; ``activation_background`` is the target's."""


class Prediction(NamedTuple):
    """What one inference pass returns."""

    logits: Float[Tensor, "B K"]
    """Class scores; softmax makes probabilities of them."""
    maps: Float[Tensor, "B K h w"]
    """One foreground map per class, in [0, 1]."""


@dataclass(frozen=True)
class Photo:
    """One image and what is known of it. Nothing is opened to make one."""

    path: Path
    name: str
    """Unique in its collection: the path relative to the collection's root, with forward slashes."""
    labels: tuple[int, ...] = ()
    """Indices into :attr:`Collection.classes`, ascending; empty when the photo has no tag."""
    split: str = ""
    """``train``, ``val``, ``test``, or empty where the data set makes no difference."""
    boxes: tuple[Box, ...] = ()
    """True boxes, for evaluation only; training never looks at them."""
    mask: Path | None = None
    """A true mask as a palette or grey PNG, for evaluation only."""
    instances: tuple[Path, ...] = ()
    """True masks of single objects as grey PNGs, not zero on the object; their union is the foreground."""
    ignore: Path | None = None
    """A grey PNG, not zero where nobody is judged; foreground wins over it."""
    size: tuple[int, int] | None = None
    """Height and width of the original, where the data set lists them: photos then need not be there to score maps."""


@dataclass(frozen=True)
class Problem:
    """One thing about the input that the user should hear of; it lands in ``run.json``."""

    name: str
    """The file, as the user knows it."""
    reason: str
    """One sentence: what is wrong and the next move."""


@dataclass(frozen=True)
class Collection:
    """A set of photos and the class list that it owns."""

    root: Path
    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    problems: tuple[Problem, ...] = ()

    def only(self, *splits: str) -> "Collection":
        """The photos of these splits; all of them where the data set has no splits."""
        if not any(photo.split for photo in self.photos):
            return self
        return replace(self, photos=tuple(photo for photo in self.photos if photo.split in splits))

    def relabelled(self, classes: tuple[str, ...]) -> "Collection":
        """The same photos with their tags as numbers of another class list, matched by name.

        Raises:
            InputError: a tag in use that the other list lacks.
        """
        if classes == self.classes:
            return self
        number = {tag: index for index, tag in enumerate(classes)}
        used = {label for photo in self.photos for label in photo.labels}
        for tag in sorted(self.classes[label] for label in used):
            if tag not in number:
                raise InputError(unknown_tag(tag, classes))
        ours = {label: number[self.classes[label]] for label in used}
        photos = (replace(photo, labels=tuple(sorted(ours[label] for label in photo.labels))) for photo in self.photos)
        return replace(self, classes=classes, photos=tuple(photos))


def unknown_tag(tag: str, classes: tuple[str, ...]) -> str:
    """The sentence about a tag that a model does not know."""
    known = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    return f'the model does not know the tag "{tag}"; it knows {known}.'


@dataclass(frozen=True)
class Localization:
    """One object found: where it is, how sure we are, and what the classifier still sees without it."""

    image: Path
    """The photo's file."""
    name: str
    """The photo's name in its collection."""
    size: tuple[int, int]
    """Height and width of the original image, EXIF applied."""
    label: str
    """The tag that was looked for."""
    xyxy: Box
    """Box in original pixels."""
    rle: dict[str, Any]
    """The mask as a COCO run-length encoding (``size`` and ``counts`` as bytes); :attr:`mask` decodes it."""
    grid: Float[np.ndarray, "h w"]
    """The localisation map in [0, 1] on the feature grid, or finer after a second look; :attr:`heatmap` enlarges it."""
    confidence: float
    """Probability that the classifier gives the tag, in [0, 1]."""
    evidence_left: float
    """S_b / S in [0, 1]: the share of the class's activation that survives hiding the object. Near 0 is good."""
    threshold: float
    """The map value above which a pixel was called object."""
    truth: tuple[Box, ...] = ()
    """True boxes of the photo where the data set has them, to draw beside ours; never used to find anything."""

    @property
    def mask(self) -> Bool[np.ndarray, "H W"]:
        """The object's pixels."""
        from pycocotools import mask as coco

        return coco.decode(cast(Any, self.rle)).astype(bool)

    @property
    def heatmap(self) -> Float[np.ndarray, "H W"]:
        """The localisation map in original pixels, in [0, 1]."""
        import cv2

        height, width = self.size
        return cv2.resize(self.grid, (width, height), interpolation=cv2.INTER_LINEAR)
