"""Training loop of any module that maps a batch to losses by name; resumable bit for bit after a kill.

All randomness of the data comes from (seed, epoch, photo), and that of the network from (seed, epoch, batch, process):
a checkpoint needs the trainer state, the weights and the optimizer to continue bit for bit.
"""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from ..config import Training
from ..errors import CALMER, Diverged, InputError, Interrupted
from ..model.pretrained import not_finite
from .checkpoint import CHECKPOINT, Checkpoint, TrainerState, damaged, read_checkpoint, write_checkpoint
from .fabric import Fabric
from .logger import LogEntry, TrainingLogger
from .optim import build_optimizer, learning_rate


@runtime_checkable
class Loader(Protocol):
    """Batches of an epoch from any position on, the same ones every time."""

    def __len__(self) -> int: ...

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Hooks:
    """Callbacks of a training."""

    on_step: Callable[[int, int, dict[str, float]], None] = lambda *_: None
    """Gets the step, the number of steps and the latest losses by name, after the first step and every ten."""
    on_epoch: Callable[[TrainerState], None] = lambda _: None
    """Gets the state after each epoch, which is at the first batch of the next one."""
    every: dict[int, Callable[[int], None]] = field(default_factory=dict)
    """Called every n steps with the step, in evaluation mode."""


def fit(
    fabric: Fabric,
    module: nn.Module,
    loader: Loader,
    training: Training,
    out: Path,
    *,
    resume: bool = False,
    fingerprint: str = "",
    hooks: Hooks = Hooks(),
    new: tuple[str, ...] = ("head", "generator"),
) -> int:
    """Train ``module`` in place and return the number of steps done.

    Writes ``out/log.csv``, TensorBoard events and, every ``save_every`` steps, ``out/checkpoint.pt``. With
    ``resume`` it goes on from there; the result is bit-identical to a run that was never stopped, where the device's
    own arithmetic is reproducible (CPUs' is).

    Raises:
        Interrupted: Ctrl-C or SIGTERM, after saving.
        Diverged: a loss is NaN or infinite (names step, epoch and batch), or a weight is. The last checkpoint is good.
        InputError: there is no batch; the checkpoint or the log is damaged, belongs to other settings, or cannot be
            written.
    """
    if not len(loader):
        raise InputError("There are fewer training photos than processes; add photos, or start fewer processes.")
    fabric.to_device(module)  # first, for the optimizer keeps its state where it finds the weights
    wrapped, optimizer = fabric.setup(module, build_optimizer(module, training, new))
    run = _Run(fabric, wrapped, optimizer, loader, training, out, fingerprint, hooks)
    return run.go(resume)


@dataclass
class _Run:
    """One training, from its current state to its end."""

    fabric: Fabric
    module: Any
    optimizer: Any
    loader: Loader
    training: Training
    out: Path
    fingerprint: str
    hooks: Hooks
    state: TrainerState = field(default_factory=TrainerState)

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.loader) / self.training.accumulate)

    @property
    def steps(self) -> int:
        steps = self.training.steps
        return self.steps_per_epoch * self.training.epochs if steps is None else steps

    @property
    def interrupted(self) -> Interrupted:
        return Interrupted(f"Stopped after step {self.state.step} of {self.steps}; all of it is saved.")

    def go(self, resume: bool) -> int:
        if resume:
            self.restore()
        here, first = self.state, self.fabric.is_global_zero
        if here.step == self.steps:
            return here.step
        average = self.fabric.all_reduce
        with _signals() as stopped, TrainingLogger(self.out, here.step, enabled=first, average=average) as self.logger:
            self.module.train()
            while here.step < self.steps:
                for _ in self.epoch():
                    if self.agree_to_stop(stopped):
                        self.save()
                        raise self.interrupted
                    if here.step % self.training.save_every == 0:
                        self.save()
            self.save()
            if stopped and self.fabric.world_size == 1:  # in the last step
                raise self.interrupted
        return here.step

    def epoch(self) -> Iterator[int]:
        """The rest of the epoch; yields between two optimizer steps, when weights and state agree."""
        here, at_once, total = self.state, self.training.accumulate, len(self.loader)
        self.loader.set_epoch(here.epoch, here.batch)
        losses: dict[str, Tensor] = {}
        for number, batch in enumerate(self.loader, start=here.batch):
            first = number - number % at_once
            shares = min(at_once, total - first)
            completes = number + 1 == first + shares
            self.seed(here.epoch, number)
            with self.fabric.no_backward_sync(self.module, enabled=not completes):
                terms = self.module(self.fabric.to_device(batch), here.step)
                terms = {name: term / shares for name, term in terms.items()}
                self.fabric.backward(torch.stack(list(terms.values())).sum())
            losses = {name: term.detach() + losses.get(name, 0) for name, term in terms.items()}
            if completes:
                self.step()
                entry, losses = LogEntry(here.step + 1, here.epoch, number, losses), {}
                ends = number + 1 == total
                here.step += 1
                here.epoch, here.batch = (here.epoch + 1, 0) if ends else (here.epoch, number + 1)
                self.report(entry)
                if ends:
                    self.hooks.on_epoch(here)
                if here.step == self.steps:
                    return
                yield here.step

    def seed(self, epoch: int, batch: int) -> None:
        """Seed dropout and whatever else is random in the network by the place in the training alone."""
        place = (self.training.seed, epoch, batch, self.fabric.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))

    def step(self) -> None:
        rate = learning_rate(self.training, self.state.step, self.steps_per_epoch, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        if self.training.clip is not None:
            self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=self.training.clip, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def report(self, entry: LogEntry) -> None:
        latest = self.logger.record(entry)
        if latest:
            self.hooks.on_step(entry.step, self.steps, latest)
        for interval, call in self.hooks.every.items():
            if entry.step % interval == 0:
                self.module.eval()
                call(entry.step)
                self.module.train()

    def agree_to_stop(self, stopped: list[int]) -> bool:
        """Whether to stop; several processes must stop after the same step, so they compare once a window."""
        if self.fabric.world_size == 1:
            return bool(stopped)
        if self.state.step % self.logger.window:
            return False
        return bool(self.fabric.all_reduce(torch.tensor(float(len(stopped))), reduce_op="sum"))

    def save(self) -> None:
        """Write the checkpoint atomically, after the losses up to here and the weights were found finite."""
        self.logger.flush()
        weights = self.module.state_dict()
        if name := not_finite(weights):
            raise Diverged(f"{name} is no number any more after step {self.state.step}; {CALMER}")
        content: Checkpoint = {
            "module": weights,
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "state": vars(self.state),
            "fingerprint": self.fingerprint,
        }
        if self.fabric.is_global_zero:
            write_checkpoint(self.out / CHECKPOINT, content)
        self.fabric.barrier()

    def restore(self) -> None:
        path = self.out / CHECKPOINT
        if not path.exists():
            return
        content, state = read_checkpoint(path, self.fingerprint)
        try:
            self.module.load_state_dict(content["module"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.fabric.strategy.precision.load_state_dict(content["precision"])
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise damaged(path, error) from error
        self.state = state


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of ending the process, so that the current step is finished and saved."""
    received: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()  # no other may handle signals
    watched = (signal.SIGINT, signal.SIGTERM) if in_main else ()
    before = [signal.signal(number, lambda number, _: received.append(number)) for number in watched]
    try:
        yield received
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)
