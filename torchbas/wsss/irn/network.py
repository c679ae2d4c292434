"""IRNet (Ahn et al. 2019, Sec. 4): boundary probability, and displacement from each cell to its object's center."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from ...cards import value_of
from ...data import open_image, standardize
from ...data.pairs import PairBatch
from ...data.transforms import per_channel
from ...errors import InputError
from ...methods.base import Normalization
from ...model.extractor import build_extractor
from ...model.weights import normalization, normalization_of
from ..seeds.multi_scale import native_view
from .affinity import pair_losses

BACKBONE = "resnet50_wsss"
STRIDE, DEEPEST = 4, 16
"""Pixels between the cells of the result, and of the deepest features."""


class BoundaryMaps(NamedTuple):
    """IRNet's output for a batch, on the /4 grid."""

    edge: Float[Tensor, "B h w"]
    """Probability of a boundary."""
    displacement: Float[Tensor, "B 2 h w"]
    """From a cell to the center of its object, down and right, in cells."""


class Boundaries(NamedTuple):
    """The same for one image, as arrays."""

    edge: Float32[np.ndarray, "h w"]
    displacement: Float32[np.ndarray, "2 h w"]


class Lateral(nn.Module):
    """1x1 convolution of one stage's features, resampled to the grid of another's."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.GroupNorm(groups, outputs)

    def forward(self, x: Float[Tensor, "B C h w"], like: Float[Tensor, "B _ h2 w2"]) -> Float[Tensor, "B C2 h2 w2"]:
        x = self.norm(self.conv(x))
        if x.shape[2:] != like.shape[2:]:
            x = F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)
        return x.relu()


class EdgeBranch(nn.Module):
    """Boundary logits from all five stages."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(Lateral(inputs, 32, 4) for inputs in channels)
        self.head = nn.Conv2d(5 * 32, 1, 1)

    def forward(self, stages: Sequence[Tensor]) -> Float[Tensor, "B 1 h w"]:
        features = [lateral(x, stages[1]) for lateral, x in zip(self.laterals, stages, strict=True)]
        return self.head(torch.cat(features, dim=1))


class DisplacementBranch(nn.Module):
    """Displacements from all five stages, the upper three joined on the grid of the third."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        widths = [(64, 8), (128, 16), (256, 16), (256, 16), (256, 16)]
        self.laterals = nn.ModuleList(Lateral(inputs, *width) for inputs, width in zip(channels, widths, strict=True))
        self.join = Lateral(3 * 256, 256, 16)
        self.last = Lateral(64 + 128 + 256, 256, 16)
        self.head = nn.Conv2d(256, 2, 1, bias=False)

    def forward(self, stages: Sequence[Tensor]) -> Float[Tensor, "B 2 h w"]:
        grids = [stages[1], stages[1], stages[2], stages[2], stages[2]]
        features = [lateral(x, like) for lateral, x, like in zip(self.laterals, stages, grids, strict=True)]
        upper = self.join(torch.cat(features[2:], dim=1), stages[1])
        return self.head(self.last(torch.cat([*features[:2], upper], dim=1), stages[1]))


class IRNet(nn.Module):
    """A frozen ResNet with an edge branch and a displacement branch on its five stages.

    Args:
        backbone: ``resnet50_wsss``, or any ResNet of timm.
        weights: False for random ones, True for the pretrained ones by name, or a local file.
        normalization: mean and standard deviation per channel that the backbone was trained with.

    Raises:
        InputError: a network that is no ResNet; weights that cannot be had.
    """

    name: ClassVar[str] = "irnet"
    new_layers: ClassVar[tuple[str, ...]] = ("displacement",)
    """The branch that learns at a rate of its own; nothing of the backbone learns."""
    mean_displacement: Tensor

    def __init__(self, backbone: str, weights: bool | str | Path, normalization: Normalization) -> None:
        super().__init__()
        self.backbone_name, self.normalization = backbone, normalization
        self.backbone = _stages(backbone, weights).requires_grad_(False).eval()
        channels = [x.shape[1] for x in self._features(torch.zeros(1, 3, 64, 64))]
        self.edge = EdgeBranch(channels)
        self.displacement = DisplacementBranch(channels)
        self.register_buffer("mean_displacement", torch.zeros(2))

    @classmethod
    def initialized(cls, backbone: str, weights: bool | str | Path) -> "IRNet":
        """The network before training, with the normalization that goes with its weights."""
        return cls(backbone, weights, normalization(backbone, weights))

    def train(self, mode: bool = True) -> "IRNet":
        """Training mode for all but the backbone."""
        super().train(mode)
        self.backbone.eval()
        return self

    def losses(self, batch: PairBatch, step: int) -> dict[str, Tensor]:  # noqa: ARG002 - the same at every step
        """The losses of :func:`~torchbas.wsss.irn.affinity.pair_losses`."""
        stages = self._features(standardize(batch.images, *self.normalization))
        edge, displacement = self.edge(stages).float().sigmoid()[:, 0], self.displacement(stages).float()
        labels = F.interpolate(batch.labels[:, None], edge.shape[1:], mode="nearest-exact")[:, 0]
        return pair_losses(edge, displacement, labels)

    def boundary_maps(self, images: UInt8[Tensor, "B 3 H W"] | Float[Tensor, "B 3 H W"]) -> BoundaryMaps:
        """The mean over each image and its mirror image, on a grid of ceil(H / 4) x ceil(W / 4).

        Args:
            images: bytes, or floats in [0, 1], of any size.
        """
        height, width = images.shape[2:]
        both = standardize(torch.cat([images, images.flip(3)]), *self.normalization)
        stages = self._features(F.pad(both, (0, -width % DEEPEST, 0, -height % DEEPEST)))
        rows, columns = -(-height // STRIDE), -(-width // STRIDE)
        logits, displacement = (
            branch(stages)[:, :, :rows, :columns].float() for branch in (self.edge, self.displacement)
        )
        upright, mirrored = (displacement - self.mean_displacement[:, None, None]).chunk(2)
        mirrored = mirrored.flip(3) * per_channel((1.0, -1.0), mirrored)
        logit, other = logits.chunk(2)
        return BoundaryMaps(((logit + other.flip(3)) / 2).sigmoid()[:, 0], (upright + mirrored) / 2)

    @torch.no_grad()
    def _features(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The outputs of the layers before layer1 and of layer1 at stride 4, of layer2 at 8, of layer3 and 4 at 16."""
        stages = []
        for stage in self.backbone:
            images = stage(images)
            stages.append(images)
        return stages

    def card(self) -> dict[str, Any]:
        """What :meth:`from_card` builds the network of, as JSON."""
        mean, std = self.normalization
        return {"backbone": self.backbone_name, "mean": list(mean), "std": list(std)}

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> "IRNet":
        """The network that a model card describes, with random weights. Raises ValueError for a malformed one."""
        return cls(value_of(card, "backbone", str), False, normalization_of(card))


