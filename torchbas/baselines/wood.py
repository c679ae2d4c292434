"""W-OoD (Lee et al. 2022): photos without any of the classes show the classifier what is only background.

The features of a photo, averaged over places, shall come close to the centres of its own classes and go away from the
centres of the out-of-distribution (OoD) photos nearest to it; and the OoD photos, made harder by one step towards what
they resemble most, shall be told to have no class. Centres are made once, by the classifier that training starts from.

Not taken over from the authors' code: leaving out OoD photos that look like class 4 (VOC's bottle), and choosing the
checkpoint by true masks.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..config import Training
from ..data import Batch, Draw, centre_view, evaluation_loader, normalise, read_untagged, training_loader
from ..data.loader import Photos
from ..errors import InputError
from ..model.bas import pool
from ..model.extractor import Extractor
from ..types import Collection
from .irn import IRN

THREADS = 8


def k_means(points: Float[Tensor, "N C"], count: int, iterations: int = 10) -> Float[Tensor, "k C"]:
    """Centres by Lloyd's algorithm, from the first ``count`` points; one that loses all its points stays."""
    centres = points[:count].clone()
    for _ in range(iterations):
        nearest = torch.cdist(points, centres).argmin(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        members = nearest.bincount(minlength=len(centres))[:, None]
        centres = torch.where(members > 0, sums / members.clamp(min=1), centres)
    return centres


def separation(
    features: Float[Tensor, "B C"],
    labels: Float[Tensor, "B K"],
    own: Float[Tensor, "K C"],
    foreign: Float[Tensor, "k C"],
    nearest: float = 0.2,
) -> Float[Tensor, ""]:
    """Distances to the centres of an image's own classes, minus those to OoD centres of the batch's nearest pairs.

    Args:
        nearest: share of all (image, OoD centre) pairs that count.

    Both sums are divided by the number of all (image, OoD centre) pairs.
    """
    close = (torch.cdist(features, own) * labels).sum()
    pairs = torch.cdist(features, foreign).flatten()
    away = pairs.topk(max(1, round(nearest * len(pairs))), largest=False).values.sum()
    return (close - away) / len(pairs)


class WOoD(IRN):
    """IRN's classifier with OoD photos beside each batch.

    Args:
        ood: a photo or a folder of photos without any of the classes; only needed in training.
        clusters: how many centres the OoD photos have.
        weights: of the distances, and of the OoD photos' own loss.
        stride: of the step that makes an OoD photo harder, in normalised pixels, for that with the largest gradient.
        nearest: see :func:`separation`.
    """

    continues = True

    def __init__(
        self,
        extractor: Extractor,
        num_classes: int,
        *rest: Any,
        ood: str | Path | None = None,
        clusters: int = 50,
        weights: tuple[float, float] = (0.007, 0.25),
        stride: float = 0.07,
        nearest: float = 0.2,
        **options: Any,
    ) -> None:
        super().__init__(extractor, num_classes, *rest, **options)
        self.folder, self.clusters, self.weights, self.stride, self.nearest = ood, clusters, weights, stride, nearest
        self.strangers: Photos | None = None
        self.own, self.foreign = (torch.zeros(count, extractor.tail_channels) for count in (num_classes, clusters))

    def equip(self, photos: Collection, training: Training, /) -> None:
        if self.folder is None:
            raise InputError("wood learns from photos that show none of the classes: give a folder of them as --ood.")
        strangers = read_untagged(self.folder)
        if len(strangers.photos) < self.clusters:
            raise InputError(
                f"{self.folder} has {len(strangers.photos)} photos, fewer than the {self.clusters} groups that W-OoD "
                "makes of them: add photos without any of the classes."
            )
        features, labels = self._summaries(photos, training)
        self.own = (labels.T @ features) / labels.sum(dim=0).clamp(min=1)[:, None]
        self.foreign = k_means(self._summaries(strangers, training)[0], self.clusters)
        views = training_loader(
            strangers, training.batch_size, training.seed, training.resize, training.crop, view=training.view
        )
        assert isinstance(views.dataset, Photos)
        self.strangers = views.dataset

    def forward(self, batch: Batch, _step: int) -> dict[str, Float[Tensor, ""]]:
        features, logits = self.both(self.prepare(batch))
        _, mistaken = self.both(self.harder(self.meet(len(features)).to(features.device)))
        apart = separation(features, batch.labels, self.own, self.foreign, self.nearest)
        return {
            "classify": F.multilabel_soft_margin_loss(logits, batch.labels),
            "separate": self.weights[0] * apart,
            "strangers": self.weights[1] * F.multilabel_soft_margin_loss(mistaken, torch.zeros_like(mistaken)),
        }

    def both(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B K"]]:
        """The mean of the features over places, and the class scores."""
        deep = self.deep_features(self.features(images))
        return pool(deep), pool(self.head(deep))

    def meet(self, count: int) -> Float[Tensor, "{count} 3 H W"]:
        """Views of OoD photos by chance, normalised."""
        assert self.strangers is not None, "equip comes first"
        chances = torch.randint(2**31, (count, 2)).tolist()
        draws = [Draw(epoch, index % len(self.strangers)) for epoch, index in chances]
        with ThreadPoolExecutor(THREADS) as threads:
            views = list(threads.map(self.strangers.__getitem__, draws))
        for view in views:
            if isinstance(view, InputError):
                raise view
        images = torch.stack([view.images for view in views if isinstance(view, Batch)])
        return normalise(images, *self.normalisation)

    def harder(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """The photos after one step that raises their highest class score."""
        with torch.enable_grad():
            images = images.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.logits(images).amax(dim=1).sum(), images)
        steepest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
        return images.detach() + self.stride * gradient / steepest

    @torch.no_grad()
    def _summaries(self, photos: Collection, training: Training) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N K"]]:
        """Mean features and tags of every photo, each seen once: the middle of it, squeezed to a square."""
        self.eval()
        device = next(self.parameters()).device
        view = partial(centre_view, resize=training.resize, crop=training.crop)
        found = []
        for batch in evaluation_loader(photos, view, training.batch_size, at_least=training.resize):
            images = normalise(batch.images.to(device), *self.normalisation)
            found.append((pool(self.deep_features(self.features(images))), batch.labels.to(device)))
        features, labels = (torch.cat(column) for column in zip(*found, strict=True))
        return features, labels
