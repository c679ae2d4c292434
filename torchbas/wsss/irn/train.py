"""Training of IRNet on photos and their confident labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...config import Training
from ...data.pairs import pair_loader
from ...io import stable_hash
from ...methods.trained import TrainedModel
from ...model.weights import normalization
from ...training.fabric import Fabric
from ...training.loop import Hooks, Loader
from ...training.train import Task, train
from .network import BACKBONE, IRNet, boundaries_of

Pairs = Sequence[tuple[Path, Path]]
"""Files of photos and of their label maps."""


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
    work = _Work(pairs, training, backbone, weights, workers, fingerprint)
    task = Task(training, fingerprint, work.build, work.loader, load_irnet, finish=work.finish)
    return train(task, out, device=device, resume=resume, hooks=hooks)


def load_irnet(folder: str | Path) -> TrainedModel[IRNet]:
    """A trained IRNet, in evaluation mode.

    Raises:
        InputError: none there, or a damaged one.
    """
    trained = TrainedModel.load(folder, {IRNet.name: IRNet})
    trained.model.eval()
    return trained


@dataclass(frozen=True)
class _Work:
    pairs: Pairs
    training: Training
    backbone: str
    weights: bool | str | Path
    workers: int
    fingerprint: str

    def build(self) -> TrainedModel[IRNet]:
        net = IRNet(self.backbone, self.weights, normalization(self.backbone, self.weights))
        sizes = self.training.resize, self.training.crop
        return TrainedModel(net, ("boundary",), *sizes, fingerprint=self.fingerprint)

    def loader(self, fabric: Fabric, _: TrainedModel[Any]) -> Loader:
        training = self.training
        return pair_loader(
            self.pairs,
            training.batch_size,
            training.seed,
            crop=training.crop,
            workers=self.workers,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
        )

    def finish(self, fabric: Fabric, trained: TrainedModel[Any]) -> None:
        """Measure the mean displacement over the photos, which the losses leave open."""
        net = trained.model.eval()
        total = torch.zeros(2)
        photos = [photo for photo, _ in self.pairs[fabric.global_rank :: fabric.world_size]]
        for one in boundaries_of(net, photos, workers=self.workers, precision=fabric.autocast):
            total += torch.from_numpy(one.displacement).mean(dim=(1, 2))
        total = torch.as_tensor(fabric.all_reduce(total, reduce_op="sum")).to(fabric.device)
        net.mean_displacement += total / len(self.pairs)
