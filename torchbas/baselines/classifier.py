"""The network that every baseline shares: BAS's own classifier (stem, tail, head, GAP), so only the method differs."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..config import Architecture, Training
from ..data import Batch, normalise
from ..model.bas import build_head, pool
from ..model.extractor import Extractor, build_extractor
from ..types import Collection

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


class Looked(NamedTuple):
    """What a method says of one class in each image."""

    logits: Float[Tensor, "B K"]
    """Class scores of the whole image."""
    maps: Float[Tensor, "B h w"]
    """Scores of the target class by place, at the method's own resolution and scale; the evaluation normalises."""


class Classifier(nn.Module, ABC):
    """``stem``, ``tail`` and ``head`` of :class:`torchbas.model.BAS`, with its names and random weights.

    A method says how it learns, ``forward(batch, step)``, and how it looks, :meth:`look`. All that is random comes
    from torch's global generator, which the engine seeds at every step.

    Args:
        normalisation: mean and standard deviation per channel that the backbone was trained with.
    """

    new: ClassVar[tuple[str, ...]] = ("head",)
    """Names of the layers that start from random weights."""
    continues: ClassVar[bool] = False
    """Whether it can only go on from a trained classifier."""

    def __init__(
        self, extractor: Extractor, num_classes: int, architecture: Architecture, normalisation: Normalisation
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.num_classes = num_classes
        self.normalisation = normalisation
        self.stem = extractor.stem
        self.tail = extractor.tail
        self.head = build_head(extractor.tail_channels, architecture, num_classes)
        self._stem_frozen = False

    @classmethod
    def from_architecture(
        cls,
        architecture: Architecture,
        num_classes: int,
        weights: bool | str | Path,
        normalisation: Normalisation,
        **options: Any,
    ) -> "Classifier":
        """Build the network; ``weights``: False random, True the pretrained ones by name, or a local file."""
        extractor = build_extractor(
            architecture.backbone, after=architecture.after, activation=architecture.activation, weights=weights
        )
        return cls(extractor, num_classes, architecture, normalisation, **options)

    def equip(self, photos: Collection, training: Training, /) -> None:
        """Fetch what only training needs, with the weights it starts from; called once, before the first step.

        Raises:
            InputError: what the method needs was not given, or cannot be used.
        """

    @abstractmethod
    def look(self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]) -> Looked:
        """Class scores, and where ``target`` is; ``images`` are normalised already."""

    def seed_maps(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]:
        """Where the classes are that ``labels`` (multi-hot) says are there: maps from 0 up, comparable across sizes of
        the image; those of other classes mean nothing."""
        return self.class_maps(images).float().relu() * (labels > 0)[..., None, None]

    def prepare(self, batch: Batch) -> Float[Tensor, "B 3 H W"]:
        """The training's view of a batch, normalised."""
        return normalise(batch.images, *self.normalisation)

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """F = F1(I), the features that BAS's generator reads."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._stem_frozen):
            return self.stem(images)

    def freeze_stem(self) -> None:
        """Keep F1 as it is: no gradient, and running statistics instead of the batch's."""
        self._stem_frozen = True
        self.stem.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Classifier":
        """Training mode for all but a frozen stem."""
        super().train(mode)
        if self._stem_frozen:
            self.stem.eval()
        return self

    def deep_features(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h2 w2"]:
        """What the head reads."""
        return self.tail(features)

    def class_maps(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K ch cw"]:
        """One map of evidence per class; its mean is the class's score."""
        return self.head(self.deep_features(self.features(images)))

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        """Class scores alone."""
        return pool(self.class_maps(images))
