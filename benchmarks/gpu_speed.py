"""Speed on a GPU: matrix products, a training step of BAS, localizing."""

import time
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from gpu_place import Place
from predict import CROP, RESIZE, autocast, network
from step import LAYOUTS, flops, prepare

from torchbas.api import Compute
from torchbas.config import Inference
from torchbas.inference.localizer import Localizer
from torchbas.structures import Dataset

BATCH = 32
LARGE = 8192
"""Rows and columns of the matrices of a peak."""
KINDS = {"bf16": (torch.bfloat16, False), "tf32": (torch.float32, True), "fp32": (torch.float32, False)}
"""Type of a matrix product, and whether TF32 is allowed."""
PEAK_OF = {"naive": "tf32", "fp32": "tf32", "bf16": "bf16", "bf16_benchmark": "bf16"}
"""The peak that a variant's share is of: torch lets convolutions in fp32 use TF32, as long as nobody forbids it."""
COPIES = 48
"""How often each drawn photo is localized in."""


@cache
def peak(place: Place, kind: str) -> float:
    """Floating-point operations a second of one large matrix product."""
    dtype, tf32 = KINDS[kind]
    side = 256 if place.small else LARGE
    one, other = (torch.randn(side, side, device=place.device, dtype=dtype) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        return 2 * side**3 / place.seconds(lambda: one @ other, at_least=0.5)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def matmul(place: Place) -> dict[str, float]:
    """Tera-operations a second by type."""
    return {f"{kind}_tflops": round(peak(place, kind) / 1e12, 1) for kind in KINDS}


def step_of(place: Place, backbone: str) -> dict[str, float]:
    """Images a second, share of the peak and MB of a step, by variant; how often the naive form's time goes into ours.

    ``bf16_benchmark`` is ours with cuDNN's search for the fastest convolutions.
    """
    batch, side, changes = (2, 48, {"hidden": 16}) if place.small else (BATCH, 224, {})
    how = {"device": place.device, "side": side, **changes}
    metrics: dict[str, float] = {}
    operations = flops(prepare("fp32", place.backbone(backbone), batch, LAYOUTS["fp32"], **how)[1])
    seconds = {}
    for variant in (*LAYOUTS, *(["bf16_benchmark"] if place.on_gpu else [])):
        kind = variant.partition("_")[0]
        place.clear()
        torch.backends.cudnn.benchmark = variant.endswith("benchmark")
        try:
            step = prepare(kind, place.backbone(backbone), batch, LAYOUTS[kind], **how)[2]
            seconds[variant] = place.seconds(step)
        finally:
            torch.backends.cudnn.benchmark = False
        metrics[f"{variant}_images_per_second"] = round(batch / seconds[variant], 1)
        if place.on_gpu:
            share = operations / seconds[variant] / peak(place, PEAK_OF[variant])
            metrics[f"{variant}_percent_of_peak"] = round(100 * share, 1)
        metrics |= {f"{variant}_{name}": value for name, value in place.peak_mb().items()}
    for variant in [name for name in seconds if name != "naive"]:
        metrics[f"naive_over_{variant}"] = round(seconds["naive"] / seconds[variant], 3)
    return metrics


def predict(place: Place, backbone: str) -> dict[str, float]:
    """Images a second of the network alone, and of photo files to boxes and masks, with and without its processes."""
    resize, crop = (64, 48) if place.small else (RESIZE, CROP)
    drawn = place.photos(size=400, each=4)
    few = drawn.only("train").samples[: 4 if place.small else None]
    copies = [replace(one, name=f"{i}/{one.name}") for i in range(1 if place.small else COPIES) for one in few]
    samples = Dataset(drawn.root, drawn.classes, tuple(copies))
    model = network(place.backbone(backbone), len(drawn.classes), False).to(place.device).eval()
    localizer = Localizer(model, drawn.classes, resize, crop, Inference(threshold=0.1))
    metrics: dict[str, float] = {}
    for batch in (2,) if place.small else (16, 64):
        images = torch.randn(batch, 3, resize, resize, device=place.device)
        images = images.contiguous(memory_format=torch.channels_last)
        target = torch.zeros(batch, dtype=torch.long, device=place.device)
        for precision in ("fp32", "bf16"):
            alone = partial(_forward, model, images, target, precision, place.device)
            metrics[f"{precision}_batch{batch}_network_per_second"] = round(batch / place.seconds(alone), 1)
    ways: dict[str, Any] = {"": {}, "_image_specific": {"threshold": "image_specific"}, "_crf": {"refine": ("crf",)}}
    metrics["photos"] = len(copies)
    for workers in dict.fromkeys((0, place.workers)):
        for way, changes in ways.items() if workers == place.workers else [("", {})]:
            ready = replace(localizer, inference=replace(localizer.inference, **changes))
            some = replace(samples, samples=samples.samples[: len(few) * (COPIES if workers and not changes else 8)])
            context = Compute(place.device).context()
            list(ready.stream(replace(some, samples=some.samples[:2]), precision=context))
            start = time.perf_counter()
            list(ready.stream(some, workers=workers, precision=context))
            rate = len(some.samples) / (time.perf_counter() - start)
            metrics[f"stream_workers{workers}{way}_per_second"] = round(rate, 1)
    return metrics


@torch.inference_mode()
def _forward(model: Any, images: torch.Tensor, target: torch.Tensor, precision: str, device: str) -> None:
    with autocast(precision, device):
        encoded = model.encode(images)
        _ = encoded.logits, model.heatmaps(encoded, target, Inference())
