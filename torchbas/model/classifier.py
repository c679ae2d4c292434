"""Classifier: F1, F2 and class head (Fig. 2), the network that BAS and every method beside it share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..config import Architecture
from .amc import frozen, mask_foreground
from .extractor import Extractor
from .receptive_field import SIDE, aligned, effective_offset
from .reflect import reflect_edges

C = TypeVar("C", bound="Classifier")


class Classifier(nn.Module):
    """A classification network cut in two, ``f1`` and ``f2``, with a class ``head`` of convolutions and GAP."""

    def __init__(self, extractor: Extractor, num_classes: int, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or Architecture()
        self.num_classes = num_classes
        self.f1 = extractor.f1
        self.f2 = extractor.f2
        self.head = build_head(extractor.f2_channels, self.architecture, num_classes)
        if self.architecture.padding_mode == "reflect":
            reflect_edges(self)
        self._f1_frozen = self._classifier_frozen = False

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """F = F1(I)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._f1_frozen):
            if any(self.architecture.offset):
                return aligned(self.f1, images, self.architecture.offset, self.stride)
            return self.f1(images)

    @cached_property
    @torch.no_grad()
    def stride(self) -> int:
        """Pixels of the image that a cell of F stands for."""
        example = torch.zeros(1, 3, SIDE, SIDE, device=next(self.parameters()).device)
        with evaluating(self.f1):
            return SIDE // self.f1(example).shape[2]

    def align(self) -> None:
        """Measure the offset of F's effective receptive fields, and leave it out of F from now on."""
        with evaluating(self.f1):
            offset = effective_offset(self.f1, next(self.parameters()).device)
        self.architecture = replace(self.architecture, offset=offset)

    def deep_features(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h2 w2"]:
        """F2(F) without the class head: the head's input."""
        return self.f2(features)

    def class_maps(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K ch cw"]:
        """P = F2(F): one activation map per class; its mean is the class's score."""
        return self.head(self.deep_features(features))

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        """Class scores (eq. 1)."""
        return pool(self.class_maps(self.features(images)))

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> "Encoded":
        """Features, class maps and scores of images, each computed when it is first asked for."""
        return Encoded(self, images)

    def background_logits(
        self,
        features: Float[Tensor, "B C h w"],
        foreground: Float[Tensor, "B 1 h w"],
        images: Float[Tensor, "B 3 H W"] | None = None,
        class_maps: Float[Tensor, "B K ch cw"] | None = None,
    ) -> Float[Tensor, "B K"]:
        """Class scores with the foreground masked (eq. 2), differentiable in ``foreground`` only.

        Args:
            images: needed only where the image itself is masked.
            class_maps: of ``features``, where they are at hand; needed only where these are pooled.
        """
        if self.architecture.second_look != "network":
            maps = self.class_maps(features) if class_maps is None else class_maps
            return self._pooled_logits(maps.detach().float(), foreground, self.reference_logits(features))
        if self.architecture.mask_at == "features":
            return pool(frozen(self.f2, self.head)(mask_foreground(features, foreground, self.fill())))
        if images is None:
            raise ValueError("masking the foreground in the image needs the images, not their features alone.")
        large = F.interpolate(foreground, size=images.shape[2:], mode="bilinear", align_corners=False)
        return pool(frozen(self.f1, self.f2, self.head)(mask_foreground(images, large)))

    def _pooled_logits(
        self,
        class_maps: Float[Tensor, "B K ch cw"],
        foreground: Float[Tensor, "B 1 h w"],
        reference: Float[Tensor, " K"] | None,
    ) -> Float[Tensor, "B K"]:
        """Means of the class maps over the background; where not normalized the foreground counts ``reference``."""
        background = 1 - F.adaptive_avg_pool2d(foreground, (class_maps.shape[2], class_maps.shape[3]))
        share = background.mean(dim=(2, 3))
        logits = pool(class_maps * background)
        if self.architecture.second_look == "normalized":
            return logits / share.clamp(min=torch.finfo(share.dtype).eps)
        return logits if reference is None else logits + (1 - share) * reference

    def fill(self) -> Float[Tensor, " C"] | None:
        """The feature that stands in for the masked foreground; None for zeros, as in the paper."""
        return None

    def reference_logits(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, " K"] | None:
        """Class scores with everything masked, from which S and S_b are measured; None for 0, as in the paper."""
        fill = self.fill()
        if fill is None:
            return None
        with torch.no_grad():
            blank = fill[None, :, None, None].to(features.dtype).expand(1, -1, *features.shape[2:])
            return pool(frozen(self.f2, self.head)(blank))[0]

    def freeze_classifier(self) -> None:
        """Keep F2 and the head as they are: no gradient, and running statistics instead of the batch's."""
        self._classifier_frozen = True
        self.f2.requires_grad_(False)
        self.head.requires_grad_(False)
        self.train(self.training)

    def freeze_f1(self) -> None:
        """Keep F1 as it is: no gradient, and running statistics instead of the batch's."""
        self._f1_frozen = True
        self.f1.requires_grad_(False)
        self.train(self.training)

    def train(self: C, mode: bool = True) -> C:
        """Training mode for all but what is frozen."""
        super().train(mode)
        if self._classifier_frozen:
            self.f2.eval()
            self.head.eval()
        if self._f1_frozen:
            self.f1.eval()
        return self


class Encoded:
    """What a classifier computes of images, shared by all that is asked about them.

    Attributes:
        images: (B 3 H W), standardized.
    """

    images: Float[Tensor, "B 3 H W"]

    def __init__(self, classifier: Classifier, images: Float[Tensor, "B 3 H W"]) -> None:
        self.classifier, self.images = classifier, images

    @cached_property
    def features(self) -> Float[Tensor, "B C h w"]:
        """F."""
        return self.classifier.features(self.images)

    @cached_property
    def deep_features(self) -> Float[Tensor, "B C2 h2 w2"]:
        """The head's input."""
        return self.classifier.deep_features(self.features)

    @cached_property
    def class_maps(self) -> Float[Tensor, "B K ch cw"]:
        """P."""
        return self.classifier.head(self.deep_features)

    @cached_property
    def logits(self) -> Float[Tensor, "B K"]:
        """Class scores."""
        return pool(self.class_maps)

    @cached_property
    def reference_logits(self) -> Float[Tensor, " K"] | None:
        """Class scores with everything masked, see :meth:`Classifier.reference_logits`."""
        return self.classifier.reference_logits(self.features)

    def scores(self, label: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        """S: the logit of each image's ``label``, less that of an image with everything masked."""
        return self.logits.gather(1, label[:, None])[:, 0] - self.origin(label)

    def origin(self, label: Int[Tensor, " B"]) -> Float[Tensor, " B"] | float:
        """The logit of each image's ``label`` with everything masked, from which S and S_b are measured."""
        return 0.0 if self.reference_logits is None else self.reference_logits[label]

    def at(self, index: Int[Tensor, " Q"]) -> "Encoded":
        """The images at these positions; nothing is computed for them again."""
        return _Rows(self, index)

    def background_logits(self, foreground: Float[Tensor, "B 1 h w"]) -> Float[Tensor, "B K"]:
        """Class scores with the foreground masked, see :meth:`Classifier.background_logits`."""
        images = self.images if self.classifier.architecture.mask_at == "image" else None
        pooled = self.classifier.architecture.second_look != "network"
        class_maps = self.class_maps if pooled else None
        return self.classifier.background_logits(self.features, foreground, images, class_maps)


class _Rows(Encoded):
    """Some of the images of another encoding."""

    def __init__(self, whole: Encoded, index: Int[Tensor, " Q"]) -> None:
        self.classifier, self._whole, self._index = whole.classifier, whole, index

    @cached_property
    def images(self) -> Float[Tensor, "Q 3 H W"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._whole.images[self._index]

    @cached_property
    def features(self) -> Float[Tensor, "Q C h w"]:
        return self._whole.features[self._index]

    @cached_property
    def deep_features(self) -> Float[Tensor, "Q C2 h2 w2"]:
        return self._whole.deep_features[self._index]

    @cached_property
    def class_maps(self) -> Float[Tensor, "Q K ch cw"]:
        return self._whole.class_maps[self._index]

    @cached_property
    def logits(self) -> Float[Tensor, "Q K"]:
        return self._whole.logits[self._index]

    @cached_property
    def reference_logits(self) -> Float[Tensor, " K"] | None:
        return self._whole.reference_logits


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards the mode that the network was in."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def pool(class_maps: Float[Tensor, "B K ch cw"]) -> Float[Tensor, "B K"]:
    """GAP (eq. 1), in fp32 whatever the precision of the network."""
    return class_maps.float().mean(dim=(2, 3))


def build_head(in_channels: int, architecture: Architecture, num_classes: int) -> nn.Sequential:
    """The convolutions from F2's channels to one map per class, at random weights (Xavier)."""
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
