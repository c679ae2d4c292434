"""DeepLabV2 on a dilated ResNet (Chen et al. 2018): the segmentation network of the WSSS papers."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn

from ...structures import IGNORE_INDEX

RATES = (6, 12, 18, 24)
"""Dilation of the four last convolutions, in cells of 8 pixels."""
SCALES = (1.0, 0.75, 0.5)
"""Scales of the image whose logits are combined."""

Style = Literal["caffe", "torchvision"]
"""caffe: strides in a stage's first 1x1 convolution and a pool that rounds up (MSRA's ResNet, the reference's).
torchvision: strides in the 3x3. Weights have the same shapes for both, but serve only the one they were trained in."""


class FrozenBatchNorm(nn.BatchNorm2d):
    """BatchNorm that keeps statistics, scale and shift, whatever is trained around it."""

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "FrozenBatchNorm":  # noqa: ARG002 - there is only one mode
        return super().train(False)


class ASPP(nn.ModuleList):
    """Atrous spatial pyramid pooling: the sum of four 3x3 convolutions of different dilation."""

    def __init__(self, channels: int, labels: int, rates: Sequence[int] = RATES) -> None:
        super().__init__(nn.Conv2d(channels, labels, 3, padding=rate, dilation=rate) for rate in rates)
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(parameter, std=0.01)
            else:
                nn.init.zeros_(parameter)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B L h w"]:
        return torch.stack([convolution(features) for convolution in self]).sum(dim=0)


class DeepLabV2(nn.Module):
    """Logits of every label, background first, on a grid of an eighth of the image.

    Args:
        labels: classes and background.
        layers: blocks in each of the four stages; (3, 4, 23, 3) is ResNet101.
        frozen: keep the BatchNorm of the pretrained trunk, as the reference does; needed for batches this small.
        channels: of the four stages, before the blocks multiply them by four.
    """

    def __init__(
        self,
        labels: int,
        layers: tuple[int, ...] = (3, 4, 23, 3),
        style: Style = "caffe",
        *,
        frozen: bool = True,
        channels: tuple[int, ...] = (64, 128, 256, 512),
    ) -> None:
        super().__init__()
        norm = FrozenBatchNorm if frozen else nn.BatchNorm2d
        block: Any = Bottleneck  # timm's annotation asks for an instance
        self.trunk = ResNet(block, layers, num_classes=0, global_pool="", norm_layer=norm, channels=channels)
        _dilate(self.trunk, style)
        self.aspp = ASPP(channels[-1] * Bottleneck.expansion, labels)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L h w"]:
        return self.aspp(self.trunk.forward_features(images))


def _dilate(trunk: Any, style: Style) -> None:
    """Dilation in place of stride in the last two stages: a cell stays 8 pixels."""
    for stage, rate in ((trunk.layer3, 2), (trunk.layer4, 4)):
        stage[0].conv2.stride = stage[0].downsample[0].stride = (1, 1)
        for block in stage:
            block.conv2.dilation = block.conv2.padding = (rate, rate)
    if style == "caffe":
        first = trunk.layer2[0]
        first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride
        trunk.maxpool.ceil_mode = True


class MultiScale(nn.Module):
    """A network applied at three scales of the image; the highest logit per cell and label counts."""

    def __init__(self, network: nn.Module, scales: Sequence[float] = SCALES) -> None:
        super().__init__()
        self.network = network
        self.scales = tuple(scales)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L h w"]:
        """The highest logit of all scales, on the grid of the first."""
        return self.trained_logits(images)["max"]

    def trained_logits(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Float[Tensor, "B L _ _"]]:
        """All logits that have a loss: those of each scale by its name, each on its own grid, and ``max``."""
        by_scale = {f"scale_{scale:g}": self.network(_resized(images, scale)) for scale in self.scales}
        first, *others = by_scale.values()
        grid = first.shape[2:]
        aligned = [F.interpolate(other, grid, mode="bilinear", align_corners=False) for other in others]
        return {**by_scale, "max": torch.stack([first, *aligned]).max(dim=0).values}


def _resized(images: Float[Tensor, "B 3 H W"], scale: float) -> Float[Tensor, "B 3 H2 W2"]:
    if scale == 1:
        return images
    size = [max(1, int(side * scale)) for side in images.shape[2:]]
    return F.interpolate(images, size, mode="bilinear", align_corners=False)


def pixel_losses(
    logits: Mapping[str, Float[Tensor, "B L _ _"]], labels: UInt8[Tensor, "B H W"]
) -> dict[str, Float[Tensor, ""]]:
    """Cross entropy of each of several logits, on its own grid: a cell's label is that of the pixel in its middle.

    Cells of ``IGNORE_INDEX`` do not count; where all are, the loss is 0, not NaN.
    """
    losses = {}
    for name, grid in logits.items():
        # "nearest" would take the pixel at a cell's corner, up to seven pixels off
        small = F.interpolate(labels[:, None].float(), grid.shape[2:], mode="nearest-exact")[:, 0].long()
        total = F.cross_entropy(grid.float(), small, ignore_index=IGNORE_INDEX, reduction="sum")
        losses[name] = total / (small != IGNORE_INDEX).sum().clamp(min=1)
    return losses
