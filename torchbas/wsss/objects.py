"""Single objects of a tag in what the pipeline has made: of label maps, or of IRN's instances."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from ..data import read_mask
from ..inference.boxes import components
from ..structures import Sample
from .cache import SampleFiles
from .irn.instances import read_objects


@dataclass(frozen=True)
class ObjectMasks:
    """Masks of a tag's objects in a sample: the 8-connected components of its label map, or IRN's instances.

    Args:
        classes: the n-th is numbered n in the label maps.
        instances: IRN's objects, which are used in place of the components.
    """

    classes: tuple[str, ...]
    labels: SampleFiles
    instances: SampleFiles | None = None

    def __call__(self, sample: Sample, tag: str) -> list[Bool[np.ndarray, "H W"]]:
        if self.instances is not None:
            return [mask for label, mask in read_objects(self.instances.path(sample)) if label == tag and mask.any()]
        labels = read_mask(self.labels.path(sample))
        return [one.mask for one in components(labels == self.classes.index(tag) + 1, "all")]
