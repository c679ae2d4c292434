"""Method: contract of BAS and of every weakly supervised method it is compared or combined with."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Float16, Int, Int64
from torch import Tensor

from ..bounds import built
from ..cards import value_of
from ..config import Architecture, Inference, Training
from ..data import Batch, standardize
from ..errors import InputError
from ..losses import with_background
from ..model.classifier import Classifier, Encoded
from ..model.extractor import Extractor, extractor_of
from ..model.weights import normalization_of
from ..structures import Dataset

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation per RGB channel, in [0, 1]."""
M = TypeVar("M", bound="Method")


class FeatureBatch(NamedTuple):
    """Samples of one step as cached features; the other fields as in :class:`~torchbas.data.loader.Batch`."""

    features: Float16[Tensor, "B C h w"]
    """F, in half precision."""
    target: Int64[Tensor, " B"]
    """One class of each image; -1 where it has none."""
    labels: Float[Tensor, "B K"]
    index: Int64[Tensor, " B"]  # pyright: ignore[reportIncompatibleMethodOverride]


class Localized(NamedTuple):
    """Class scores, and the heatmap of one target class per image."""

    logits: Float[Tensor, "B K"]
    heatmaps: Float[Tensor, "B h w"]
    """Of the target class, at the method's own resolution and scale."""


@dataclass(frozen=True)
class NoOptions:
    """Options of a method that has none."""


class Method(Classifier, ABC):
    """Classifier with training losses and heatmaps.

    A new method is one file with a subclass, and one line in :data:`torchbas.methods.METHODS`; ``name``,
    :meth:`losses` and :meth:`heatmaps` are required, the rest has defaults. Random numbers come from torch's global
    generator, which the trainer seeds at every step.

    Args:
        normalization: mean and standard deviation per channel that the backbone was trained with.
        options: an instance of ``Options``; its defaults when not given.
    """

    name: ClassVar[str]
    """Its key in :data:`torchbas.methods.METHODS`."""
    Options: ClassVar[type] = NoOptions
    """Frozen dataclass of hyperparameters: flags of the command line, stored in the model card. Its field names must
    differ from those of Architecture, Training, Inference and the command itself, whose flags stand beside them."""
    new_layers: ClassVar[tuple[str, ...]] = ("head",)
    """Submodules with random initial weights, trained at a higher learning rate."""
    learns_from_images: ClassVar[bool] = True
    """Whether :meth:`losses` needs the images; if not, cached features of F1 suffice."""
    bounded: ClassVar[bool] = False
    """Whether heatmaps are in [0, 1] by themselves, so that they need not be normalized."""
    needs_classifier: ClassVar[bool] = False
    """Whether training must start from a trained classifier of the same tags."""

    def __init__(
        self,
        extractor: Extractor,
        num_classes: int,
        architecture: Architecture,
        normalization: Normalization,
        options: Any = None,
    ) -> None:
        super().__init__(extractor, num_classes, architecture)
        self.normalization = normalization
        self.options = self.Options() if options is None else options

    @classmethod
    def build(
        cls: type[M],
        architecture: Architecture,
        num_classes: int,
        weights: bool | str | Path,
        normalization: Normalization,
        options: Any = None,
    ) -> M:
        """Network of an architecture, as this method.

        Args:
            weights: False random, True the pretrained ones by name, or a local file.

        Raises:
            InputError: weights that cannot be had or do not fit.
        """
        return cls(extractor_of(architecture, weights), num_classes, architecture, normalization, options)

    @classmethod
    def read_options(cls, options: Any) -> Any:
        """``Options`` from an instance or from a mapping of its fields.

        Raises:
            InputError: an unknown option, or a value out of range.
        """
        if not isinstance(options, Mapping):
            return options
        try:
            return built(cls.Options, options, "options")
        except ValueError as error:
            raise InputError(f"the method {cls.name} cannot have the options {dict(options)}: {error}") from error

    @classmethod
    def needs_images(cls, architecture: Architecture, options: Any) -> bool:
        """:attr:`learns_from_images`, where it does not depend on the settings."""
        return cls.learns_from_images

    @classmethod
    def learns_background(cls, options: Any) -> bool:
        """Whether :meth:`losses` learns from images without a class; if not, they are left out of training."""
        return False

    def setup(self, dataset: Dataset, training: Training, /) -> None:
        """Load or compute what only training needs, with the initial weights; called once, before the first step.

        Raises:
            InputError: a required option is missing or unusable.
        """

    @property
    def fits_first(self) -> bool:
        """Whether :meth:`fit_first` is to be called."""
        return False

    def fit_first(self, batches: Iterable[Batch | FeatureBatch], /) -> None:
        """Fit in closed form what needs all training images; called after :meth:`setup` with one pass over them."""

    @abstractmethod
    def losses(self, batch: Batch | FeatureBatch, step: int) -> dict[str, Float[Tensor, ""]]:
        """Weighted loss terms by name; training minimizes their sum."""

    @abstractmethod
    def heatmaps(self, encoded: Encoded, target: Int[Tensor, " B"], inference: Inference) -> Float[Tensor, "B h w"]:
        """Heatmaps of the target class, at the method's own resolution and scale."""

    @torch.inference_mode()
    def localize(self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]) -> Localized:
        """Class scores and heatmaps of ``target``, from standardized images."""
        encoded = self.encode(images)
        return Localized(encoded.logits, self.heatmaps(encoded, target, Inference()))

    def probabilities(self, logits: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Probability of each class, in [0, 1]; where the method knows a background class they sum to less than one."""
        if not self.learns_background(self.options):
            return logits.softmax(dim=1)
        return with_background(logits).softmax(dim=1)[:, :-1]

    def certainty(self, encoded: Encoded) -> Float[Tensor, " B"] | None:
        """Whether a photo shows any of the classes, in [0, 1]; None where the method has no answer of its own."""
        return None

    def seed_maps(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]:
        """Unnormalized maps, 0 or more, of the classes in ``labels`` (multi-hot), from standardized images: seeds of
        segmentation. Comparable across image sizes; undefined for other classes."""
        return self.class_maps(self.features(images)).float().relu() * (labels > 0)[..., None, None]

    def batch_images(self, batch: Batch) -> Float[Tensor, "B 3 H W"]:
        """Training images of a batch, standardized."""
        return standardize(batch.images, *self.normalization)

    def batch_features(self, batch: Batch | FeatureBatch) -> Float[Tensor, "B C h w"]:
        """F of a batch, computed or from the cache."""
        if isinstance(batch, FeatureBatch):
            return batch.features.float()
        return self.features(self.batch_images(batch))

    def card(self) -> dict[str, Any]:
        """JSON fields from which :meth:`from_card` builds the network."""
        mean, std = self.normalization
        return {
            "options": asdict(self.options),
            "architecture": asdict(self.architecture),
            "mean": list(mean),
            "std": list(std),
        }

    @classmethod
    def from_card(cls: type[M], card: dict[str, Any]) -> M:
        """Network of a model card, with random weights.

        Raises:
            ValueError: a card with missing or malformed fields.
            InputError: a network that is not known.
        """
        architecture = built(Architecture, value_of(card, "architecture", dict[str, Any]), "architecture")
        options = cls.read_options(value_of(card, "options", dict[str, Any]))
        return cls.build(architecture, len(card["classes"]), False, normalization_of(card), options)
