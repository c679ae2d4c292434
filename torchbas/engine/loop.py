"""One loop for every trainable thing: whatever turns a batch into named losses can be trained, killed and resumed.

All randomness of the data comes from (seed, epoch, photo), so a checkpoint needs the position, the weights, the
optimiser and torch's own generators to continue bit for bit.
"""

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from ..config import Training
from ..types import InputError
from .journal import Entry, Journal
from .optim import learning_rate, sgd

CHECKPOINT = "checkpoint.pt"


class Task(Protocol):
    """A module that answers a batch with its weighted losses by name; their sum is minimised."""

    def __call__(self, batch: Any, step: int) -> dict[str, Tensor]: ...


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

    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, steps, terms: None
    on_epoch: Callable[[Position], None] = lambda position: None
    every: dict[int, Callable[[int], None]] = field(default_factory=dict)
    """Call something each n steps, for measuring while training."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: the run is saved and can be resumed."""


def fit(
    fabric: Fabric,
    module: nn.Module,
    loader: Loader,
    training: Training,
    out: Path,
    *,
    resume: bool = False,
    fingerprint: str = "",
    hooks: Hooks = Hooks(),  # noqa: B008 - frozen
    new: tuple[str, ...] = ("head", "generator"),
) -> int:
    """Train ``module`` in place and return the number of steps done.

    Writes ``out/log.csv``, TensorBoard events and, every ``save_every`` steps, ``out/checkpoint.pt``. With
    ``resume`` it goes on from there; the result is bit-identical to a run that was never stopped.

    Raises:
        Interrupted: Ctrl-C or SIGTERM, after saving.
        Diverged: the loss is NaN or infinite; names step, epoch and batch. The last checkpoint is still good.
        InputError: the checkpoint belongs to other settings.
    """
    optimizer = sgd(module, training, new)
    wrapped, optimizer = fabric.setup(module, optimizer)
    per_epoch = math.ceil(len(loader) / training.accumulate)
    steps = per_epoch * training.epochs
    position = _restore(fabric, out, wrapped, optimizer, fingerprint) if resume else Position()
    with _signals() as stopped, Journal(out, position.step, enabled=fabric.is_global_zero) as journal:
        wrapped.train()
        for position.epoch in range(position.epoch, training.epochs):  # noqa: B020 - the position is what we count
            done = _epoch(fabric, wrapped, optimizer, loader, training, position, steps, per_epoch, journal, hooks)
            for _ in done:
                if position.step % training.save_every == 0:
                    journal.flush()
                    _save(fabric, out, wrapped, optimizer, position, fingerprint)
                if stopped:
                    journal.flush()
                    _save(fabric, out, wrapped, optimizer, position, fingerprint)
                    raise Interrupted(f"stopped after step {position.step} of {steps}; everything up to it is saved.")
            position.batch = 0
            hooks.on_epoch(position)
        journal.flush()
    _save(fabric, out, wrapped, optimizer, Position(position.step, training.epochs, 0), fingerprint)
    return position.step


def _epoch(
    fabric: Fabric,
    wrapped: Any,
    optimizer: Any,
    loader: Loader,
    training: Training,
    position: Position,
    steps: int,
    per_epoch: int,
    journal: Journal,
    hooks: Hooks,
) -> Iterator[int]:
    """The steps of one epoch; yields after each, when weights and position agree."""
    total = len(loader)
    loader.set_epoch(position.epoch, position.batch)
    for number, batch in enumerate(loader, start=position.batch):
        last_of_step = (number + 1) % training.accumulate == 0 or number + 1 == total
        share = training.accumulate if number < total - total % training.accumulate else total % training.accumulate
        batch = fabric.to_device(batch)
        with fabric.no_backward_sync(wrapped, enabled=not last_of_step):
            terms = wrapped(batch, position.step)
            loss = torch.stack(list(terms.values())).sum()
            fabric.backward(loss / share)
        if not last_of_step:
            continue
        rate = learning_rate(training, position.step, per_epoch, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        if training.clip is not None:
            fabric.clip_gradients(wrapped, optimizer, max_norm=training.clip, error_if_nonfinite=False)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        position.step += 1
        position.batch = number + 1
        reported = journal.record(Entry(position.step, position.epoch, number, terms))
        if reported:
            hooks.on_step(position.step, steps, reported)
        for interval, call in hooks.every.items():
            if position.step % interval == 0:
                wrapped.eval()
                call(position.step)
                wrapped.train()
        yield position.step


def _save(fabric: Fabric, out: Path, wrapped: Any, optimizer: Any, position: Position, fingerprint: str) -> None:
    generators = fabric.all_gather(torch.get_rng_state())
    state = {
        "module": wrapped.state_dict(),
        "optimizer": optimizer.state_dict(),
        "position": vars(position),
        "generators": generators.view(fabric.world_size, -1).cpu(),
        "cuda": torch.cuda.get_rng_state_all() if fabric.device.type == "cuda" else [],
        "fingerprint": fingerprint,
    }
    if fabric.is_global_zero:
        out.mkdir(parents=True, exist_ok=True)
        partial = out / (CHECKPOINT + ".partial")
        torch.save(state, partial)
        partial.replace(out / CHECKPOINT)
    fabric.barrier()


def _restore(fabric: Fabric, out: Path, wrapped: Any, optimizer: Any, fingerprint: str) -> Position:
    path = out / CHECKPOINT
    if not path.exists():
        return Position()
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["fingerprint"] != fingerprint:
        raise InputError(f"{path} was made with other settings or data; give the same ones, or --overwrite to restart.")
    wrapped.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    if len(state["generators"]) == fabric.world_size:
        torch.set_rng_state(state["generators"][fabric.global_rank])
    if state["cuda"] and fabric.device.type == "cuda":
        torch.cuda.set_rng_state_all(state["cuda"])
    return Position(**state["position"])


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM instead of dying, so that the step at hand can be finished and saved."""
    received: list[int] = []
    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: received.append(number)) for number in watched]
    try:
        yield received
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)
