"""Training of IRNet on photos and their confident labels."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...config import Training
from ...io import stable_hash
from ...methods.trained import TrainedModel
from ...training.fabric import Fabric
from ...training.loop import Hooks
from ...training.train import train
from ..pairs import Pairs, PairTraining, load_network
from .network import BACKBONE, IRNet, boundaries_of


def train_irnet(
    pairs: Pairs,
    training: Training,
    out: Path,
    *,
    backbone: str = BACKBONE,
    weights: bool | str | Path = True,
    device: str = "auto",
    workers: int = 0,
    resume: bool = False,
    made_of: Sequence[object] = (),
    hooks: Callable[[TrainedModel[Any]], Hooks] = lambda _: Hooks(),
) -> TrainedModel[IRNet]:
    """Train IRNet's branches, and save the network into ``out``.

    Args:
        training: of its views ``crop`` counts, the scale is 0.5 to 1.5; ``new_layers`` is for the displacement branch.
        weights: of the backbone: True fetches ImageNet's by name, a path reads a local file, False has random ones.
        made_of: what else a checkpoint must agree with to be resumed, such as what made the label maps.
        hooks: what to call while training, made when the network stands.

    Raises:
        InputError: weights that cannot be had; a photo or a label map that cannot be read; a checkpoint of other
            settings.
        Interrupted: stopped by the user; ``resume`` goes on.
    """
    names = [(photo.name, labels.name) for photo, labels in pairs]
    fingerprint = stable_hash(replace(training, save_every=1), names, backbone, weights, *made_of)
    make = partial(IRNet.initialized, backbone, weights)
    work = PairTraining(pairs, training, fingerprint, workers, ("boundary",), make)
    task = work.task(load_irnet, finish=partial(_measure_displacement, pairs, workers))
    return train(task, out, device=device, resume=resume, hooks=hooks)


load_irnet = partial(load_network, kind=IRNet)
"""A trained IRNet from its folder, in evaluation mode; :class:`~torchbas.errors.InputError` where there is none."""


def _measure_displacement(pairs: Pairs, workers: int, fabric: Fabric, trained: TrainedModel[Any]) -> None:
    """The mean displacement over the photos, which the losses leave open."""
    net = trained.model.eval()
    total = torch.zeros(2)
    photos = [photo for photo, _ in pairs[fabric.global_rank :: fabric.world_size]]
    for one in boundaries_of(net, photos, workers=workers, precision=fabric.autocast):
        total += torch.from_numpy(one.displacement).mean(dim=(1, 2))
    total = torch.as_tensor(fabric.all_reduce(total, reduce_op="sum")).to(fabric.device)
    net.mean_displacement += total / len(pairs)
