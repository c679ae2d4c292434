"""BAS (Zhai et al. 2024): a generator's foreground map, trained to suppress the class activation of the background."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..cam import top_classes
from ..config import Architecture, Inference, Objective, Training
from ..data import Batch
from ..errors import InputError
from ..losses import classification, objective
from ..model.bas import BAS
from ..model.classifier import Encoded, pool
from ..model.preconditioner import FilterPreconditioner
from ..structures import Dataset
from .base import FeatureBatch, Method
from .clip_loss import CLIPLoss


class BASMethod(Method, BAS):
    """Network of Figure 2 with its objective (eqs. 8 and 10)."""

    name = "bas"
    Options = Objective
    new_layers = ("head", "generator")
    options: Objective
    preconditioner: FilterPreconditioner | None = None
    clip_loss: CLIPLoss | None = None

    @classmethod
    def needs_images(cls, architecture: Architecture, options: Any) -> bool:
        """True where the image itself is masked, or CLIP encodes it."""
        return architecture.mask_at == "image" or options.clip_model is not None

    def setup(self, dataset: Dataset, training: Training, /) -> None:
        if training.sharing or training.centered:
            self.preconditioner = FilterPreconditioner(self.generator.conv, training.sharing, training.centered)
        if self.options.clip_model and self.architecture.class_agnostic:
            raise InputError("CLIP compares the map of one class, but --class-agnostic has one of all: leave it out.")
        if self.options.clip_model:
            device = next(self.parameters()).device
            self.clip_loss = CLIPLoss.load(self.options.clip_model, dataset.classes, self.options.prompts, device)

    def losses(self, batch: Batch | FeatureBatch, step: int) -> dict[str, Float[Tensor, ""]]:
        images = self.batch_images(batch) if isinstance(batch, Batch) else None
        features = self.batch_features(batch) if images is None else self.features(images)
        if step < self.options.classifier_steps:
            return {"classify": classification(pool(self.class_maps(features)), batch.labels)}
        if self.preconditioner is not None:
            self.preconditioner.observe(features)
        evidence = self.evidence_from(features, batch.target, images, suppression=self.options.suppression > 0)
        class_agnostic = self.architecture.class_agnostic
        terms = objective(evidence, batch.target, batch.labels, self.options, step, class_agnostic=class_agnostic)
        if self.clip_loss is not None and isinstance(batch, Batch):
            every = torch.arange(len(batch.target), device=batch.target.device)
            terms |= self.clip_loss(batch.images, evidence.foreground[:, 0], every, batch.target)
        return terms

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
