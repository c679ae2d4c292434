"""Training of a network on photos and their label maps: IRN's boundary network, segmenters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from ..config import Training
from ..data.pairs import pair_loader
from ..methods.trained import TrainedModel
from ..training.fabric import Fabric
from ..training.loop import Loader
from ..training.train import Task

Pairs = Sequence[tuple[Path, Path]]
"""Files of photos and of their label maps: 0 background, n the n-th class, 255 ignore."""
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class PairTraining:
    """What differs between trainings on pairs; of the views of ``training`` its ``crop`` counts."""

    pairs: Pairs
    training: Training
    fingerprint: str
    workers: int
    classes: tuple[str, ...]
    """Of the model card."""
    make: Callable[[], nn.Module]
    """The network before its first step."""
    augmentation: Callable[[Any], dict[str, Any]] = lambda _: {}
    """Of the network: arguments of :func:`~torchbas.data.pairs.pair_loader`."""

    def task(self, load: Callable[[Path], TrainedModel[Any]], **more: Any) -> Task:
        """The task, with ``more`` of its fields."""
        return Task(self.training, self.fingerprint, self._build, self._loader, load, **more)

    def _build(self) -> TrainedModel[Any]:
        sizes = self.training.resize, self.training.crop
        return TrainedModel(self.make(), self.classes, *sizes, fingerprint=self.fingerprint)

    def _loader(self, fabric: Fabric, trained: TrainedModel[Any]) -> Loader:
        training, rank, world_size = self.training, fabric.global_rank, fabric.world_size
        own = {"crop": training.crop, "workers": self.workers, "rank": rank, "world_size": world_size}
        return pair_loader(self.pairs, training.batch_size, training.seed, **own, **self.augmentation(trained.model))


def load_network(folder: str | Path, kind: type[N]) -> TrainedModel[N]:
    """A trained network of a class, in evaluation mode.

    Raises:
        InputError: none there, or a damaged one.
    """
    name: Any = kind
    trained = TrainedModel.load(folder, {name.name: kind})
    trained.model.eval()
    return trained
