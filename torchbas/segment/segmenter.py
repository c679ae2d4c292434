"""Segmenter: a network with all that its results depend on: classes, colours, and what it had seen before."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..data.pairs import Pairs
from ..errors import InputError
from ..model.weights import load_network, normalisation, save_model
from .deeplab import IGNORE, DeepLabV2, MultiScale, Style, pixel_loss
from .initial import fetch_initial, fill_trunk, read_initial
from .modern import Modern

Initialisation = Literal["imagenet", "coco segmentation", "none"]
"""What the weights had seen before. ``coco segmentation`` means pixel labels: a result is then no longer weakly
supervised to the last."""

DEEPLABS = {
    "deeplabv2_resnet101": ((3, 4, 23, 3), (64, 128, 256, 512)),
    "deeplabv2_resnet50": ((3, 4, 6, 3), (64, 128, 256, 512)),
    "deeplabv2_tiny": ((1, 1, 1, 1), (8, 16, 16, 16)),
}
"""Blocks and channels of the four stages; the tiny one is for trying out."""


class Colours(NamedTuple):
    """What a network's weights take for a pixel, in grey levels of 0 .. 255."""

    order: Literal["rgb", "bgr"]
    mean: tuple[float, ...]
    """By channel, in that order, as is the standard deviation."""
    std: tuple[float, ...]

    def __call__(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        ordered = (images if self.order == "rgb" else images.flip(1)).to(torch.get_default_dtype())
        return (ordered - ordered.new_tensor(self.mean)[:, None, None]) / ordered.new_tensor(self.std)[:, None, None]

    @property
    def padding(self) -> tuple[int, int, int]:
        """The RGB pixel that comes nearest to zero."""
        red, green, blue = map(round, self.mean if self.order == "rgb" else self.mean[::-1])
        return red, green, blue


_MEAN, _STD = normalisation("resnet50", False)
COLOURS: dict[Style, Colours] = {
    "caffe": Colours("bgr", (104.008, 116.669, 122.675), (1.0, 1.0, 1.0)),
    "torchvision": Colours("rgb", tuple(255 * mean for mean in _MEAN), tuple(255 * std for std in _STD)),
}


class Student(nn.Module):
    """A segmenter of photos: bytes in, logits of background and classes out. It prepares its pixels itself.

    Args:
        network: a key of :data:`DEEPLABS`, or ``architecture:encoder`` for :class:`~.modern.Modern`.
        style: how the weights learned; it decides on colours, and in a DeepLab on strides.
        frozen: keep BatchNorm as pretrained (DeepLab only).
        fingerprint: of the settings and data it was trained with.

    Raises:
        InputError: an unknown network, or more classes than a label map can number.
    """

    def __init__(
        self,
        network: str,
        classes: Sequence[str],
        initialisation: Initialisation = "none",
        style: Style = "caffe",
        *,
        frozen: bool = False,
        fingerprint: str = "",
    ) -> None:
        super().__init__()
        if len(classes) >= IGNORE:
            raise InputError(f"A label map numbers {IGNORE - 1} classes, but there are {len(classes)}: join some.")
        if network not in DEEPLABS and ":" not in network:
            raise InputError(f"There is no student {network}: choose {', '.join(DEEPLABS)} or upernet:convnext_tiny.")
        self.name, self.classes, self.initialisation = network, tuple(classes), initialisation
        self.style, self.frozen, self.fingerprint = style, frozen, fingerprint
        self.colours = COLOURS[style]
        labels = len(classes) + 1
        if network in DEEPLABS:
            layers, channels = DEEPLABS[network]
            self.network = MultiScale(DeepLabV2(labels, layers, style, frozen=frozen, channels=channels))
            self.pretrained, self.new = "network.network.trunk", ("aspp",)
        else:
            self.network = Modern(network, labels)
            self.pretrained, self.new = "network.model.encoder", ("decoder", "segmentation_head")

    @classmethod
    def start(
        cls, network: str, classes: Sequence[str], initialisation: Initialisation, weights: bool | str | Path
    ) -> "Student":
        """A student before its first lesson; of weights that know pixels only the trunk is taken.

        ``weights``: a file; True fetches ImageNet's by name, False starts from nothing.

        Raises:
            InputError: an initialisation that does not go with the weights, or weights that do not fit the network.
        """
        _check_initialisation(initialisation, weights)
        if not weights:
            return cls(network, classes, "none", "caffe" if network in DEEPLABS else "torchvision")
        found = fetch_initial(network) if weights is True else read_initial(weights)
        if found.dense and initialisation == "imagenet":
            raise InputError(
                f'{weights} has learned from pixel labels, not from ImageNet alone: say initialisation "coco '
                'segmentation", or give other weights.'
            )
        student = cls(network, classes, initialisation, found.style, frozen=network in DEEPLABS)
        fill_trunk(student.get_submodule(student.pretrained), found.state, str(weights))
        return student

    def forward(self, batch: Pairs, step: int) -> dict[str, Float[Tensor, ""]]:  # noqa: ARG002 - the engine gives it
        """The losses of a batch by name, what :func:`torchbas.engine.fit` minimises."""
        return pixel_loss(self.network.answers(self.colours(batch.images)), batch.labels)

    def logits(self, images: UInt8[Tensor, "B 3 H W"], flip: bool = False) -> Float[Tensor, "B L H W"]:
        """Logits of background and classes for every pixel; ``flip`` averages with those of the mirror image."""
        grids = self.network(self.colours(images))
        if flip:
            grids = (grids + self.network(self.colours(images.flip(3))).flip(3)) / 2
        return F.interpolate(grids.float(), images.shape[2:], mode="bilinear", align_corners=False)

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``: all that :meth:`load` needs, on any machine."""
        card = {
            "architecture": {"backbone": self.name},
            "classes": list(self.classes),
            "initialisation": self.initialisation,
            "style": self.style,
            "preprocessing": self.colours._asdict(),
            "frozen": self.frozen,
            "fingerprint": self.fingerprint,
        }
        save_model(self, folder, card)

    @classmethod
    def load(cls, folder: str | Path) -> "Student":
        """Read a folder that :meth:`save` wrote.

        Raises:
            InputError: no student there, or a damaged one.
        """

        def build(_: object, card: dict[str, Any]) -> Student:
            said = card["architecture"]["backbone"], card["classes"], card["initialisation"], card["style"]
            return cls(*said, frozen=card["frozen"], fingerprint=card["fingerprint"])

        try:
            return load_network(folder, build)[0].eval()
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{folder}/model.json describes no student ({error}): train one, or copy it again."
            ) from error


def _check_initialisation(initialisation: Initialisation, weights: bool | str | Path) -> None:
    if not weights and initialisation != "none":
        raise InputError(f'Initialisation "{initialisation}" needs its weights: give their file, or say "none".')
    if weights is True and initialisation != "imagenet":
        raise InputError(f'What is fetched has learned from ImageNet, not "{initialisation}": give a file of weights.')
    if weights and initialisation == "none":
        raise InputError(f'{weights} has learned from something: say initialisation "imagenet" or "coco segmentation".')
