"""IRNet (Ahn et al. 2019, Sec. 4): where boundaries are, and where from each cell the centre of its object lies."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from ..config import Architecture, Training
from ..data import normalise, open_image
from ..data.pairs import Pairs, pair_loader
from ..engine import CHECKPOINT, Hooks, fit, make_fabric
from ..engine.preparation import finished
from ..errors import InputError
from ..model.extractor import build_extractor
from ..model.weights import load_network, normalisation, save_model
from .affinity import pair_losses
from .seed import native_view

BACKBONE = "resnet50_wsss"
STRIDE, DEEPEST = 4, 16
"""Pixels between the cells of the result, and of the deepest features."""

Colours = tuple[tuple[float, ...], tuple[float, ...]]
Grids = tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "2 h w"]]


class Look(NamedTuple):
    """What IRNet says of a batch, on the /4 grid."""

    edge: Float[Tensor, "B h w"]
    """Probability of a boundary."""
    displacement: Float[Tensor, "B 2 h w"]
    """From a cell to the centre of its object, down and right, in cells."""


class Lateral(nn.Module):
    """A 1x1 convolution that reads one stage, brought to the grid of another."""

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
    """A boundary logit from all five stages."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(Lateral(inputs, 32, 4) for inputs in channels)
        self.head = nn.Conv2d(5 * 32, 1, 1)

    def forward(self, stages: Sequence[Tensor]) -> Float[Tensor, "B 1 h w"]:
        read = [lateral(x, stages[1]) for lateral, x in zip(self.laterals, stages, strict=True)]
        return self.head(torch.cat(read, dim=1))


