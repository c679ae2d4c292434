"""W-OoD (Lee et al. 2022): IRN's classifier trained with out-of-distribution (OoD) images, which show only background.

The spatial mean of an image's features is pulled to the centers of its classes and pushed from the nearest OoD centers;
OoD images, changed by one adversarial step that raises their highest score, are trained to have no class. Centers are
computed once, by the classifier that training starts from.

Omitted from the authors' code: the exclusion of OoD images similar to class 4 (VOC's bottle), and the choice of the
checkpoint by ground-truth masks.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..bounds import NonNegative, Positive, Share
from ..config import Training
from ..data import Batch, Draw, center_view, evaluation_loader, read_untagged, standardize, training_loader
from ..data.loader import SampleViews
from ..errors import InputError
from ..model.classifier import pool
from ..model.extractor import Extractor
from ..structures import Dataset
from .irn import IRN
from .irn import Options as IRNOptions

THREADS = 8


def k_means(points: Float[Tensor, "N C"], count: int, iterations: int = 10) -> Float[Tensor, "k C"]:
    """Centers by Lloyd's algorithm, initially the first ``count`` points; one without points keeps its position."""
    centers = points[:count].clone()
    for _ in range(iterations):
        nearest = torch.cdist(points, centers).argmin(dim=1)
        sums = torch.zeros_like(centers).index_add_(0, nearest, points)
        members = nearest.bincount(minlength=len(centers))[:, None]
        centers = torch.where(members > 0, sums / members.clamp(min=1), centers)
    return centers


def separation(
    features: Float[Tensor, "B C"],
    labels: Float[Tensor, "B K"],
    own: Float[Tensor, "K C"],
    foreign: Float[Tensor, "k C"],
    nearest: float = 0.2,
) -> Float[Tensor, ""]:
    """Distances to the centers of an image's own classes, minus those of the batch's nearest (image, OoD center) pairs.

    Both sums are divided by the number of all (image, OoD center) pairs.

    Args:
        own: center of each class.
        foreign: OoD centers.
        nearest: share of all (image, OoD center) pairs that count.
    """
    close = (torch.cdist(features, own) * labels).sum()
    pairs = torch.cdist(features, foreign).flatten()
    away = pairs.topk(max(1, round(nearest * len(pairs))), largest=False).values.sum()
    return (close - away) / len(pairs)


@dataclass(frozen=True)
class Options(IRNOptions):
    """Options of w_ood."""

    ood: str | None = None
    """Photo or folder of photos without any of the classes; needed for training only."""
    clusters: Positive[int] = 50
    """Number of OoD centers."""
    loss_weights: tuple[float, float] = (0.007, 0.25)
    """Of the distances, and of the classification of OoD images."""
    step_size: NonNegative[float] = 0.07
    """Adversarial change of an OoD image at the pixel with the largest gradient, in standardized units."""
    nearest: Share = 0.2
    """Share of all (image, OoD center) pairs that count."""


class WOoD(IRN):
    """IRN's classifier with a batch of OoD images beside each batch."""

    name = "w_ood"
    Options = Options
    learns_from_images = True
    needs_classifier = True

    def __init__(self, extractor: Extractor, num_classes: int, *rest: Any) -> None:
        super().__init__(extractor, num_classes, *rest)
        counts = (num_classes, self.options.clusters)
        self.ood: SampleViews | None = None
        self.class_centers, self.ood_centers = (torch.zeros(count, extractor.f2_channels) for count in counts)

    def setup(self, dataset: Dataset, training: Training, /) -> None:
        if self.options.ood is None:
            raise InputError("w_ood learns from photos that show none of the classes: give a folder of them as --ood.")
        ood, clusters = read_untagged(self.options.ood), self.options.clusters
        if len(ood.samples) < clusters:
            raise InputError(
                f"{self.options.ood} has {len(ood.samples)} photos, fewer than the {clusters} groups that W-OoD "
                "makes of them: add photos without any of the classes."
            )
        features, labels = self._mean_features(dataset, training)
        self.class_centers = (labels.T @ features) / labels.sum(dim=0).clamp(min=1)[:, None]
        self.ood_centers = k_means(self._mean_features(ood, training)[0], clusters)
        views = training_loader(
            ood, training.batch_size, training.seed, training.resize, training.crop, view=training.view
        )
        assert isinstance(views.dataset, SampleViews)
        self.ood = views.dataset

    def losses(self, batch: Batch, step: int) -> dict[str, Float[Tensor, ""]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        features, logits = self.both(self.batch_images(batch))
        _, ood_logits = self.both(self.harder(self.draw_ood(len(features), features.device)))
        distances = separation(features, batch.labels, self.class_centers, self.ood_centers, self.options.nearest)
        for_distances, for_ood = self.options.loss_weights
        return {
            "classify": F.multilabel_soft_margin_loss(logits, batch.labels),
            "separate": for_distances * distances,
            "ood": for_ood * F.multilabel_soft_margin_loss(ood_logits, torch.zeros_like(ood_logits)),
        }

    def both(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B K"]]:
        """Spatial mean of the features, and class scores."""
        deep = self.deep_features(self.features(images))
        return pool(deep), pool(self.head(deep))

    def draw_ood(self, count: int, device: torch.device | str = "cpu") -> Float[Tensor, "{count} 3 H W"]:
        """Random training views of OoD images, standardized, on a device."""
        assert self.ood is not None, "setup comes first"
        chances = torch.randint(2**31, (count, 2)).tolist()
        draws = [Draw(epoch, index % len(self.ood)) for epoch, index in chances]
        with ThreadPoolExecutor(THREADS) as threads:
            views = list(threads.map(self.ood.__getitem__, draws))
        for view in views:
            if isinstance(view, InputError):
                raise view
        images = torch.stack([view.images for view in views if isinstance(view, Batch)])
        return standardize(images.to(device), *self.normalization)

    def harder(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Images after one gradient step that raises their highest class score."""
        with torch.enable_grad():
            images = images.detach().requires_grad_()
            logits = pool(self.class_maps(self.f1(images)))  # not features(), which stops gradients at a frozen F1
            (gradient,) = torch.autograd.grad(logits.amax(dim=1).sum(), images)
        steepest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
        return images.detach() + self.options.step_size * gradient / steepest

    @torch.no_grad()
    def _mean_features(self, dataset: Dataset, training: Training) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N K"]]:
        """Spatial mean of the features, and labels, of the center crop of every sample."""
        self.eval()
        device = next(self.parameters()).device
        view = partial(center_view, resize=training.resize, crop=training.crop)
        found = []
        for batch in evaluation_loader(dataset, view, training.batch_size, at_least=training.resize):
            images = standardize(batch.images.to(device), *self.normalization)
            found.append((pool(self.deep_features(self.features(images))), batch.labels.to(device)))
        features, labels = (torch.cat(column) for column in zip(*found, strict=True))
        return features, labels
