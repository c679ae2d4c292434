"""The same on a CPU and on another device: losses, maps, gradients; and how far bf16 is from fp32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gpu_place import Failed, Place
from predict import network
from step import CLASSES, prepare
from torch import Tensor

from torchbas.api import Compute
from torchbas.config import Inference
from torchbas.inference.localizer import Localizer

BATCH = 8
CLOSE = 1e-2
"""Relative difference in fp32 that is no rounding any more."""
GRADIENT = 0.1
"""The same of gradients: where a ReLU opens for a rounding, they jump."""


@contextmanager
def true_fp32() -> Iterator[None]:
    """Convolutions and matrix products without TF32."""
    modules: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [module.allow_tf32 for module in modules]
    for module in modules:
        module.allow_tf32 = False
    try:
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.allow_tf32 = value


def same(place: Place, backbone: str) -> dict[str, float]:
    """Largest difference over the largest value, of this device and the CPU, both in fp32; the same of TF32 and bf16
    beside this device's own fp32. Gradients: length of the difference over the length.

    Raises:
        Failed: the two are not the same.
    """
    with true_fp32():
        expected = evidence(place, backbone, "cpu", "fp32")
        own = evidence(place, backbone, place.device, "fp32")
    found = {"": (own, expected), "bf16_": (evidence(place, backbone, place.device, "bf16"), own)}
    if place.on_gpu:
        found["tf32_"] = (evidence(place, backbone, place.device, "fp32"), own)
    metrics = {
        f"{way}{name}": float(f"{(by_length if name == 'gradient' else by_largest)(one[name], other[name]):.2g}")
        for way, (one, other) in found.items()
        for name in other
    }
    for name in expected:
        if not metrics[name] < (GRADIENT if name == "gradient" else CLOSE):
            raise Failed(f"{name} differ", metrics)
    return metrics


def evidence(place: Place, backbone: str, device: str, variant: str) -> dict[str, Tensor]:
    """Foreground maps and class scores in evaluation mode, losses and gradients of a training step, on the CPU."""
    batch, side, changes = (2, 48, {"hidden": 16}) if place.small else (BATCH, 224, {})
    model, losses, _ = prepare(variant, place.backbone(backbone), batch, torch.channels_last, device, side, **changes)
    model.eval()
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(batch, 3, side, side, generator=generator).to(device)
    target = torch.randint(CLASSES, (batch,), generator=generator).to(device)
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=variant == "bf16"):
        shown = model.evidence(images, target)
    model.train()
    terms = losses()
    torch.stack(list(terms.values())).sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    found = {
        "maps": shown.foreground,
        "logits": shown.logits,
        "masked_logits": shown.logits_background,
        "losses": torch.stack(list(terms.values())).detach(),
        "gradient": torch.cat([one.flatten() for one in gradients]),
    }
    return {name: one.float().cpu() for name, one in found.items()}


def by_largest(one: Tensor, other: Tensor) -> float:
    """Largest difference over the largest value."""
    return float((one - other).abs().max() / other.abs().max())


def by_length(one: Tensor, other: Tensor) -> float:
    """Length of the difference over the length."""
    return float((one - other).norm() / other.norm())


def same_boxes(place: Place) -> dict[str, float]:
    """Localizations of a model on both: largest differences of maps, S_b / S and confidences, least IoU of masks."""
    drawn = place.photos()
    resize, crop = (64, 48) if place.small else (256, 224)
    settings = Inference(threshold=0.4, normalized=False, enlarge="always")
    model = network(place.backbone("mobilenetv1"), len(drawn.classes), False)
    localizer = Localizer(model, drawn.classes, resize, crop, settings)
    test = drawn.only("test")
    with true_fp32():
        before = list(localizer.stream(test, precision=Compute("cpu", precision="32-true").context()))
        model.to(place.device)
        after = list(localizer.stream(test, precision=Compute(place.device, precision="32-true").context()))
    bf16 = list(localizer.stream(test, precision=Compute(place.device, precision="bf16-mixed").context()))
    metrics: dict[str, float] = {"boxes": len(before)}
    for way, found in (("", after), ("bf16_", bf16)):
        firsts = {(one.name, one.label): one for one in found}
        pairs = [(one, firsts[one.name, one.label]) for one in before if (one.name, one.label) in firsts]
        metrics[f"{way}missing"] = len(before) - len(pairs)
        metrics[f"{way}maps"] = max((float(np.abs(a.grid - b.grid).max()) for a, b in pairs), default=0.0)
        metrics[f"{way}bas_ratio"] = max((abs(a.bas_ratio - b.bas_ratio) for a, b in pairs), default=0.0)
        metrics[f"{way}confidence"] = max((abs(a.confidence - b.confidence) for a, b in pairs), default=0.0)
        ious = [(a.mask & b.mask).sum() / (a.mask | b.mask).sum() for a, b in pairs]
        metrics[f"{way}least_mask_iou"] = float(min(ious, default=1.0))
    metrics = {name: float(f"{value:.4g}") for name, value in metrics.items()}
    if not metrics["maps"] < CLOSE or metrics["missing"]:
        raise Failed("what is found differs", metrics)
    return metrics
