"""Grad-CAM (Selvaraju et al. 2017) and Layer-CAM (Jiang et al. 2021): what a trained classifier's gradient points at.

Both train as CAM and differ in the look alone, so a model of CAM can be loaded under their names. The papers speak of
"the last convolutional layer"; with GAP over class maps that would be CAM with a ReLU, so the choice here is the last
features of the backbone (``tail``) or those that BAS's generator reads (``features``). Layer-CAM's fusion of several
layers and its tanh scaling of shallow ones are left out. wsolevaluation has neither method.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..model.amc import frozen
from ..model.bas import pool
from .cam import CAM
from .classifier import Looked

Weighing = Callable[[Tensor, Tensor], Tensor]


def gradcam(features: Float[Tensor, "B C h w"], gradient: Float[Tensor, "B C h w"]) -> Float[Tensor, "B h w"]:
    """Every channel weighed by the mean of its gradient (Grad-CAM, eqs. 1 and 2)."""
    return (gradient.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu()


def layercam(features: Float[Tensor, "B C h w"], gradient: Float[Tensor, "B C h w"]) -> Float[Tensor, "B h w"]:
    """Every place of every channel weighed by its own gradient where that is positive (Layer-CAM, eqs. 5 to 7)."""
    return (gradient.relu() * features).sum(dim=1).relu()


class GradCAM(CAM):
    """Channels weighed by gradient.

    Args:
        layer: ``tail`` or ``features``.
    """

    weigh: Weighing = staticmethod(gradcam)

    def __init__(self, *network: Any, layer: Literal["tail", "features"] = "tail") -> None:
        super().__init__(*network)
        self.layer = layer

    def look(self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]) -> Looked:
        # Images that were made in inference mode cannot take part in a gradient; copies can.
        with torch.inference_mode(mode=False), torch.enable_grad():
            rest: list[nn.Module] = [self.head] if self.layer == "tail" else [self.tail, self.head]
            with torch.no_grad():
                features = self.features(images.clone())
                seen = self.deep_features(features) if self.layer == "tail" else features
            seen = seen.detach().requires_grad_()
            logits = pool(frozen(*rest)(seen))
            score = logits.gather(1, target.clone()[:, None]).sum()  # no image's score depends on another image
            (gradient,) = torch.autograd.grad(score, seen)
            return Looked(logits.detach(), self.weigh(seen.detach().float(), gradient.float()))


class LayerCAM(GradCAM):
    """Places weighed by gradient."""

    weigh: Weighing = staticmethod(layercam)
