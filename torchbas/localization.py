"""What inference finds: one object with its box, mask and heatmap, as it goes to files, drawings and the user; and
what all objects of a tag say of its maps."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Float

from .structures import Box

if TYPE_CHECKING:
    from PIL import Image

CORRECTED = "corrected"
"""``method`` of a box that was drawn or confirmed by hand."""
TOUCHED = 0.8
"""Factor of the score for each edge of the photo that a box touches, up to a pixel."""
LIKE = (0.3, 0.6)
"""Powers in the score of how like its tag's others an object is in share and in fill."""


class Shape(NamedTuple):
    """Size of an object, and how much of its box it fills."""

    share: float
    """Area of the box as a share of the photo's, in (0, 1]."""
    fill: float
    """Area of the mask as a share of the box's, in (0, 1]."""


@dataclass(frozen=True)
class Localization:
    """One localized object: box, mask, heatmap, and the classifier's scores with and without it."""

    image: Path
    """The photo's file."""
    name: str
    """Name of the sample."""
    size: tuple[int, int]
    """Height and width of the original image, EXIF applied."""
    label: str
    """Tag of the object."""
    xyxy: Box
    """Box in original pixels."""
    rle: dict[str, Any]
    """The mask as a COCO run-length encoding (``size`` and ``counts`` as bytes); :attr:`mask` decodes it."""
    grid: Float[np.ndarray, "h w"]
    """The localization map in [0, 1] on the feature grid, or finer with ``zoom``; :attr:`heatmap` upsamples it."""
    confidence: float
    """Probability that the classifier gives the tag, in [0, 1]."""
    bas_ratio: float
    """S_b / S in [0, 1]: the share of the class's activation left with the foreground masked. Near 0 is good."""
    threshold: float
    """Value of the heatmap above which a pixel is foreground."""
    certainty: float = 1.0
    """Whether the photo shows any of the tags at all, in [0, 1]. Where the model's classifier is a probe: how familiar
    the photo is, see :mod:`torchbas.model.familiarity`, times the probability of all tags together. Else confidence
    times the share of the class's activation that lies in the foreground, 1 - S_b / S."""
    method: str = "bas"
    """Method whose heatmap it is: the model's, layercam where the model's maps of the tag are empty or full; corrected
    where the box was made by hand. Where SAM 2 drew the mask, +sam2 behind it: it has learned from masks."""
    typical: Shape | None = None
    """Medians of share and of fill over the tag's objects in the training photos, where ``bas label`` found any."""
    ground_truth: tuple[Box, ...] = ()
    """Ground-truth boxes of the sample, to draw beside the predicted one."""
    recorded: float | None = None
    """The score that a file of results has, where this was read from one; :attr:`grid` is the mask's then."""
    photo: "Image.Image | None" = field(default=None, compare=False, repr=False)
    """The photo as upright RGB where it was given as an image; ``image`` is its name then."""

    @property
    def stability(self) -> float:
        """IoU of the masks at .6 and 1.4 times the threshold, in [0, 1]: 1 where the extent is in no doubt."""
        low, high = (int((self.grid > times * self.threshold).sum()) for times in (0.6, 1.4))
        return high / low if low else 0.0

    @property
    def score(self) -> float:
        """How good the box is likely to be, estimated without ground truth, in [0, 1]: :attr:`stability`, times .8 for
        each edge of the photo that the box touches, times how like the tag's others it is: the smaller by the larger of
        its share and the typical one, to the power of .3, and of its fill, to that of .6 (docs/start.md). That of a
        box that was corrected by hand is 1."""
        if self.method == CORRECTED:
            return 1.0
        if self.recorded is not None:
            return self.recorded
        height, width = self.size
        x0, y0, x1, y1 = self.xyxy
        touched = (x0 <= 1) + (y0 <= 1) + (x1 >= width - 1) + (y1 >= height - 1)
        score = self.stability * TOUCHED**touched
        if self.typical is not None:
            for own, typical, power in zip(self.shape, self.typical, LIKE, strict=True):
                score *= (min(own, typical) / max(own, typical)) ** power
        return score

    @property
    def shape(self) -> Shape:
        """Share of the photo that the box covers, and of the box that the mask covers."""
        height, width = self.size
        x0, y0, x1, y1 = self.xyxy
        box = (x1 - x0) * (y1 - y0)
        return Shape(box / (height * width), self.area / box)

    @property
    def area(self) -> float:
        """Pixels of the mask, counted in :attr:`rle`."""
        from pycocotools import mask as coco

        return float(coco.area(cast(Any, self.rle)))

    @property
    def mask(self) -> Bool[np.ndarray, "H W"]:
        """Pixels of the object, in original pixels; decodes :attr:`rle`."""
        from pycocotools import mask as coco

        return coco.decode(cast(Any, self.rle)).astype(bool)

    @property
    def heatmap(self) -> Float[np.ndarray, "H W"]:
        """The localization map in original pixels, in [0, 1]."""
        import cv2

        height, width = self.size
        return cv2.resize(self.grid, (width, height), interpolation=cv2.INTER_LINEAR)

    def to_supervision(self) -> Any:
        """The object as ``supervision.Detections`` of length 1, for its annotators, metrics and trackers.

        ``confidence`` is :attr:`score`; ``data`` has ``class_name``, the tag. There is no ``class_id``, for the class
        list is not the object's. ``Detections.merge`` joins several.

        Raises:
            ImportError: the package supervision is not installed; the extra of the same name has it.
        """
        import supervision

        return supervision.Detections(
            xyxy=np.array([self.xyxy], np.float32),
            mask=self.mask[None],
            confidence=np.array([self.score], np.float32),
            data={"class_name": np.array([self.label])},
        )


