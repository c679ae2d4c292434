"""Trainings on a device: recipes, methods, the probe of ``quick``, and the main job from photos to scores."""

import csv
import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from gpu_place import Failed, Place
from torch import nn

from torchbas import api, recipes
from torchbas.api import Compute
from torchbas.config import Objective, Recipe
from torchbas.data import evaluation_loader, standardize, whole_view
from torchbas.inference.localizer import Localizer
from torchbas.methods import clip_loss
from torchbas.methods.trained import TrainedModel
from torchbas.model.clip import CLIP
from torchbas.structures import Dataset
from torchbas.training import corrections
from torchbas.training.loop import Hooks
from torchbas.training.recipe import train_recipe

STEPS, CACHED_STEPS = 4, 12
"""Steps of a row; where F1's features are cached more, for a few are not worth a cache."""
FEW = {"batch_size": 4, "resize": 56, "crop": 48, "views": 1}
SLIM = {"hidden": 16, "align": False}
"""Settings of the trainings and of the networks of a small place."""
TRANSFORMER = {"backbone": "vit_tiny_patch16_224", "generator_stage": 9}
"""Network of the methods for transformers alone."""
DECAY = 1e-4
LEARNS, APART = 30, 10
"""Percent of its training photos that a probe must name correctly, by chance 17, and by how much less in bf16."""


class Clock:
    """When the steps of a training have ended."""

    def __init__(self, place: Place) -> None:
        self.place, self.times = place, list[float]()

    def __call__(self, _: int) -> None:
        self.place.wait()
        self.times.append(time.perf_counter())

    def hooks(self, _: TrainedModel[Any]) -> Hooks:
        return Hooks(every={1: self})

    @property
    def ms(self) -> float:
        """Milliseconds of a step, the median without the first; 0 of a single one."""
        taken = [1000 * (after - before) for before, after in zip(self.times, self.times[1:], strict=False)]
        return round(statistics.median(taken or [0.0]), 1)


def shortened(chosen: Recipe, place: Place) -> Recipe:
    """A few steps of a recipe, none of them of the classifier alone but the first; smaller where the place is."""
    steps = CACHED_STEPS if chosen.training.f1 == "cached" else STEPS
    training = replace(chosen.training, steps=2 if place.small else steps, save_every=1000)
    options = chosen.options
    if isinstance(options, Objective) and options.classifier_steps:
        options = replace(options, classifier_steps=1)
    chosen = replace(chosen, options=options, training=training)
    if not place.small:
        return chosen
    slim = replace(chosen.architecture, backbone=place.backbone(chosen.architecture.backbone), **SLIM)
    return replace(chosen, architecture=slim, training=replace(training, **FEW))


def recipe(place: Place, name: str) -> dict[str, float]:
    """A few steps of a built-in recipe on drawn photos from nothing, see :func:`learn`."""
    return learn(place, shortened(recipes.load(name), place), name.replace(":", "_"))


def learn(place: Place, chosen: Recipe, name: str, weights: bool | Path = False) -> dict[str, float]:
    """First and last loss, milliseconds of a step with its photos, and how many things the saved model finds.

    Raises:
        AssertionError: a map that is not finite; a loss that is not ends the training.
    """
    out, clock, samples = place.folder / f"run_{name}", Clock(place), place.photos()
    how = {"weights": weights, "device": place.device, "workers": place.workers}
    train_recipe(samples, chosen, out, hooks=clock.hooks, **how)
    metrics: dict[str, float] = {"steps": len(clock.times), "ms_per_step": clock.ms}
    return metrics | losses(out) | place.peak_mb() | {"found": localized(place, out, samples)}


def losses(out: Path) -> dict[str, float]:
    """The first and the last loss of a run.

    Raises:
        AssertionError: one is not finite.
    """
    with (out / "log.csv").open(newline="") as file:
        totals = [float(row["total"]) for row in csv.DictReader(file)]
    assert all(map(math.isfinite, totals)), "a loss is not finite"
    return {"first_loss": round(totals[0], 4), "last_loss": round(totals[-1], 4)}


def localized(place: Place, out: Path, samples: Dataset) -> int:
    """How many things a saved model finds in a few photos."""
    localizer = Localizer.load(out)
    localizer.model.to(place.device)
    test = samples.only("test")
    few = replace(test, samples=test.samples[: 2 if place.small else 6])
    found = list(localizer.stream(few, precision=Compute(place.device).context()))
    assert all(np.isfinite(one.grid).all() for one in found), "a map is not finite"
    return len(found)


def method(place: Place, name: str) -> dict[str, float]:
    """A few steps of a method on one network, see :func:`learn`; what some need first is a few steps of IRN's."""
    base = recipes.load("small")
    training = replace(base.training, lr=0.01, sharing=0.0)
    architecture = replace(base.architecture, head="linear")
    base = shortened(replace(base, architecture=architecture, training=training), place)
    if name == "sat":
        blocks: dict[str, Any] = {"backbone": "test_vit", "generator_stage": 4} if place.small else TRANSFORMER
        base = replace(base, architecture=replace(base.architecture, **blocks))
    options, weights = needs(place, name), False
    if name in ("recam", "clims", "w_ood"):
        learn(place, replace(base, method="irn", options={}), f"{name}_start")
        weights = place.folder / f"run_{name}_start"
    chosen = base if name == "bas" else replace(base, method=name, options=options)
    with drawn_clip():
        return learn(place, chosen, f"method_{name}", weights)


