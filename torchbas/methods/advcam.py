"""AdvCAM (Lee et al. 2021): Grad-CAM averaged over gradient ascent of the image on the class score.

Trained as IRN; only the maps differ, so a run of IRN can be read as AdvCAM (``--weights RUN --steps 0``). For every
(image, class) the pixels ascend y_c minus the sum of the other y, with a penalty on changes of the map where it is
already high, so that the remaining object gains. y is the mean of a class map's positive part. With GAP over class
maps, Grad-CAM of y_c is that positive part times the share of pixels where it is positive, over the number of pixels,
which needs no second backward pass.

Different here: all classes of an image ascend in one batch; an image ascends without its mirror image, which the caller
passes separately; maps are a mean over the iterations, in the unit of the class maps, so that all image sizes have
equal weight (the authors: 13 steps, counted twice, at half size).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..bounds import NonNegative, Positive, Share
from ..config import Inference
from ..model.amc import frozen
from ..model.classifier import Encoded
from .irn import IRN
from .irn import Options as IRNOptions


def grad_cam(class_maps: Float[Tensor, "P h w"]) -> Float[Tensor, "P h w"]:
    """Grad-CAM of the mean of the positive part, times the number of pixels h w."""
    positive = class_maps.relu()
    return positive * (positive > 0).float().mean(dim=(1, 2), keepdim=True)


@dataclass(frozen=True)
class Options(IRNOptions):
    """Options of advcam."""

    iterations: Positive[int] = 27
    """Number of averaged maps, that of the unchanged image included. The ascent does not converge, so fewer iterations
    are no early stop."""
    step_size: NonNegative[float] = 0.08
    """Change per step of the pixel with the largest gradient, in standardized units."""
    penalty: NonNegative[float] = 7.0
    """Weight of the change of the map where it is high."""
    high: Share = 0.5
    """Share of the map's maximum above which it is high."""
    at_once: Positive[int] = 16
    """(image, class) pairs per forward pass."""


class AdvCAM(IRN):
    """IRN's classifier, with maps averaged over gradient ascent of the image."""

    name = "advcam"
    Options = Options

    def seed_maps(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]:
        shape = self.class_maps(self.features(images)).shape
        # Tensors created in inference mode cannot require a gradient; copies can.
        with torch.inference_mode(mode=False), torch.enable_grad():
            maps = torch.zeros(shape, device=images.device)
            index, label = labels.nonzero(as_tuple=True)
            for chosen, classes in zip(
                index.split(self.options.at_once), label.split(self.options.at_once), strict=True
            ):
                maps[chosen, classes] = self.ascend(images[chosen].clone(), classes.clone())
        return maps

    def heatmaps(self, encoded: Encoded, target: Int[Tensor, " B"], inference: Inference) -> Float[Tensor, "B h w"]:
        labels = torch.nn.functional.one_hot(target, self.num_classes).float()
        place = torch.arange(len(target), device=target.device)
        return self.seed_maps(encoded.images, labels)[place, target]

    def ascend(self, images: Float[Tensor, "P 3 H W"], target: Int[Tensor, " P"]) -> Float[Tensor, "P h w"]:
        """Mean map of ``target`` over the iterations."""
        network = frozen(self.f1, self.f2, self.head)
        lowest, highest = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
        maps: list[Tensor] = []
        while True:
            images.requires_grad_()
            class_maps = network(images).float()
            now = grad_cam(class_maps[torch.arange(len(target), device=target.device), target])
            maps.append(now.detach())
            if len(maps) == self.options.iterations:
                return torch.stack(maps).mean(dim=0)
            (gradient,) = torch.autograd.grad(self.objective(class_maps, now, maps[0], target).sum(), images)
            steepest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
            images = (images.detach() + self.options.step_size * gradient / steepest).clamp(lowest, highest)

    def objective(
        self,
        class_maps: Float[Tensor, "P K h w"],
        maps: Float[Tensor, "P h w"],
        first: Float[Tensor, "P h w"],
        target: Int[Tensor, " P"],
    ) -> Float[Tensor, " P"]:
        """Objective of the ascent, per (image, class) pair."""
        scores = class_maps.relu().mean(dim=(2, 3))
        own = scores.gather(1, target[:, None])[:, 0]
        covered = maps > self.options.high * maps.amax(dim=(1, 2), keepdim=True)
        changed = ((maps - first).abs() * covered).mean(dim=(1, 2))
        return 2 * own - scores.sum(dim=1) - self.options.penalty * changed
