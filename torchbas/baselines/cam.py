"""CAM (Zhou et al. 2016): train a classifier with GAP; the map is the class map of the target.

The paper weighs the last features by a linear classifier's weights. Where the classes are 1x1 convolutions before the
pooling, as here, that is the class map itself; a conv head only makes the last features deeper. wsolevaluation takes
the mean over channels instead of the sum and leaves the bias out: no difference after min-max.
"""

from jaxtyping import Float, Int
from torch import Tensor

from ..data import Batch
from ..losses import classification
from ..maps import class_activation
from ..model.bas import pool
from .classifier import Classifier, Looked


class CAM(Classifier):
    """A plain classifier and its class maps."""

    def forward(self, batch: Batch, _step: int) -> dict[str, Float[Tensor, ""]]:
        """Losses by name; their sum is minimised."""
        return {"classify": classification(self.logits(self.prepare(batch)), batch.labels)}

    def look(self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]) -> Looked:
        class_maps = self.class_maps(images)
        return Looked(pool(class_maps), class_activation(class_maps, target))