def needs(place: Place, name: str) -> dict[str, Any]:
    """Options that a method cannot be trained without."""
    root = place.photos().root
    return {
        "cda": {"bank": str(root / "masks")},
        "w_ood": {"ood": str(root / "test"), "clusters": 4},
        "clims": {"clip_model": "drawn"},
    }.get(name, {})


@contextmanager
def drawn_clip() -> Iterator[None]:
    """In place of a CLIP of a file one of random weights, which costs little and looks at nothing."""

    def load(_: str | Path, device: torch.device) -> CLIP:
        network = nn.Conv2d(3, 8, 4, 4).requires_grad_(False).to(device)

        def read(sentences: Any) -> torch.Tensor:
            generator = torch.Generator().manual_seed(0)
            return F.normalize(torch.randn(len(sentences), 8, generator=generator), dim=1).to(device)

        return CLIP(network, 32, (0.5,) * 3, (0.25,) * 3, lambda images: network(images).mean(dim=(2, 3)), read)

    with patch.object(clip_loss, "load_clip", load):
        yield


def probe(place: Place) -> dict[str, float]:
    """Percent of the training photos that the linear probe of ``quick`` names correctly, fit in fp32 and in bf16.

    Its penalty is nearly none here, so that on features of random weights, too, it can learn its photos by heart.

    Raises:
        Failed: it learns nothing, or less in bf16.
    """
    samples = place.photos().only("train")
    metrics = {}
    for name, precision in (("fp32", "32-true"), ("bf16", "bf16-mixed")):
        chosen = shortened(recipes.load("quick"), place)
        options = replace(chosen.options, probe_decay=DECAY)
        chosen = replace(chosen, options=options, training=replace(chosen.training, precision=precision))
        how = {"weights": False, "device": place.device}
        localizer = train_recipe(samples, chosen, place.folder / f"probe_{precision}", **how)
        metrics[f"{name}_percent"] = round(100 * named(place, localizer, samples, precision), 1)
    if metrics["fp32_percent"] < LEARNS or metrics["bf16_percent"] < metrics["fp32_percent"] - APART:
        raise Failed("it does not learn", metrics)
    return metrics


@torch.inference_mode()
def named(place: Place, localizer: Localizer, samples: Dataset, precision: str) -> float:
    """Share of the photos whose most probable class is their own."""
    model, correct = localizer.model.to(place.device).eval(), 0
    for batch in evaluation_loader(samples, partial(whole_view, size=localizer.resize), 16):
        images = standardize(batch.images.to(place.device), *model.normalization)
        with Compute(place.device, precision=precision).context()():
            correct += int((model.encode(images).logits.argmax(dim=1).cpu() == batch.target).sum())
    return correct / len(samples.samples)


def label(place: Place) -> dict[str, float]:
    """Things found by the main job with corrected boxes, those of them that were corrected, and GT-known afterwards."""
    samples = place.photos()
    train = samples.only("train")
    few = train.samples[:: 2 if place.small else 3]
    file = place.folder / "corrections.json"
    file.write_text(json.dumps(true_boxes(train, few)))
    changes = {"enlarge": "always", **({"refine": ()} if place.small else {})}
    chosen = shortened(recipes.load("quick"), place)
    chosen = recipes.with_settings(chosen, changes)
    compute = Compute(place.device, place.workers)
    with tempfile.TemporaryDirectory(dir=place.folder) as out:
        how = {"weights": False, "objects": "all", "corrected": [file], "compute": compute}
        with patch.object(corrections, "STEPS", 3 if place.small else corrections.STEPS):
            found = api.label(train, out, recipe=chosen, **how)
        assert all(np.isfinite(one.grid).all() for one in found), "a map is not finite"
        scores = api.evaluate(samples, out, ten_crop=not place.small, compute=compute)
    corrected = sum(one.method == "corrected" for one in found)
    assert corrected == len(few), f"{corrected} of {len(few)} corrected boxes went out"
    row = next(iter(scores.rows))
    return {"found": len(found), "corrected": corrected, "best_gt_known": round(scores.best(row)[1]["gt_known"], 1)}


def true_boxes(dataset: Dataset, few: Any) -> dict[str, Any]:
    """The true boxes of some photos as the gallery writes them."""
    images = [
        {"id": number, "file_name": one.name, "reviewed": [dataset.classes[label] for label in one.labels]}
        for number, one in enumerate(few)
    ]
    annotations = []
    for number, one in enumerate(few):
        x0, y0, x1, y1 = one.boxes[0]
        annotations.append({"image_id": number, "category_id": one.labels[0], "bbox": [x0, y0, x1 - x0, y1 - y0]})
    categories = [{"id": number, "name": tag} for number, tag in enumerate(dataset.classes)]
    return {"images": images, "annotations": annotations, "categories": categories}