class DisplacementBranch(nn.Module):
    """A displacement from all five stages, the upper three joined on the grid of the third."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        widths = [(64, 8), (128, 16), (256, 16), (256, 16), (256, 16)]
        self.laterals = nn.ModuleList(Lateral(inputs, *width) for inputs, width in zip(channels, widths, strict=True))
        self.join = Lateral(3 * 256, 256, 16)
        self.last = Lateral(64 + 128 + 256, 256, 16)
        self.head = nn.Conv2d(256, 2, 1, bias=False)

    def forward(self, stages: Sequence[Tensor]) -> Float[Tensor, "B 2 h w"]:
        grids = [stages[1], stages[1], stages[2], stages[2], stages[2]]
        read = [lateral(x, like) for lateral, x, like in zip(self.laterals, stages, grids, strict=True)]
        upper = self.join(torch.cat(read[2:], dim=1), stages[1])
        return self.head(self.last(torch.cat([*read[:2], upper], dim=1), stages[1]))


class IRNet(nn.Module):
    """A ResNet that stays as it is, and two branches that read its five stages.

    Args:
        backbone: ``resnet50_wsss``, or any ResNet of timm.
        weights: False for random ones, True for the pretrained ones by name, or a local file.
        colours: mean and standard deviation per channel that the backbone was trained with.

    Raises:
        InputError: a network that is no ResNet; weights that cannot be had.
    """

    mean_displacement: Tensor

    def __init__(self, backbone: str, weights: bool | str | Path, colours: Colours, fingerprint: str = "") -> None:
        super().__init__()
        self.architecture = Architecture(backbone)
        self.colours, self.fingerprint = colours, fingerprint
        self.backbone = _stages(backbone, weights).requires_grad_(False).eval()
        channels = [x.shape[1] for x in self._features(torch.zeros(1, 3, 64, 64))]
        self.edge = EdgeBranch(channels)
        self.displacement = DisplacementBranch(channels)
        self.register_buffer("mean_displacement", torch.zeros(2))

    def train(self, mode: bool = True) -> "IRNet":
        """The branches learn; the backbone never does."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, batch: Pairs, step: int) -> dict[str, Tensor]:  # noqa: ARG002
        """The losses of :func:`~torchbas.segment.affinity.pair_losses`; they are the same at every step."""
        stages = self._features(normalise(batch.images, *self.colours))
        edge, displacement = self.edge(stages).float().sigmoid()[:, 0], self.displacement(stages).float()
        labels = F.interpolate(batch.labels[:, None], edge.shape[1:], mode="nearest-exact")[:, 0]
        return pair_losses(edge, displacement, labels)

    def look(self, images: UInt8[Tensor, "B 3 H W"] | Float[Tensor, "B 3 H W"]) -> Look:
        """The mean over each image and its mirror image, on a grid of ceil(H / 4) x ceil(W / 4).

        Args:
            images: bytes, or floats in [0, 1], of any size.
        """
        height, width = images.shape[2:]
        both = normalise(torch.cat([images, images.flip(3)]), *self.colours)
        stages = self._features(F.pad(both, (0, -width % DEEPEST, 0, -height % DEEPEST)))
        rows, columns = -(-height // STRIDE), -(-width // STRIDE)
        logits, displacement = (
            branch(stages)[:, :, :rows, :columns].float() for branch in (self.edge, self.displacement)
        )
        upright, mirrored = (displacement - self.mean_displacement[:, None, None]).chunk(2)
        mirrored = mirrored.flip(3) * mirrored.new_tensor([1, -1])[:, None, None]
        logit, other = logits.chunk(2)
        return Look(((logit + other.flip(3)) / 2).sigmoid()[:, 0], (upright + mirrored) / 2)

    @torch.no_grad()
    def _features(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The outputs of stem and layer1 at stride 4, of layer2 at 8, of layer3 and layer4 at 16."""
        stages = []
        for stage in self.backbone:
            images = stage(images)
            stages.append(images)
        return stages

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``: all that :func:`load_irn` needs, on any machine."""
        card = {
            "architecture": asdict(self.architecture),
            "classes": ["boundary"],
            "mean": list(self.colours[0]),
            "std": list(self.colours[1]),
            "fingerprint": self.fingerprint,
        }
        save_model(self, folder, card)


def load_irn(folder: str | Path) -> IRNet:
    """Read a folder that :meth:`IRNet.save` wrote.

    Raises:
        InputError: no IRNet there, or a damaged one.
    """

    def network(architecture: Architecture, card: dict[str, Any]) -> IRNet:
        return IRNet(architecture.backbone, False, (tuple(card["mean"]), tuple(card["std"])), card["fingerprint"])

    try:
        return load_network(folder, network)[0].eval()
    except KeyError as error:
        raise InputError(f"{folder}/model.json describes no IRNet ({error}): train one, or copy it again.") from error


def train_irn(
    pairs: Sequence[tuple[Path, Path]],
    training: Training,
    out: Path,
    *,
    backbone: str = BACKBONE,
    weights: bool | str | Path = True,
    device: str = "auto",
    workers: int = 0,
    resume: bool = False,
    made_of: Sequence[object] = (),
    hooks: Callable[[IRNet], Hooks] = lambda _: Hooks(),
) -> IRNet:
    """Train the branches on photos and their label maps, and save the network into ``out``.

    Of ``training`` everything about optimiser and schedule counts, and ``crop``; the scale is 0.5 to 1.5 and
    ``new_layers`` is for the displacement branch. The mean displacement over the photos, which the losses leave open,
    is measured afterwards.

    Args:
        weights: of the backbone: True fetches ImageNet's by name, a path reads a local file, False has random ones.
        made_of: what else a checkpoint must agree with to be resumed, such as what made the label maps.
        hooks: what to call while training, made when the network stands.

    Raises:
        InputError: weights that cannot be had; a photo or a label map that cannot be read; a checkpoint of other
            settings.
        Interrupted: stopped by the user; ``resume`` goes on.
    """
    identity = _fingerprint(pairs, training, backbone, weights, *made_of)
    if resume and (done := finished(out, identity, load_irn)):
        return done
    fabric = make_fabric(device, training.precision)
    fabric.seed_everything(training.seed, verbose=False)
    net = IRNet(backbone, weights, normalisation(backbone, weights), identity).to(fabric.device)
    if training.channels_last:
        net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    out.mkdir(parents=True, exist_ok=True)
    rank, processes = fabric.global_rank, fabric.world_size
    share: dict[str, Any] = {"crop": training.crop, "workers": workers, "rank": rank, "world_size": processes}
    loader = pair_loader(pairs, training.batch_size, training.seed, **share)
    chosen = hooks(net)
    fit(fabric, net, loader, training, out, resume=resume, fingerprint=identity, hooks=chosen, new=("displacement",))
    net.eval()
    total = torch.zeros(2)
    photos = [photo for photo, _ in pairs[rank::processes]]
    for _, displacement in edges_of(net, photos, workers=workers, forward=fabric.autocast):
        total += torch.from_numpy(displacement).mean(dim=(1, 2))
    net.mean_displacement += torch.as_tensor(fabric.all_reduce(total, reduce_op="sum")).to(fabric.device) / len(pairs)
    if fabric.is_global_zero:
        net.save(out)
        (out / CHECKPOINT).unlink(missing_ok=True)
    return net


def edges_of(
    net: IRNet,
    photos: Sequence[Path],
    *,
    batch_size: int = 16,
    workers: int = 0,
    forward: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Iterator[Grids]:
    """Boundary probability (h w) and displacement (2 h w) of each photo, in order, on grids of a quarter its size.

    Photos are read ahead; those of one size that are not far from each other are looked at together.

    Args:
        batch_size: photos of 512 x 512 pixels that are looked at together; of larger ones fewer.
        workers: reading threads; 0 is one.
        forward: a context for the network, e.g. autocast.

    Raises:
        InputError: a photo that cannot be read.
    """
    ahead = 2 * batch_size
    with ThreadPoolExecutor(max(1, workers)) as readers:
        coming = readers.map(_read, photos[:ahead])
        for start in range(0, len(photos), ahead):
            images = list(coming)
            coming = readers.map(_read, photos[start + ahead : start + 2 * ahead])
            yield from _look_at(net, images, batch_size, forward)


@torch.inference_mode()
def _look_at(
    net: IRNet, images: list[Tensor], batch_size: int, forward: Callable[[], AbstractContextManager[Any]]
) -> list[Grids]:
    device = net.mean_displacement.device
    same: dict[torch.Size, list[int]] = {}
    for place, image in enumerate(images):
        same.setdefault(image.shape, []).append(place)
    looks: list[tuple[list[int], Look]] = []
    for (_, height, width), places in same.items():
        size = min(batch_size, max(1, batch_size * 512 * 512 // (height * width)))
        for first in range(0, len(places), size):
            batch = places[first : first + size]
            with forward():
                looks.append((batch, net.look(torch.stack([images[i] for i in batch]).to(device, non_blocking=True))))
    seen: dict[int, Grids] = {}
    for batch, look in looks:  # a device is waited for only now that it has been told everything
        edges, displacements = look.edge.cpu().numpy(), look.displacement.cpu().numpy()
        seen |= {i: (edges[k], displacements[k]) for k, i in enumerate(batch)}
    return [seen[place] for place in range(len(images))]


def _read(photo: Path) -> UInt8[Tensor, "3 H W"]:
    return native_view(open_image(photo))


def _stages(backbone: str, weights: bool | str | Path) -> nn.ModuleList:
    """The layers up to layer1, and layer1 to layer4."""
    extractor = build_extractor(backbone, weights=weights)
    stages = [nn.Sequential()]
    for half in (extractor.stem, extractor.tail):
        for name, layer in half.named_children():
            if name.startswith("layer"):
                stages.append(nn.Sequential())
            stages[-1].add_module(name, layer)
    if len(stages) != 5:
        raise InputError(f"IRNet reads the stages of a ResNet, and {backbone} is none: choose resnet50_wsss.")
    return nn.ModuleList(stages)


def _fingerprint(pairs: Sequence[tuple[Path, Path]], training: Training, *more: object) -> str:
    settings = asdict(training)
    del settings["save_every"]
    names = [(photo.name, labels.name) for photo, labels in pairs]
    return hashlib.sha256(json.dumps([settings, names, *map(str, more)], sort_keys=True).encode()).hexdigest()