class NotFound(NamedTuple):
    """A tag of a photo in which nothing of it was found."""

    image: Path
    """The photo's file."""
    name: str
    """Name of the sample."""
    size: tuple[int, int]
    """Height and width of the original image, EXIF applied."""
    label: str
    """The tag; empty where none of the photo's tags is known and nothing of any was found."""
    reviewed: bool = False
    """Whether somebody has said that nothing of it is there."""


@dataclass(frozen=True)
class TagReport:
    """Whether the maps of a tag can be used, from its photos and what was found in them."""

    tag: str
    """Name of the tag."""
    photos: int
    """Photos that have it."""
    found: int
    """How many of these have at least one object of it."""
    area: float
    """Median over all of its photos of the share that its objects cover, in [0, 1]; 0 where nothing was found. With
    ``objects="largest"`` that of the largest component."""
    evidence_left: float
    """Median over all of its photos of S_b / S, in [0, 1]; 1 where nothing was found."""
    known: float
    """Share of its photos for which the classifier gives the tag a confidence of at least .5, or of .5 / n where the
    photo has n tags, which compete in a softmax. Photos where nothing was found count as not known."""
    nothing_found: tuple[str, ...] = ()
    """Names of its photos in which nothing was found."""
    method: str = "bas"
    """Method whose maps its boxes are from; layercam where the maps of BAS, which this report is on, were empty or
    full, corrected where these have learned from corrected boxes."""

    @property
    def state(self) -> Literal["alive", "empty", "full", "unknown"]:
        """Whether the maps can be used: only those of a tag that is ``alive``. The first that holds:

        - ``empty``: something was found in fewer than half of its photos, or the area is below .05 and the evidence
          left above .8: a speck that the classifier does not need (but for maps that have learned from boxes);
        - ``full``: the area is above .95;
        - ``unknown``: the classifier knows the tag in fewer than half of its photos, so its maps mean nothing;
        - ``alive``: none of these.

        A rule of thumb: on the folders of photos that it was made on it flags every tag whose maps had collapsed, and
        no other.
        """
        speck = self.evidence_left > 0.8 and self.area < 0.05 and self.method != CORRECTED
        if 2 * self.found < self.photos or speck:
            return "empty"
        if self.area > 0.95:
            return "full"
        return "unknown" if self.known < 0.5 else "alive"

    @property
    def sentence(self) -> str:
        """What is wrong and the next move; empty where the tag is alive."""
        state, tag = self.state, f'tag "{self.tag}"'
        if state == "alive":
            return ""
        if state == "full":
            return (
                f"{tag}: its maps are the whole photo (median area {_two_digits(self.area)}). Train with photos without"
                " any of the tags in a folder _background, or with --area a third higher."
            )
        if state == "unknown":
            known = round(self.known * self.photos)
            return (
                f"{tag}: the classifier knows it in {known} of its {_photos(self.photos)}. Train with more of them, or"
                " with a lower --probe-decay or another recipe, or check its tags for mistakes."
            )
        if 2 * self.found < self.photos:
            what = f"nothing was found in {self.photos - self.found} of its {_photos(self.photos)}"
        else:
            what = (
                f"its maps are nearly empty (median area {_two_digits(self.area)}) and hide nothing that the classifier"
                f" needs (evidence left {_two_digits(self.evidence_left)})"
            )
        return (
            f"{tag}: {what}. Train with more photos of it, or with --area a third lower; where its objects are small,"
            " with larger photos (--crop 448 --resize 512)."
        )


def _two_digits(share: float) -> str:
    """``.07``: a share as the docs write it."""
    return f"{share:.2f}".removeprefix("0")


def _photos(number: int) -> str:
    return f"{number:,} photo{'s' if number != 1 else ''}"
