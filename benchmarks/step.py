"""One training step of the paper's objective, a plain implementation and ours: CPU seconds and peak memory.

python benchmarks/step.py resnet50 vgg16 mobilenetv1 inceptionv3

One thread and CPU seconds, so that other work on the machine does not count. The variants take turns; a ratio is the
median over the turns. Peak memory is what a step in a process of its own adds to the built network.
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from record import record
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from torchbas.config import Objective, Training
from torchbas.losses import objective
from torchbas.model import BAS, create_model
from torchbas.training.optim import sgd

CLASSES, SIDE = 200, 224
LAYOUTS = {"naive": torch.contiguous_format, "fp32": torch.channels_last, "bf16": torch.channels_last}
PROTOCOL = (
    "SGD step on one random batch, 1 thread. naive: deep copies of f2 and head with their gradients dropped, loops "
    "over images, all C generator filters, contiguous fp32; fp32: ours, channels_last; bf16: ours, channels_last under "
    "bf16 autocast. Seconds are CPU seconds; peak_mb is peak RSS after three steps minus RSS of the built network, MB; "
    "naive_flops_over_ours counts what the convolutions of a step multiply: the most that saved work alone can give"
)
Losses = dict[str, Tensor]


def naive_losses(model: BAS, images: Tensor, target: Tensor) -> Losses:
    """The objective as a first implementation would have it."""
    features = model.f1(images)
    class_maps = model.head(model.f2(features))
    maps = model.generator.conv(features).sigmoid()
    foreground = torch.zeros(len(images), 1, *features.shape[2:], device=images.device)
    for i, label in enumerate(target):
        foreground[i, 0] = maps[i, label]
    f2, head = copy.deepcopy(model.f2), copy.deepcopy(model.head)
    background_maps = head(f2(features.clone().detach() * (1 - foreground)))
    logits, background = class_maps.mean((2, 3)), background_maps.mean((2, 3))
    ratios = torch.zeros(len(images), device=images.device)
    for i, label in enumerate(target):
        whole, kept = logits[i, label].detach().relu(), background[i, label].relu()
        ratios[i] = kept / (whole + 1e-8) if kept <= whole else 1.0
    guided = class_maps * F.avg_pool2d(foreground, 2)
    return {
        "classify": F.cross_entropy(logits, target),
        "guide": 0.5 * F.cross_entropy(guided.mean((2, 3)), target),
        "suppress": ratios.mean(),
        "area": 1.5 * foreground.mean(),
    }


def our_losses(model: BAS, images: Tensor, target: Tensor) -> Losses:
    labels = F.one_hot(target, CLASSES).float()
    return objective(model.evidence(images, target), target, labels, Objective())


def prepare(
    variant: str,
    backbone: str,
    batch: int,
    layout: torch.memory_format,
    device: torch.device | str = "cpu",
    side: int = SIDE,
    **changes: Any,
) -> tuple[BAS, Callable[[], Losses], Callable[[], None]]:
    """The network, its losses, and a whole step; weights and batch are the same for every variant and device.

    Args:
        changes: of the architecture.
    """
    torch.manual_seed(0)
    model = create_model(backbone, CLASSES, **changes).train().to(device)
    model = model.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    model.get_parameter("head.4.bias").data.fill_(1)  # S > 0, else L_bas is a constant
    images = torch.randn(batch, 3, side, side).to(device).contiguous(memory_format=layout)
    target = torch.randint(CLASSES, (batch,)).to(device)
    if variant == "naive":
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4)
    else:
        optimizer = sgd(model, Training())

    def losses() -> Losses:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=variant == "bf16"):
            return (naive_losses if variant == "naive" else our_losses)(model, images, target)

    def step() -> None:
        torch.stack(list(losses().values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return model, losses, step


def check_same(backbone: str, batch: int) -> None:
    """Naive and ours compute the same losses and gradients.

    In naive's layout: another one rounds differently, and where a ReLU opens for that, gradients move by thousandths.
    """
    results = []
    for variant in ("naive", "fp32"):
        model, losses, _ = prepare(variant, backbone, batch, torch.contiguous_format)
        terms = losses()
        torch.stack(list(terms.values())).sum().backward()
        results.append((terms, {name: parameter.grad for name, parameter in model.named_parameters()}))
    (terms, gradients), (our_terms, our_gradients) = results
    torch.testing.assert_close(terms, our_terms, rtol=1e-5, atol=1e-6)
    for name in (next(iter(gradients)), "head.0.weight", "head.4.bias", "generator.conv.weight"):
        error = (gradients[name] - our_gradients[name]).norm() / gradients[name].norm()
        assert error < 1e-3, f"{backbone}, batch {batch}: gradients of {name} differ by {error:.1e}"


def flops_ratio(backbone: str, batch: int) -> float:
    """How much more a naive step multiplies than ours does."""
    naive, ours = (flops(prepare(variant, backbone, batch, LAYOUTS[variant])[1]) for variant in ("naive", "fp32"))
    return naive / ours


def flops(losses: Callable[[], Losses]) -> int:
    """Multiplications and additions of the losses and their gradients."""
    with FlopCounterMode(display=False) as counter:
        torch.stack(list(losses().values())).sum().backward()
    return counter.get_total_flops()


def peak(variant: str, backbone: str, batch: int) -> float:
    """MB that three steps add, measured in this process."""
    step = prepare(variant, backbone, batch, LAYOUTS[variant])[2]
    built = _megabytes("VmRSS")
    for _ in range(3):
        step()
    return _megabytes("VmHWM") - built  # getrusage's peak would include that of the parent process


def _megabytes(row: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{row}:")[1].split()[0]) / 1024


def measure(backbone: str, batch: int, repetitions: int) -> dict[str, float]:
    metrics = {}
    for variant in LAYOUTS:
        command = [sys.executable, __file__, backbone, "--peak", variant, "--batch", str(batch)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        metrics[f"{variant}_peak_mb"] = round(json.loads(printed))
    metrics["naive_flops_over_ours"] = round(flops_ratio(backbone, batch), 3)
    check_same(backbone, batch)
    steps = {variant: prepare(variant, backbone, batch, layout)[2] for variant, layout in LAYOUTS.items()}
    turns = []
    for _ in range(1 + repetitions):
        turns.append({})
        for variant, step in steps.items():
            start = time.process_time()
            step()
            turns[-1][variant] = time.process_time() - start
    for variant in LAYOUTS:
        metrics[f"{variant}_seconds"] = round(statistics.median(turn[variant] for turn in turns[1:]), 3)
    for variant in ("fp32", "bf16"):
        ratio = statistics.median(turn["naive"] / turn[variant] for turn in turns[1:])
        metrics[f"naive_over_{variant}"] = round(ratio, 3)
    return {f"batch{batch}_{name}": value for name, value in metrics.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="+")
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--peak", choices=LAYOUTS, help="print one variant's peak memory and stop")
    words = parser.parse_args()
    torch.set_num_threads(1)
    if words.peak:
        print(peak(words.peak, words.backbones[0], words.batch[0]))
        return
    for backbone in words.backbones:
        start, metrics = time.monotonic(), {}
        for batch in words.batch:
            metrics |= measure(backbone, batch, words.repetitions)
            print(backbone, json.dumps(metrics), flush=True)
        record(
            "speed",
            f"step_{backbone}",
            data="random images",
            recipe=f"{backbone}, {CLASSES} classes, {SIDE} pixels, random weights, alpha 0.5, beta 1.5, lambda 1",
            protocol=PROTOCOL,
            split=None,
            threshold=None,
            metrics=metrics,
            seed=0,
            seconds=round(time.monotonic() - start),
        )


if __name__ == "__main__":
    main()
