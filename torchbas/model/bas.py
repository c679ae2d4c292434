"""BAS: classifier, generator and constraint, wired as in Figure 2."""

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ..config import Architecture
from .classifier import Classifier, pool
from .extractor import Extractor, extractor_of
from .generator import Generator
from .outputs import Evidence, Prediction


class BAS(Classifier):
    """A classifier cut into ``f1`` and ``f2`` + ``head``, with a ``generator`` on the features between.

    Call it for logits and the maps of all classes; ask :meth:`evidence` for what the losses need. The smaller
    methods are the arrows of Figures 2 and 3, so that whoever needs one arrow does not pay for the others.
    """

    def __init__(self, extractor: Extractor, num_classes: int, architecture: Architecture | None = None) -> None:
        super().__init__(extractor, num_classes, architecture)
        self.generator = Generator(
            extractor.f1_channels,
            num_classes,
            bias=self.architecture.head != "linear",
            class_agnostic=self.architecture.class_agnostic,
            padding_mode=self.architecture.padding_mode,
        )

    @classmethod
    def from_architecture(
        cls, architecture: Architecture, num_classes: int, weights: bool | str | Path = False
    ) -> "BAS":
        """Build the network; ``weights``: False random, True the pretrained ones by name, or a local file."""
        return cls(extractor_of(architecture, weights), num_classes, architecture)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Prediction:
        """Class scores and the foreground map of every class."""
        features = self.features(images)
        return Prediction(pool(self.class_maps(features)), self.generator(features))

    def evidence(self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]) -> Evidence:
        """One training pass for one class per image (Fig. 2), in training or evaluation mode."""
        return self.evidence_from(self.features(images), target, images)

    def evidence_from(
        self,
        features: Float[Tensor, "B C h w"],
        target: Int[Tensor, " B"],
        images: Float[Tensor, "B 3 H W"] | None = None,
        suppression: bool = True,
    ) -> Evidence:
        """The same from features at hand; ``images`` are needed only where the image itself is masked.

        Without ``suppression`` nothing is masked, so S_b is S: for training without L_bas at half the cost.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._classifier_frozen):
            class_maps = self.class_maps(features)
        foreground = self.generator.of(features, target[:, None])
        logits = pool(class_maps)
        background = logits.detach()
        if suppression:
            background = self.background_logits(features, foreground, images, class_maps)
        reference = self.reference_logits(features)
        origin = 0.0 if reference is None else reference[target]
        weights = F.adaptive_avg_pool2d(foreground, (class_maps.shape[2], class_maps.shape[3]))
        guided = class_maps.detach() if self.architecture.guidance_detached else class_maps
        return Evidence(
            logits=logits,
            logits_foreground=pool(guided.float() * weights),
            activation=logits.gather(1, target[:, None]).squeeze(1) - origin,
            activation_background=background.gather(1, target[:, None]).squeeze(1) - origin,
            logits_background=background,
            foreground=foreground,
        )


def create_model(
    backbone: str = "resnet50", num_classes: int = 1000, *, pretrained: bool | str | Path = False, **changes: object
) -> BAS:
    """A BAS network by name, in the manner of timm.

    Args:
        backbone: ``vgg16``, ``mobilenetv1``, ``resnet50``, ``inceptionv3`` (the authors' cuts), ``resnet50_wsss``,
            or any timm network with stages.
        num_classes: K.
        pretrained: True fetches ImageNet weights by name; a path reads a local file.
        changes: any field of :class:`torchbas.config.Architecture`.

    Raises:
        InputError: unknown name, unreachable or unfitting weights.
    """
    architecture = replace(Architecture(backbone=backbone), **changes)  # pyright: ignore[reportArgumentType]
    return BAS.from_architecture(architecture, num_classes, pretrained)
