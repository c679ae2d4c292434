"""Training of a network from its start to a saved model: methods, IRN's boundary network, segmenters."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..cards import CARD
from ..config import Training
from ..errors import InputError
from ..methods.trained import TrainedModel
from .checkpoint import CHECKPOINT, read_checkpoint
from .fabric import Fabric, make_fabric, with_batch_statistics_shared
from .loop import Hooks, Loader, fit


def _nothing(*_: object) -> None:
    """Default of :attr:`torchbas.training.train.Task.finish`."""


@dataclass(frozen=True)
class Task:
    """What differs between trainings; :func:`torchbas.training.train.train` does the rest."""

    training: Training
    fingerprint: str
    """Of settings and data: a checkpoint and a finished model must agree with it to be resumed."""
    build: Callable[[], TrainedModel[Any]]
    """The network before its first step, with all that its card needs. Called when the random generator is seeded."""
    loader: Callable[[Fabric, TrainedModel[Any]], Loader]
    """This process's share of the batches."""
    load: Callable[[Path], TrainedModel[Any]]
    """Read a finished model from its folder."""
    setup: Callable[[Fabric, TrainedModel[Any]], None] = _nothing
    """Called when the network is on its device, before the first batch: freezes layers, for example."""
    finish: Callable[[Fabric, TrainedModel[Any]], None] = _nothing
    """Called after the last step, before saving."""
    leftovers: tuple[str, ...] = ()
    """Files in the run's folder that are removed at the end."""
    unused_parameters: bool = False
    """Some parameters get no gradient in some steps."""


class Trainee(nn.Module):
    """A network's ``losses`` as ``forward``, because DDP only synchronizes gradients of what goes through it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Any, step: int) -> dict[str, Tensor]:
        network: Any = self.network
        return network.losses(batch, step)


def train(
    task: Task,
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    hooks: Callable[[TrainedModel[Any]], Hooks] = lambda _: Hooks(),
) -> TrainedModel[Any]:
    """Train, and save the model into ``out``; with ``resume`` go on from a checkpoint there, bit for bit.

    Args:
        hooks: makes the callbacks from the untrained model, when all that was given is found to be good and before
            anything is written.

    Raises:
        InputError: ``out`` holds a model or checkpoint of other settings; see :func:`torchbas.training.loop.fit`.
        Interrupted: stopped by the user; ``resume`` goes on.
    """
    if resume and (done := _finished(task, out)):
        return done
    training = task.training
    fabric = make_fabric(device, training.precision, unused_parameters=task.unused_parameters)
    fabric.seed_everything(training.seed, verbose=False)
    trained = task.build()
    network = with_batch_statistics_shared(trained.model.to(fabric.device), fabric)
    if training.steps != 0:
        task.setup(fabric, trained)
    if training.channels_last:
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if resume and (checkpoint := out / CHECKPOINT).exists():
        read_checkpoint(checkpoint, task.fingerprint)
    chosen = hooks(trained)
    if training.steps != 0:
        if fabric.is_global_zero:
            out.mkdir(parents=True, exist_ok=True)
        loader = task.loader(fabric, trained)
        fit(
            fabric,
            Trainee(network),
            loader,
            training,
            out,
            resume=resume,
            fingerprint=task.fingerprint,
            hooks=chosen,
            new=network.new_layers,
        )
    task.finish(fabric, trained)
    if fabric.is_global_zero:
        trained.save(out)
        for leftover in (*task.leftovers, CHECKPOINT):
            (out / leftover).unlink(missing_ok=True)
    return trained


def _finished(task: Task, out: Path) -> TrainedModel[Any] | None:
    """The model of a training that a stopped command had already completed."""
    if not (out / CARD).is_file():
        return None
    done = task.load(out)
    if done.fingerprint != task.fingerprint:
        raise InputError(f"{out} holds a model of other settings or data; give the same, or --overwrite to restart.")
    return done
