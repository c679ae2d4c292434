"""Segmenter: a segmentation network with its own preprocessing."""

from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ...cards import value_of
from ...data.pairs import PairBatch
from ...data.transforms import per_channel
from ...errors import InputError
from ...model.weights import normalization
from ...structures import IGNORE_INDEX
from .deeplab import DeepLabV2, MultiScale, Style, pixel_losses
from .pretrained import fetch_trunk, fill_trunk, read_trunk
from .smp import SMPNetwork

Initialization = Literal["imagenet", "coco_segmentation", "none"]
"""What the initial weights were trained on. ``coco_segmentation`` means pixel labels: a result is then no longer weakly
supervised to the last."""

DEEPLABS = {
    "deeplabv2_resnet101": ((3, 4, 23, 3), (64, 128, 256, 512)),
    "deeplabv2_resnet50": ((3, 4, 6, 3), (64, 128, 256, 512)),
    "deeplabv2_tiny": ((1, 1, 1, 1), (8, 16, 16, 16)),
}
"""Blocks and channels of the four stages; the tiny one is for trying out."""


class Colors(NamedTuple):
    """Channel order, mean and standard deviation of the pixels that a network was trained on, in 0 .. 255."""

    order: Literal["rgb", "bgr"]
    mean: tuple[float, ...]
    """By channel, in that order, as is the standard deviation."""
    std: tuple[float, ...]

    def __call__(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        ordered = (images if self.order == "rgb" else images.flip(1)).to(torch.get_default_dtype())
        return (ordered - per_channel(self.mean, ordered)) / per_channel(self.std, ordered)

    @property
    def padding(self) -> tuple[int, int, int]:
        """The RGB pixel that comes nearest to zero."""
        red, green, blue = map(round, self.mean if self.order == "rgb" else self.mean[::-1])
        return red, green, blue


_MEAN, _STD = normalization("resnet50", False)
COLORS: dict[Style, Colors] = {
    "caffe": Colors("bgr", (104.008, 116.669, 122.675), (1.0, 1.0, 1.0)),
    "torchvision": Colors("rgb", tuple(255 * mean for mean in _MEAN), tuple(255 * std for std in _STD)),
}


class Segmenter(nn.Module):
    """A network from photos, as bytes, to logits of background and classes.

    Args:
        network: a key of :data:`DEEPLABS`, or ``architecture:encoder`` for :class:`~.smp.SMPNetwork`.
        num_classes: K, without the background.
        initialization: what its initial weights were trained on; it is kept, for results must name it.
        style: of the initial weights; it decides on colors, and in a DeepLab on strides.
        frozen: keep BatchNorm as pretrained (DeepLab only).

    Raises:
        InputError: an unknown network, or more classes than a label map can number.
    """

    name: ClassVar[str] = "segmenter"

    def __init__(
        self,
        network: str,
        num_classes: int,
        initialization: Initialization = "none",
        style: Style = "caffe",
        *,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        if num_classes >= IGNORE_INDEX:
            raise InputError(f"A label map numbers {IGNORE_INDEX - 1} classes, but there are {num_classes}: join some.")
        if network not in DEEPLABS and ":" not in network:
            raise InputError(
                f"There is no segmentation network {network}: choose {', '.join(DEEPLABS)} or upernet:convnext_tiny."
            )
        self.network_name, self.initialization, self.style, self.frozen = network, initialization, style, frozen
        self.colors = COLORS[style]
        labels = num_classes + 1
        if network in DEEPLABS:
            layers, channels = DEEPLABS[network]
            self.network = MultiScale(DeepLabV2(labels, layers, style, frozen=frozen, channels=channels))
            self.pretrained, self.new_layers = "network.network.trunk", ("aspp",)
        else:
            self.network = SMPNetwork(network, labels)
            self.pretrained, self.new_layers = "network.model.encoder", ("decoder", "segmentation_head")

    @classmethod
    def initialized(
        cls, network: str, num_classes: int, initialization: Initialization, weights: bool | str | Path
    ) -> "Segmenter":
        """A network before training; of weights that were trained on pixel labels only the trunk is taken.

        Args:
            weights: a file; True fetches ImageNet's by name, False is random.

        Raises:
            InputError: an initialization that does not go with the weights, or weights that do not fit the network.
        """
        _check_initialization(initialization, weights)
        if not weights:
            return cls(network, num_classes, "none", "caffe" if network in DEEPLABS else "torchvision")
        found = fetch_trunk(network) if weights is True else read_trunk(weights)
        if found.dense and initialization == "imagenet":
            raise InputError(
                f"{weights} has learned from pixel labels, not from ImageNet alone: say initialization "
                '"coco_segmentation", or give other weights.'
            )
        segmenter = cls(network, num_classes, initialization, found.style, frozen=network in DEEPLABS)
        fill_trunk(segmenter.get_submodule(segmenter.pretrained), found.state, str(weights))
        return segmenter

    def losses(self, batch: PairBatch, step: int) -> dict[str, Float[Tensor, ""]]:  # noqa: ARG002 - always the same
        """Cross entropy of each of the network's logits."""
        return pixel_losses(self.network.trained_logits(self.colors(batch.images)), batch.labels)

    def logits(self, images: UInt8[Tensor, "B 3 H W"], flip: bool = False) -> Float[Tensor, "B L H W"]:
        """Logits of background and classes for every pixel; ``flip`` averages with those of the mirror image."""
        grids = self.network(self.colors(images))
        if flip:
            grids = (grids + self.network(self.colors(images.flip(3))).flip(3)) / 2
        return F.interpolate(grids.float(), images.shape[2:], mode="bilinear", align_corners=False)

    def card(self) -> dict[str, Any]:
        """What :meth:`from_card` builds the network of, as JSON, and its preprocessing for other programs."""
        return {
            "network": self.network_name,
            "initialization": self.initialization,
            "style": self.style,
            "preprocessing": self.colors._asdict(),
            "frozen": self.frozen,
        }

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> "Segmenter":
        """The network that a model card describes, with random weights. Raises ValueError for a malformed one."""
        initial = value_of(card, "initialization", Initialization), value_of(card, "style", Style)
        network, frozen = value_of(card, "network", str), value_of(card, "frozen", bool)
        return cls(network, len(card["classes"]), *initial, frozen=frozen)


def _check_initialization(initialization: Initialization, weights: bool | str | Path) -> None:
    if not weights and initialization != "none":
        raise InputError(f'Initialization "{initialization}" needs its weights: give their file, or say "none".')
    if weights is True and initialization != "imagenet":
        raise InputError(f'What is fetched has learned from ImageNet, not "{initialization}": give a file of weights.')
    if weights and initialization == "none":
        raise InputError(f'{weights} has learned from something: say initialization "imagenet" or "coco_segmentation".')
