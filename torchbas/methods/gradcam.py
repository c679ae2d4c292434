"""Grad-CAM (Selvaraju et al. 2017) and Layer-CAM (Jiang et al. 2021): features weighted by the class score's gradient.

Trained as CAM; only the heatmap differs, so a run of CAM can be read as either (``--weights RUN --steps 0``). The
papers use "the last convolutional layer"; with GAP over class maps that would be CAM with a ReLU, so the choice here is
the last features of the backbone (``f2``) or the input of BAS's generator (``f1``). Layer-CAM's fusion of layers and
its tanh scaling of shallow ones are omitted. wsolevaluation has neither method.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..bounds import Checked
from ..config import Inference
from ..model.amc import frozen
from ..model.classifier import Classifier, Encoded, pool
from .cam import CAM

Weighting = Callable[[Tensor, Tensor], Tensor]


def gradcam(features: Float[Tensor, "B C h w"], gradient: Float[Tensor, "B C h w"]) -> Float[Tensor, "B h w"]:
    """ReLU of the channels' sum, weighted by their mean gradients (Grad-CAM, eqs. 1 and 2)."""
    return (gradient.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu()


def layercam(features: Float[Tensor, "B C h w"], gradient: Float[Tensor, "B C h w"]) -> Float[Tensor, "B h w"]:
    """ReLU of the channels' sum, weighted per pixel by their positive gradients (Layer-CAM, eqs. 5 to 7)."""
    return (gradient.relu() * features).sum(dim=1).relu()


def gradient_heatmaps(
    classifier: Classifier, encoded: Encoded, target: Int[Tensor, " B"], layer: str, weigh: Weighting
) -> Float[Tensor, "B h w"]:
    """Heatmaps of ``target`` from the features of ``layer`` (f2 or f1) and the gradient of its score."""
    # Tensors created in inference mode cannot require a gradient; copies can.
    with torch.inference_mode(mode=False), torch.enable_grad():
        rest: list[nn.Module] = [classifier.head] if layer == "f2" else [classifier.f2, classifier.head]
        with torch.no_grad():
            features = encoded.features.clone()
            features = classifier.deep_features(features) if layer == "f2" else features
        features = features.detach().requires_grad_()
        logits = pool(frozen(*rest)(features))
        score = logits.gather(1, target.clone()[:, None]).sum()  # no image's score depends on another image
        (gradient,) = torch.autograd.grad(score, features)
        return weigh(features.detach().float(), gradient.float())


@dataclass(frozen=True)
class Options(Checked):
    """Options of gradcam and layercam."""

    layer: Literal["f2", "f1"] = "f2"
    """Features that are weighted."""


class GradCAM(CAM):
    """Class activation with channels weighted by mean gradients."""

    name = "gradcam"
    Options = Options
    weigh: Weighting = staticmethod(gradcam)

    def heatmaps(self, encoded: Encoded, target: Int[Tensor, " B"], inference: Inference) -> Float[Tensor, "B h w"]:
        return gradient_heatmaps(self, encoded, target, self.options.layer, self.weigh)


class LayerCAM(GradCAM):
    """Class activation with every pixel weighted by its own gradient."""

    name = "layercam"
    weigh: Weighting = staticmethod(layercam)
