"""BAS (Zhai et al. 2024): a generator's foreground map, trained to suppress the class activation of the background."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from ..cam import top_classes
from ..config import Architecture, Inference, Objective, Training
from ..data import Batch
from ..errors import InputError
from ..losses import area, bas_ratio, classification, objective
from ..model.bas import BAS
from ..model.classifier import Encoded, pool
from ..model.familiarity import Familiarity
from ..model.outputs import Evidence
from ..structures import Dataset
from .base import FeatureBatch, Method
from .clip_loss import CLIPLoss
from .probe import linear_probe

STEERING = 0.1
"""Change per step of the logarithm of the area's weight, times the mean distance of S_b / S from its target."""
STEERED = 1.4
"""Largest such logarithm: a factor of four."""


class BASMethod(Method, BAS):
    """Network of Figure 2 with its objective (eqs. 8 and 10)."""

    name = "bas"
    Options = Objective
    new_layers = ("head", "generator")
    bounded = True
    options: Objective
    clip_loss: CLIPLoss | None = None
    familiarity: Familiarity | None
    """Of photos with those that a probe is fit to."""
    untagged: bool | None = None
    """Training photos without a class are learned from; None where that is not known, and each batch is asked."""
    known: int = 0
    """Classes, the first ones, whose rows of the head stand when a probe is fit: those of the model it goes on from."""
    mean_feature: Tensor
    """(C) mean of F over the training photos, where it fills the masked foreground."""
    log_area_factor: Tensor
    """Logarithm of what beta is multiplied by, where S_b / S is steered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.options.fill == "mean":
            self.register_buffer("mean_feature", torch.zeros(self.generator.conv.in_channels))
        if self.options.bas_target is not None:
            self.register_buffer("log_area_factor", torch.zeros(()))
        self.familiarity = Familiarity(self.head.get_parameter("0.weight").shape[1]) if self.fits_first else None

    @classmethod
    def needs_images(cls, architecture: Architecture, options: Any) -> bool:
        """True where the image itself is masked, or CLIP encodes it."""
        return architecture.mask_at == "image" or options.clip_model is not None

    @classmethod
    def learns_background(cls, options: Any) -> bool:
        return options.background_class

    def setup(self, dataset: Dataset, training: Training, /) -> None:
        if training.sharing:
            self.generator.share_gradients(training.sharing)
        if self.options.clip_model and self.architecture.class_agnostic:
            raise InputError("CLIP compares the map of one class, but --class-agnostic has one of all: leave it out.")
        if self.options.clip_model:
            device = next(self.parameters()).device
            self.clip_loss = CLIPLoss.load(self.options.clip_model, dataset.classes, self.options.prompts, device)
        if self.fits_first and not (self.architecture.head == "linear" and self._f1_frozen):
            raise InputError(
                "--classifier probe keeps the network: add --head linear --f1 cached, or train it by --recipe small."
            )
        if self.options.bas_target is not None and self.options.area_form == "relative":
            raise InputError("--bas-target steers the plain area: leave out --area-form relative.")
        self.generator.slope = self.options.slope
        self.untagged = self.options.background_class and not all(sample.labels for sample in dataset.samples)

    @property
    def fits_first(self) -> bool:
        return self.options.classifier == "probe"

    @torch.no_grad()
    def fit_first(self, batches: Iterable[Batch | FeatureBatch], /) -> None:
        """The mean feature, the head as a linear probe on F2, which stands from now on, and what photos look like.

        In a model that goes on from another only the rows of new classes are fit, and what the other remembers of its
        photos stands in for them.
        """
        self.freeze_classifier()
        pooled, labels, index, means, grid = [], [], [], [], (1, 1)
        for batch in batches:
            features = self.batch_features(batch)
            pooled.append(pool(self.deep_features(features)))
            labels.append(batch.labels)
            index.append(batch.index)
            means.append(features.float().mean(dim=(2, 3)))
            grid = features.shape[2:]
        blank = None
        if self.options.fill == "mean":
            if not self.known:
                self.mean_feature.copy_(torch.cat(means).mean(dim=0))
            if self.options.background_class:
                example = self.mean_feature[None, :, None, None].expand(1, -1, *grid)
                blank = pool(self.deep_features(example))[0]
        inputs, targets, head = torch.cat(pooled), torch.cat(labels), self.head.get_parameter("0.weight")
        if self.familiarity is not None:
            earlier, likely = self._earlier(self.familiarity, inputs)
            first = _first_of_each(torch.cat(index), targets.any(dim=1))
            self.familiarity.fit(torch.cat([earlier, inputs[first]]))
            inputs, targets = torch.cat([earlier, inputs]), torch.cat([likely, targets])
        weights = linear_probe(
            inputs,
            targets,
            self.options.probe_decay / self.num_classes,
            background_class=self.options.background_class,
            blank=blank,
            known=head[: self.known, :, 0, 0],
        )
        head.copy_(weights[:, :, None, None])

    def _earlier(
        self, familiarity: Familiarity, pooled: Float[Tensor, "N C"]
    ) -> tuple[Float[Tensor, "M C"], Float[Tensor, "M K"]]:
        """Pooled features of the photos of the model that this one goes on from, and the class it finds in each.

        Their lengths are not kept: the mean length of ``pooled`` stands for each.
        """
        features = familiarity.references * pooled.norm(dim=1).mean()
        if not self.known:
            return features, features.new_zeros(len(features), self.num_classes)
        scores = features @ self.head.get_parameter("0.weight")[: self.known, :, 0, 0].T
        return features, one_hot(scores.argmax(dim=1), self.num_classes).float()

    def losses(self, batch: Batch | FeatureBatch, step: int) -> dict[str, Float[Tensor, ""]]:
        images = self.batch_images(batch) if isinstance(batch, Batch) else None
        features = self.batch_features(batch) if images is None else self.features(images)
        if step < self.options.classifier_steps:
            logits = pool(self.class_maps(features))
            return {"classify": classification(logits, batch.labels, background_class=self.options.background_class)}
        has_class = batch.target >= 0
        # Where the photos are known, no batch is asked: a GPU would have to be waited for.
        if not self.options.background_class or self.untagged is False or (not self.untagged and has_class.all()):
            return self.map_losses(batch, features, images, step)
        tagged, rest = has_class.nonzero()[:, 0], (~has_class).nonzero()[:, 0]
        # Several processes average their terms one by one, so none is ever left out: it counts 0 instead.
        rows = tagged if len(tagged) else rest[:1]
        known = type(batch)(*(field[rows] for field in batch))._replace(target=batch.target[rows].clamp(min=0))
        background = self.background_area(rest, features)
        terms = self.map_losses(known, features[rows], None if images is None else images[rows], step)
        if not len(tagged):
            terms = {name: 0 * term for name, term in terms.items()}
        return {"background": background} | terms

    def fill(self) -> Float[Tensor, " C"] | None:
        one_map_on_features = self.architecture.mask_at == "features" and not self.architecture.class_agnostic
        return self.mean_feature if self.options.fill == "mean" and one_map_on_features else None

    def map_losses(
        self,
        batch: Batch | FeatureBatch,
        features: Float[Tensor, "B C h w"],
        images: Float[Tensor, "B 3 H W"] | None,
        step: int,
    ) -> dict[str, Float[Tensor, ""]]:
        """All terms, of images that have a class."""
        evidence = self.evidence_from(features, batch.target, images, suppression=self.options.suppression > 0)
        class_agnostic = self.architecture.class_agnostic
        terms = objective(evidence, batch.target, batch.labels, self.options, step, class_agnostic=class_agnostic)
        if self.options.bas_target is not None and "area" in terms:
            terms["area"] = terms["area"] * self.log_area_factor.exp()
            self.steer(evidence, self.options.bas_target)
        if self.clip_loss is not None and isinstance(batch, Batch):
            every = torch.arange(len(batch.target), device=batch.target.device)
            terms |= self.clip_loss(batch.images, evidence.foreground[:, 0], every, batch.target)
        return terms

    @torch.no_grad()
    def steer(self, evidence: Evidence, target: float) -> None:
        """Dual ascent on the area's weight: up where S_b / S is below ``target`` in the mean, down where above."""
        ratio = bas_ratio(evidence.activation_background, evidence.activation, self.options.ratio_cap)
        counted = torch.stack([(target - ratio).sum(), ratio.new_full((), len(ratio))])
        if dist.is_initialized():  # a step is that of all processes together
            dist.all_reduce(counted)
        self.log_area_factor += STEERING * counted[0] / counted[1]
        self.log_area_factor.clamp_(-STEERED, STEERED)

    def background_area(self, rows: Int[Tensor, " N"], features: Float[Tensor, "B C h w"]) -> Float[Tensor, ""]:
        """beta L_ac of one random class's map on each image without a class, by their share of the batch."""
        if not len(rows):
            return features.new_zeros((), dtype=torch.float32)
        classes = torch.randint(self.known, self.num_classes, (len(rows), 1), device=rows.device)
        share = len(rows) / len(features)
        return self.options.area * share * area(self.generator.of(features[rows], classes))

    def heatmaps(self, encoded: Encoded, target: Int[Tensor, " B"], inference: Inference) -> Float[Tensor, "B h w"]:
        """Mean map of the top-k classes (Fig. 3); only their filters are computed."""
        if inference.top_k == 0:
            return self.generator(encoded.features).mean(dim=1)
        classes = target[:, None]
        if inference.top_k != 1:
            classes = top_classes(encoded.logits, target, inference.top_k, inference.force_target)
        return self.generator.of(encoded.features, classes).mean(dim=1)

    def seed_maps(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]:
        """Foreground map of every class, present or not (Sec. 5.1)."""
        return self.generator(self.features(images))

    def certainty(self, encoded: Encoded) -> Float[Tensor, " B"] | None:
        """Familiarity times the probability of all classes together."""
        if self.familiarity is None:
            return None
        return self.familiarity(pool(encoded.deep_features)) * self.probabilities(encoded.logits).sum(dim=1)


def _first_of_each(index: Int[Tensor, " N"], wanted: Bool[Tensor, " N"]) -> Int[Tensor, " M"]:
    """Positions of the first view of each wanted photo, by the photos' own order."""
    order = index.argsort(stable=True)
    changes = torch.ones_like(order, dtype=torch.bool)
    changes[1:] = index[order][1:] != index[order][:-1]
    return order[changes & wanted[order]]
