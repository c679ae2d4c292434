"""One loop for every trainable thing: whatever turns a batch into named losses can be trained, killed and resumed.

All randomness of the data comes from (seed, epoch, photo), and that of the network from (seed, epoch, batch, process):
a checkpoint needs the position, the weights and the optimiser to continue bit for bit.
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
from lightning.fabric import Fabric
from torch import Tensor, nn

from ..config import Training
from ..errors import InputError, Interrupted
from .journal import Entry, Journal
from .optim import learning_rate, sgd

CHECKPOINT = "checkpoint.pt"


class Task(Protocol):
    """A module that answers a batch with its weighted losses by name; their sum is minimised."""

    def __call__(self, batch: Any, step: int) -> dict[str, Tensor]: ...


@runtime_checkable
class Loader(Protocol):
    """Batches of an epoch from any position on, the same ones every time."""

    def __len__(self) -> int: ...

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass
class Position:
    """Where a run stands: ``step`` optimiser steps done, next is ``batch`` of ``epoch``."""

    step: int = 0
    epoch: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Hooks:
    """What the caller wants to hear of."""

    on_step: Callable[[int, int, dict[str, float]], None] = lambda *_: None
    """Told step, number of steps and the latest losses, every few steps."""
    on_epoch: Callable[[Position], None] = lambda _: None
    """Told the position after each epoch, the first of the next one."""
    every: dict[int, Callable[[int], None]] = field(default_factory=dict)
    """Call something each n steps, for measuring while training."""


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
        Diverged: the loss is NaN or infinite; names step, epoch and batch. The last checkpoint is still good.
        InputError: there is no batch; the checkpoint belongs to other settings, or cannot be written.
    """
    if not len(loader):
        raise InputError("There are fewer training photos than processes; add photos, or start fewer processes.")
    fabric.to_device(module)  # first, for the optimiser keeps its state where it finds the weights
    wrapped, optimizer = fabric.setup(module, sgd(module, training, new))
    run = _Run(fabric, wrapped, optimizer, loader, training, out, fingerprint, hooks)
    return run.go(resume)


@dataclass
class _Run:
    """One training, from whatever position it stands at to its end."""

    fabric: Fabric
    module: Any
    optimizer: Any
    loader: Loader
    training: Training
    out: Path
    fingerprint: str
    hooks: Hooks
    position: Position = field(default_factory=Position)

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.loader) / self.training.accumulate)

    @property
    def steps(self) -> int:
        return self.training.steps or self.steps_per_epoch * self.training.epochs

    def go(self, resume: bool) -> int:
        if resume:
            self.restore()
        here, first = self.position, self.fabric.is_global_zero
        if here.step == self.steps:
            return here.step
        average = self.fabric.all_reduce
        with _signals() as stopped, Journal(self.out, here.step, enabled=first, average=average) as self.journal:
            self.module.train()
            while here.step < self.steps:
                for _ in self.epoch():
                    if self.agree_to_stop(stopped):
                        self.save()
                        raise Interrupted(f"Stopped after step {here.step} of {self.steps}; all of it is saved.")
                    if here.step % self.training.save_every == 0:
                        self.save()
            self.save()
        return here.step

    def epoch(self) -> Iterator[int]:
        """The rest of the epoch; yields between two optimiser steps, when weights and position agree."""
        here, at_once, total = self.position, self.training.accumulate, len(self.loader)
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
                entry, losses = Entry(here.step + 1, here.epoch, number, losses), {}
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
        """What is random in the network, such as dropout, depends on its place in the training only."""
        place = (self.training.seed, epoch, batch, self.fabric.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))

    def step(self) -> None:
        rate = learning_rate(self.training, self.position.step, self.steps_per_epoch, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        if self.training.clip is not None:
            self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=self.training.clip, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def report(self, entry: Entry) -> None:
        latest = self.journal.record(entry)
        if latest:
            self.hooks.on_step(entry.step, self.steps, latest)
        for interval, call in self.hooks.every.items():
            if entry.step % interval == 0:
                self.module.eval()
                call(entry.step)
                self.module.train()

    def agree_to_stop(self, stopped: list[int]) -> bool:
        """Several processes must stop after the same step, so they ask each other, now and then."""
        if self.fabric.world_size == 1:
            return bool(stopped)
        if self.position.step % self.journal.window:
            return False
        return bool(self.fabric.all_reduce(torch.tensor(float(len(stopped))), reduce_op="sum"))

    def save(self) -> None:
        """Write the checkpoint, whole or not at all; a loss that is no number never reaches it."""
        self.journal.flush()
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "position": vars(self.position),
            "fingerprint": self.fingerprint,
        }
        if self.fabric.is_global_zero:
            partial = self.out / (CHECKPOINT + ".partial")
            try:
                torch.save(state, partial)
            except (OSError, RuntimeError) as error:
                partial.unlink(missing_ok=True)
                raise InputError(f"{partial} cannot be written; make room on the disk and --resume.") from error
            partial.replace(self.out / CHECKPOINT)
        self.fabric.barrier()

    def restore(self) -> None:
        path = self.out / CHECKPOINT
        if not path.exists():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["fingerprint"] != self.fingerprint:
            raise InputError(f"{path} was made with other settings or data; give the same, or --overwrite to restart.")
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.position = Position(**state["position"])


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM instead of dying, so that the step at hand can be finished and saved."""
    received: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()  # no other may handle signals
    watched = (signal.SIGINT, signal.SIGTERM) if in_main else ()
    before = [signal.signal(number, lambda number, _: received.append(number)) for number in watched]
    try:
        yield received
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)
