"""AdvCAM (Lee et al. 2021): climb. Change the photo until the classifier sees the class better, and add up the maps.

Trains as IRN and differs in the look alone, so a model of ``cam`` or ``irn`` can be loaded under its name. Every
(photo, class) climbs for itself: its pixels follow the gradient of y_c - sum of the others' y, while a penalty holds
the map back where it is high already, so that the rest of the object has to catch up. y is the mean of a class map's
positive part. With GAP over class maps, Grad-CAM of y_c is that positive part times the share of places where it is
positive, over the number of places: no second backward pass is needed to know it.

Different here: all classes of an image climb at once; a photo climbs without its mirror image, which the caller gives
us apart; the maps are a mean over the climb, and in the unit of the class maps, so that all sizes of an image count
alike (the authors: 13 steps, counted twice, at half size).
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..model.amc import frozen
from ..model.bas import pool
from .classifier import Looked
from .irn import IRN


def grad_cam(class_maps: Float[Tensor, "P h w"]) -> Float[Tensor, "P h w"]:
    """Grad-CAM of the mean of the positive part, times the number of places."""
    positive = class_maps.relu()
    return positive * (positive > 0).float().mean(dim=(1, 2), keepdim=True)


class AdvCAM(IRN):
    """Maps of a climb.

    Args:
        iterations: how many maps are averaged, the photo's own first. A climb does not come to rest, so there is no
            telling an early end from fewer iterations.
        stride: of one step, in units of normalised pixels, for the pixel with the largest gradient.
        penalty: weight of the change of the map where it is high.
        high: share of the map's maximum, in [0, 1], from which it counts as high.
        at_once: (photo, class) pairs in one pass.
    """

    def __init__(
        self,
        *network: Any,
        iterations: int = 27,
        stride: float = 0.08,
        penalty: float = 7.0,
        high: float = 0.5,
        at_once: int = 16,
        **options: Any,
    ) -> None:
        super().__init__(*network, **options)
        self.iterations, self.stride, self.penalty, self.high = iterations, stride, penalty, high
        self.at_once = at_once

    def seed_maps(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]:
        shape = self.class_maps(images).shape
        # Images that were made in inference mode cannot take part in a gradient; copies can.
        with torch.inference_mode(mode=False), torch.enable_grad():
            maps = torch.zeros(shape, device=images.device)
            photo, label = labels.nonzero(as_tuple=True)
            for photos, classes in zip(photo.split(self.at_once), label.split(self.at_once), strict=True):
                maps[photos, classes] = self.climb(images[photos].clone(), classes.clone())
        return maps

    def look(self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]) -> Looked:
        labels = torch.nn.functional.one_hot(target, self.num_classes).float()
        place = torch.arange(len(target), device=target.device)
        return Looked(pool(self.class_maps(images)).detach(), self.seed_maps(images, labels)[place, target])

    def climb(self, images: Float[Tensor, "P 3 H W"], target: Int[Tensor, " P"]) -> Float[Tensor, "P h w"]:
        """The mean of the maps of ``target`` along the way up."""
        network = frozen(self.stem, self.tail, self.head)
        lowest, highest = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
        maps: list[Tensor] = []
        while True:
            images.requires_grad_()
            class_maps = network(images).float()
            now = grad_cam(class_maps[torch.arange(len(target), device=target.device), target])
            maps.append(now.detach())
            if len(maps) == self.iterations:
                return torch.stack(maps).mean(dim=0)
            (gradient,) = torch.autograd.grad(self.height(class_maps, now, maps[0], target).sum(), images)
            steepest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
            images = (images.detach() + self.stride * gradient / steepest).clamp(lowest, highest)

    def height(
        self,
        class_maps: Float[Tensor, "P K h w"],
        maps: Float[Tensor, "P h w"],
        first: Float[Tensor, "P h w"],
        target: Int[Tensor, " P"],
    ) -> Float[Tensor, " P"]:
        """What each climb increases."""
        scores = class_maps.relu().mean(dim=(2, 3))
        own = scores.gather(1, target[:, None])[:, 0]
        covered = maps > self.high * maps.amax(dim=(1, 2), keepdim=True)
        changed = ((maps - first).abs() * covered).mean(dim=(1, 2))
        return 2 * own - scores.sum(dim=1) - self.penalty * changed
