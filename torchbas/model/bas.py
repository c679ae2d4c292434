"""BAS: extractor, generator and constraint, wired as in Figure 2."""

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..config import Architecture
from ..types import Evidence, Prediction
from .amc import frozen, hide
from .extractor import Extractor, build_extractor
from .generator import Generator


class BAS(nn.Module):
    """A classifier cut into ``stem`` (F1) and ``tail`` + ``head`` (F2), with a ``generator`` on the features between.

    Call it for logits and the maps of all classes; ask :meth:`evidence` for what the losses judge. The smaller
    methods are the arrows of Figures 2 and 3, so that whoever needs one arrow does not pay for the others.
    """

    def __init__(self, extractor: Extractor, num_classes: int, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or Architecture()
        self.num_classes = num_classes
        linear = self.architecture.head == "linear"
        self.stem = extractor.stem
        self.tail = extractor.tail
        self.head = build_head(extractor.tail_channels, self.architecture, num_classes)
        self.generator = Generator(
            extractor.stem_channels,
            num_classes,
            bias=not linear,
            sharing=self.architecture.sharing,
            agnostic=self.architecture.agnostic,
            centred=self.architecture.centred,
        )
        self._stem_frozen = False

    @classmethod
    def from_architecture(
        cls, architecture: Architecture, num_classes: int, weights: bool | str | Path = False
    ) -> "BAS":
        """Build the network; ``weights``: False random, True the pretrained ones by name, or a local file."""
        extractor = build_extractor(
            architecture.backbone, after=architecture.after, activation=architecture.activation, weights=weights
        )
        return cls(extractor, num_classes, architecture)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Prediction:
        """Class scores and the foreground map of every class (Fig. 3)."""
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
        second_look: bool = True,
    ) -> Evidence:
        """The same from features at hand; ``images`` are needed only where the image itself is masked.

        Without the second look nothing is hidden, so S_b is S: for training without L_bas at half the cost.
        """
        class_maps = self.class_maps(features)
        foreground = self.generator.of(features, target[:, None])
        logits = pool(class_maps)
        hidden = self.background_logits(features, foreground, images) if second_look else logits.detach()
        seen = F.adaptive_avg_pool2d(foreground, (class_maps.shape[2], class_maps.shape[3]))
        judged = class_maps.detach() if self.architecture.guidance_detached else class_maps
        return Evidence(
            logits=logits,
            logits_foreground=pool(judged.float() * seen),
            activation=logits.gather(1, target[:, None]).squeeze(1),
            activation_background=hidden.gather(1, target[:, None]).squeeze(1),
            logits_background=hidden,
            foreground=foreground,
        )

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """F = F1(I)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._stem_frozen):
            return self.stem(images)

    def class_maps(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K ch cw"]:
        """P = F2(F): one map of evidence per class; its mean is the class's score."""
        return self.head(self.tail(features))

    def background_logits(
        self,
        features: Float[Tensor, "B C h w"],
        foreground: Float[Tensor, "B 1 h w"],
        images: Float[Tensor, "B 3 H W"] | None = None,
    ) -> Float[Tensor, "B K"]:
        """Class scores with the foreground hidden (eq. 2), differentiable in ``foreground`` only."""
        if self.architecture.hide == "features":
            return pool(frozen(self.tail, self.head)(hide(features, foreground)))
        if images is None:
            raise ValueError("hiding the foreground in the image needs the images, not their features alone.")
        large = F.interpolate(foreground, size=images.shape[2:], mode="bilinear", align_corners=False)
        return pool(frozen(self.stem, self.tail, self.head)(hide(images, large)))

    def seed_maps(
        self,
        images: Float[Tensor, "B 3 H W"],
        labels: Float[Tensor, "B K"],  # noqa: ARG002 - other methods make maps of present classes only
    ) -> Float[Tensor, "B K h w"]:
        """What is added up to a seed (Sec. 5.1): the foreground map of every class."""
        return self.generator(self.features(images))

    def freeze_stem(self) -> None:
        """Keep F1 as it is: no gradient, and running statistics instead of the batch's."""
        self._stem_frozen = True
        self.stem.requires_grad_(False)
        self.stem.eval()

    def train(self, mode: bool = True) -> "BAS":
        """Training mode for all but a frozen stem."""
        super().train(mode)
        if self._stem_frozen:
            self.stem.eval()
        return self


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


def pool(class_maps: Float[Tensor, "B K ch cw"]) -> Float[Tensor, "B K"]:
    """GAP (eq. 1), in fp32 whatever the precision of the network."""
    return class_maps.float().mean(dim=(2, 3))


def build_head(in_channels: int, architecture: Architecture, num_classes: int) -> nn.Sequential:
    """The convolutions from the tail's channels to one map per class, at random weights (Xavier)."""
    if architecture.head == "linear":
        layers: list[nn.Module] = [nn.Conv2d(in_channels, num_classes, kernel_size=1, bias=False)]
    else:
        hidden = architecture.hidden
        layers = [
            nn.Conv2d(in_channels, hidden, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, num_classes, kernel_size=1),
        ]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    if architecture.relu_before_pooling:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
