"""CAM (Zhou et al. 2016): a classifier with GAP; the heatmap is the class map of the target.

The paper weights the last features by the weights of a linear classifier (eq. 2). With a 1x1 convolution before the
pooling, as here, that is the class map itself; the conv head only deepens the last features. wsolevaluation takes the
mean over channels instead of the sum and omits the bias: equal after min-max normalization.
"""

from jaxtyping import Float, Int
from torch import Tensor

from ..cam import class_activation
from ..config import Inference
from ..data import Batch
from ..losses import classification
from ..model.classifier import Encoded, pool
from .base import FeatureBatch, Method


class CAM(Method):
    """Classifier with GAP, and its class maps."""

    name = "cam"
    learns_from_images = False

    def losses(self, batch: Batch | FeatureBatch, step: int) -> dict[str, Float[Tensor, ""]]:
        logits = pool(self.class_maps(self.batch_features(batch)))
        return {"classify": classification(logits, batch.labels)}

    def heatmaps(self, encoded: Encoded, target: Int[Tensor, " B"], inference: Inference) -> Float[Tensor, "B h w"]:
        return class_activation(encoded.class_maps, target)
