"""Score-CAM (Wang et al. 2020): activation maps weighted by the class score of the image masked with each of them.

Every channel, upsampled to the image and min-max normalized, multiplies the standardized image; the softmax score of
the target on that image weights the channel, and the heatmap is the ReLU of the weighted sum (Sec. 3). No gradient, but
one forward pass per channel. Trained as CAM; only the heatmap differs, so a run of CAM can be read as Score-CAM
(``--weights RUN --steps 0``).

As in the authors' code, weights are softmax scores over the classes (Sec. 3.2), without the score of a black image and
without a second softmax over the channels (Algorithm 1), and constant channels are omitted. Different here: channels
are summed on their own grid and upsampled afterwards, which is equal for channels of 0 or more.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..bounds import Checked, Positive
from ..cam import class_activation, normalize, upsample
from ..config import Inference
from ..model.classifier import Encoded
from .cam import CAM


@dataclass(frozen=True)
class Options(Checked):
    """Options of score_cam."""

    layer: Literal["f2", "f1"] = "f2"
    """Features whose channels mask the image."""
    at_once: Positive[int] = 64
    """Masked images per forward pass."""


class ScoreCAM(CAM):
    """Class activation with channels weighted by softmax scores of masked images."""

    name = "score_cam"
    Options = Options

    def heatmaps(self, encoded: Encoded, target: Int[Tensor, " B"], inference: Inference) -> Float[Tensor, "B h w"]:
        return class_activation(self.weighted_maps(encoded), target)

    def seed_maps(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]:
        return self.weighted_maps(self.encode(images)) * (labels > 0)[..., None, None]

    @torch.no_grad()
    def weighted_maps(self, encoded: Encoded) -> Float[Tensor, "B K h w"]:
        """Heatmap of every class; C forward passes per image."""
        features = encoded.features
        maps = (self.deep_features(features) if self.options.layer == "f2" else features).float()
        scores = torch.stack([self.masked_scores(*pair) for pair in zip(encoded.images, maps, strict=True)])
        return torch.einsum("bck,bchw->bkhw", scores, maps).relu()

    def masked_scores(self, image: Float[Tensor, "3 H W"], maps: Float[Tensor, "C h w"]) -> Float[Tensor, "C K"]:
        """Softmax scores of the image masked with each of C maps; 0 for constant maps."""
        size = image.shape[1], image.shape[2]
        masked = (image * normalize(upsample(chunk, size))[:, None] for chunk in maps.split(self.options.at_once))
        scores = torch.cat([self.logits(images).softmax(dim=1) for images in masked])
        return scores * (maps.amax(dim=(1, 2)) > maps.amin(dim=(1, 2)))[:, None]