def boundaries_of(
    net: IRNet,
    photos: Sequence[Path],
    *,
    batch_size: int = 16,
    workers: int = 0,
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Iterator[Boundaries]:
    """The boundaries of each photo at its working size, in order, on grids of a quarter of that size.

    Photos are read ahead; those of one size that are not far from each other share a batch.

    Args:
        batch_size: photos of 512 x 512 pixels in a batch; of larger ones fewer.
        workers: reading threads; 0 is one.
        precision: a context for the network, e.g. autocast.

    Raises:
        InputError: a photo that cannot be read.
    """
    ahead = 2 * batch_size
    with ThreadPoolExecutor(max(1, workers)) as readers:
        coming = readers.map(_read, photos[:ahead])
        for start in range(0, len(photos), ahead):
            images = list(coming)
            coming = readers.map(_read, photos[start + ahead : start + 2 * ahead])
            yield from _boundaries(net, images, batch_size, precision)


@torch.inference_mode()
def _boundaries(
    net: IRNet, images: list[Tensor], batch_size: int, precision: Callable[[], AbstractContextManager[Any]]
) -> list[Boundaries]:
    device = net.mean_displacement.device
    by_size: dict[torch.Size, list[int]] = {}
    for index, image in enumerate(images):
        by_size.setdefault(image.shape, []).append(index)
    batches: list[tuple[list[int], BoundaryMaps]] = []
    for (_, height, width), indices in by_size.items():
        size = min(batch_size, max(1, batch_size * 512 * 512 // (height * width)))
        for first in range(0, len(indices), size):
            batch = indices[first : first + size]
            stacked = torch.stack([images[i] for i in batch]).to(device, non_blocking=True)
            with precision():
                batches.append((batch, net.boundary_maps(stacked)))
    found: dict[int, Boundaries] = {}
    for batch, maps in batches:  # a device is waited for only now that it has been told everything
        edges, displacements = maps.edge.cpu().numpy(), maps.displacement.cpu().numpy()
        found |= {i: Boundaries(edges[k], displacements[k]) for k, i in enumerate(batch)}
    return [found[index] for index in range(len(images))]


def _read(photo: Path) -> UInt8[Tensor, "3 H W"]:
    return native_view(open_image(photo))


def _stages(backbone: str, weights: bool | str | Path) -> nn.ModuleList:
    """The layers before layer1, and layer1 to layer4."""
    extractor = build_extractor(backbone, weights=weights, flag="--irn-weights")
    stages = [nn.Sequential()]
    for half in (extractor.f1, extractor.f2):
        for name, layer in half.named_children():
            if name.startswith("layer"):
                stages.append(nn.Sequential())
            stages[-1].add_module(name, layer)
    if len(stages) != 5:
        raise InputError(f"IRNet reads the stages of a ResNet, and {backbone} is none: choose resnet50_wsss.")
    return nn.ModuleList(stages)
