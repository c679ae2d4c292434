"""Synchronizations: how often the host waits for the device in training and localizing, and where it is told to.

Of a step there should be none but that of the log, once in ten steps; of a batch of photos a few, for its results.
"""

import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from gpu_learn import shortened
from gpu_place import Place
from gpu_segment import few, pairs
from predict import network

import torchbas
from torchbas import recipes
from torchbas.api import Compute
from torchbas.config import IRN_TRAINING, Inference
from torchbas.inference.localizer import Localizer
from torchbas.training.loop import Hooks
from torchbas.training.recipe import train_recipe
from torchbas.wsss.irn.train import train_irnet

SAID = "called a synchronizing CUDA operation"
FROM, TO = 10, 20
"""Steps between which they are counted: one window of the log."""
PACKAGE = Path(torchbas.__file__).parent
SHOWN = 4
"""Places that are shown."""


class Counted:
    """Synchronizations by the line of this package that asked for them."""

    def __init__(self) -> None:
        self.places: Counter[str] = Counter()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Torch's warnings are heard; :func:`torch.cuda.set_sync_debug_mode` makes them come."""
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = self.hear
            yield

    def hear(self, message: Any, *_: Any, **__: Any) -> None:
        if SAID in str(message):
            own = [one for one in traceback.extract_stack() if Path(one.filename).is_relative_to(PACKAGE)]
            place = f"{Path(own[-1].filename).relative_to(PACKAGE)}:{own[-1].lineno}" if own else "elsewhere"
            self.places[place] += 1

    @property
    def metrics(self) -> dict[str, float]:
        """All of them, and the most frequent places."""
        return {"synchronizations": self.places.total(), **dict(self.places.most_common(SHOWN))}


def hooks(counted_from: int = FROM, counted_to: int = TO) -> Hooks:
    """Let torch warn between two steps."""

    def at(step: int) -> None:
        if step in (counted_from, counted_to):
            torch.cuda.synchronize()
            torch.cuda.set_sync_debug_mode("warn" if step == counted_from else "default")

    return Hooks(every={1: at})


def training(place: Place, name: str) -> dict[str, float]:
    """Synchronizations in ten steps of a recipe, those of the log included."""
    chosen = shortened(recipes.load(name), place)
    chosen = replace(chosen, training=replace(chosen.training, steps=TO + 2, epochs=100))
    counted, how = Counted(), {"weights": False, "device": place.device, "workers": place.workers}
    with counted.listening():
        train_recipe(place.photos(), chosen, place.folder / f"sync_{name}", hooks=lambda _: hooks(), **how)
    return counted.metrics


def irnet(place: Place) -> dict[str, float]:
    """The same of IRN's boundary network."""
    counted, settings = Counted(), replace(few(place, IRN_TRAINING), steps=TO + 2)
    how: dict[str, Any] = {"weights": False, "device": place.device, "workers": place.workers}
    with counted.listening():
        train_irnet(pairs(place), settings, place.folder / "sync_irnet", hooks=lambda _: hooks(), **how)
    return counted.metrics


def localizing(place: Place) -> dict[str, float]:
    """Synchronizations in one batch of 16 photos, with a known tag each, after a first one."""
    drawn, counted = place.photos(), Counted()
    model = network("mobilenetv1", len(drawn.classes), False).to(place.device)
    localizer = Localizer(model, drawn.classes, 256, 224, Inference(threshold=0.1))

    def progress(batches: Iterable[Any], _: int) -> Iterator[Any]:
        for number, batch in enumerate(batches):
            torch.cuda.set_sync_debug_mode("warn" if number == 1 else "default")
            yield batch

    try:
        with counted.listening():
            context = Compute(place.device).context()
            train = drawn.only("train")
            two = replace(train, samples=train.samples[:48])
            list(localizer.stream(two, precision=context, progress=progress, batch_size=16))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return counted.metrics
