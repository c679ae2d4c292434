"""From tags to a segmenter on a device: IRN's boundary network, DeepLabV2, and the whole pipeline."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu_learn import CACHED_STEPS, STEPS, Clock, losses, recipe
from gpu_place import Place

from torchbas import recipes
from torchbas.api import Compute
from torchbas.api.segment import segment
from torchbas.config import IRN_TRAINING, SEGMENTER_TRAINING, Training
from torchbas.wsss.irn.train import train_irnet
from torchbas.wsss.segmenter.train import train_segmenter
from torchbas.wsss.setup import InitialWeights

CROP = 97
"""Side of the crops of a small place."""


def pairs(place: Place) -> list[tuple[Path, Path]]:
    """Drawn photos and their masks."""
    return [(one.path, one.mask) for one in place.photos().only("train").samples if one.mask is not None]


def few(place: Place, training: Training) -> Training:
    """Some steps of a training; smaller where the place is."""
    small = {"batch_size": 2, "resize": CROP, "crop": CROP} if place.small else {}
    return replace(training, epochs=100, steps=2 if place.small else STEPS, save_every=1000, **small)


def irnet(place: Place) -> dict[str, float]:
    """Losses and milliseconds of a step of IRN's boundary network."""
    clock, out = Clock(place), place.folder / "irnet"
    how: dict[str, Any] = {"weights": False, "device": place.device, "workers": place.workers, "hooks": clock.hooks}
    train_irnet(pairs(place), few(place, IRN_TRAINING), out, **how)
    return {"steps": len(clock.times), "ms_per_step": clock.ms} | losses(out) | place.peak_mb()


def deeplab(place: Place) -> dict[str, float]:
    """Losses and milliseconds of a step of the segmenter."""
    clock, out = Clock(place), place.folder / "segmenter"
    network = "deeplabv2_tiny" if place.small else "deeplabv2_resnet101"
    how: dict[str, Any] = {"weights": False, "device": place.device, "workers": place.workers, "hooks": clock.hooks}
    how |= {"network": network, "initialization": "none"}
    train_segmenter(pairs(place), place.photos().classes, few(place, SEGMENTER_TRAINING), out, **how)
    return {"steps": len(clock.times), "ms_per_step": clock.ms} | losses(out) | place.peak_mb()


def pipeline(place: Place) -> dict[str, float]:
    """mIoU in percent of every stage of ``quick_segment`` after a few steps each, single objects included."""
    chosen, run = recipes.load("quick_segment"), place.folder / "run_quick_segment"
    if not run.is_dir():
        recipe(place, "quick_segment")
    settings = chosen.segmentation
    steps = {"steps": 2 if place.small else CACHED_STEPS, "epochs": 100}
    small = {"batch_size": 2, "resize": CROP, "crop": CROP} if place.small else {}
    settings = replace(
        settings,
        irn=replace(settings.irn, **steps, **small),
        segmenter=replace(settings.segmenter, **steps, **small),
        segmenter_network="deeplabv2_tiny" if place.small else settings.segmenter_network,
        scales=(1.0, 0.5),
    )
    samples = place.photos()
    held_out = [replace(one, split="val") if one.split == "test" else one for one in samples.samples]
    held_out = held_out[:: 3 if place.small else 1]
    scores = segment(
        replace(samples, samples=tuple(held_out)),
        place.folder / "segmented",
        [run],
        recipe=replace(chosen, segmentation=settings),
        objects="instances",
        weights=InitialWeights(False, False, "none"),
        compute=Compute(place.device, place.workers),
    )
    return {f"{stage}_miou": round(score["miou"], 1) for stage, score in scores.items() if score}
