"""What inference finds: one object with its box, mask and heatmap, as it goes to files, drawings and the user."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float

from .structures import Box


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
    method: str = "bas"
    """Method whose heatmap it is: the model's, or layercam where the model's maps of the tag are empty or full."""
    ground_truth: tuple[Box, ...] = ()
    """Ground-truth boxes of the sample, to draw beside the predicted one."""

    @property
    def score(self) -> float:
        """Estimate, without ground truth, of how sure the box is, in [0, 1]: confidence times the share of the class's
        activation that is in the foreground, 1 - S_b / S."""
        return self.confidence * (1 - self.bas_ratio)

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
