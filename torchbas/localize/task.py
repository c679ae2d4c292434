"""What the engine trains for localisation: a BAS model and its objective in one module."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..config import Objective
from ..data import Batch, normalise
from ..engine.language import Judge
from ..losses import classification, objective
from ..model import BAS
from ..model.bas import pool


class Localization(nn.Module):
    """A batch in, weighted losses by name out (eqs. 8 and 10).

    Model and objective sit in one ``forward`` because DDP only synchronises gradients of what goes through it.

    Args:
        normalisation: mean and standard deviation per channel that the backbone was trained with.
        cached: batches hold features F, in half precision, instead of images.
        judge: adds CLIP's losses on the target class's map (BAS with CLIMS, Table 14).
    """

    def __init__(
        self,
        model: BAS,
        weights: Objective,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]],
        *,
        cached: bool = False,
        judge: Judge | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.weights = weights
        self.normalisation = normalisation
        self.cached = cached
        self.judge = judge

    def forward(self, batch: Batch, step: int) -> dict[str, Float[Tensor, ""]]:
        images = None if self.cached else normalise(batch.images, *self.normalisation)
        features = batch.images.float() if images is None else self.model.features(images)
        if step < self.weights.classifier_steps:
            return {"classify": classification(pool(self.model.class_maps(features)), batch.labels)}
        look_again = self.weights.suppression > 0
        evidence = self.model.evidence_from(features, batch.target, images, second_look=look_again)
        agnostic = self.model.architecture.agnostic
        terms = objective(evidence, batch.target, batch.labels, self.weights, step, agnostic=agnostic)
        if self.judge is not None:
            every = torch.arange(len(batch.target), device=batch.target.device)
            terms |= self.judge(batch.images, evidence.foreground[:, 0], every, batch.target)
        return terms
