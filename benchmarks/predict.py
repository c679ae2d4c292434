"""From photo files to boxes and masks: photos per CPU second, and the share of each stage.

python benchmarks/predict.py mobilenetv1 resnet50

The classifier's head and the generator are random here: they cost the same, whatever they have learned.
"""

import argparse
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import torch
from charts import bars
from record import RESULTS, data_fingerprint, data_folder, record

from torchbas import data
from torchbas.config import Architecture, Inference
from torchbas.data.loader import SampleViews
from torchbas.inference import localize, localizer
from torchbas.inference.localizer import Localizer
from torchbas.inference.thresholds import CANDIDATES
from torchbas.methods.bas import BASMethod
from torchbas.model import Generator
from torchbas.structures import Dataset

RESIZE, CROP = 256, 224
NORMALIZATION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
WEIGHTS = {"mobilenetv1": "mobilenetv1_imagenet_fp16.pth", "resnet50": "resnet50_imagenet_fp16.pth"}
THRESHOLDS = (0.1, "auto", "image_specific")
PRECISIONS = ("fp32", "bf16")
STAGES: tuple[tuple[Any, str, str], ...] = (
    (SampleViews, "__getitem__", "decode + view"),
    (BASMethod, "features", "f1"),
    (BASMethod, "class_maps", "f2 + head"),
    (Generator, "of", "generator"),
    (localize, "choose_thresholds", "threshold, bas_ratio"),
    (localizer, "_localizations", "upsample, components, RLE"),
)
"""Function by owner and name, and the stage that it belongs to."""


class Stopwatch:
    """CPU seconds of each stage. What a stage calls of another one counts there only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.thread = threading.local()

    def watch(self, owner: Any, name: str, stage: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            outer, self.thread.inner = getattr(self.thread, "inner", 0.0), 0.0
            start = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                taken = time.thread_time() - start
                self.seconds[stage] += taken - self.thread.inner
                self.thread.inner = outer + taken

        setattr(owner, name, timed)

    def run(self, task: Callable[[], Any]) -> dict[str, float]:
        """Seconds by stage, what belongs to none, and all of it."""
        self.seconds.clear()
        start = time.process_time()
        task()
        total = time.process_time() - start
        stages = {stage: self.seconds[stage] for _, _, stage in STAGES}
        return stages | {"rest": total - sum(stages.values()), "total": total}


def network(backbone: str, classes: int, weights: bool | Path) -> BASMethod:
    """A method of the paper's architecture, whose head and generator are random."""
    torch.manual_seed(0)
    return BASMethod.build(Architecture(backbone=backbone), classes, weights, NORMALIZATION)


def autocast(precision: str, device: str = "cpu") -> Any:
    """A context to run a network in, ``fp32`` or ``bf16``."""
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")


def measure(ready: Localizer, samples: Dataset, precision: str, stopwatch: Stopwatch) -> dict[str, float]:
    def predict() -> None:
        for _ in ready.stream(samples, precision=partial(autocast, precision)):
            pass

    return stopwatch.run(predict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="+", choices=WEIGHTS)
    parser.add_argument("--photos", type=int, default=200)
    words = parser.parse_args()
    torch.set_num_threads(1)
    birds = data.read(data_folder() / "cub25").only("test")
    samples = Dataset(birds.root, birds.classes, birds.samples[: words.photos])
    few = Dataset(birds.root, birds.classes, birds.samples[:16])
    stopwatch = Stopwatch()
    for stage in STAGES:
        stopwatch.watch(*stage)
    drawn: dict[str, dict[str, float]] = {}
    for backbone in words.backbones:
        start, metrics, shares = time.monotonic(), {}, {}
        model = network(backbone, len(birds.classes), data_folder() / "weights" / WEIGHTS[backbone])
        for precision in PRECISIONS:
            for threshold in THRESHOLDS:
                ready = Localizer(model, birds.classes, RESIZE, CROP, Inference(threshold=threshold))
                measure(ready, few, precision, stopwatch)
                seconds = measure(ready, samples, precision, stopwatch)
                total = seconds.pop("total")
                name = f"{precision}_{'fixed' if isinstance(threshold, float) else threshold}"
                metrics[f"{name}_photos_per_second"] = round(len(samples.samples) / total, 2)
                shares[name] = {stage: round(100 * share / total, 1) for stage, share in seconds.items()}
                milliseconds = {stage: 1000 * value / len(samples.samples) for stage, value in seconds.items()}
                print(backbone, name, metrics[f"{name}_photos_per_second"], milliseconds, flush=True)
                if name in ("bf16_fixed", "bf16_image_specific"):
                    drawn[f"{backbone}, {name.removeprefix('bf16_')}"] = milliseconds
        record(
            "speed",
            f"predict_{backbone}",
            data=f"cub25, {data_fingerprint([sample.name for sample in samples.samples])}",
            recipe=f"{backbone}, {len(birds.classes)} classes, random head and generator, channels_last",
            protocol=f"known tags, {RESIZE} pixels, batches of 16, CPU seconds of 1 thread, nothing in parallel",
            split=f"test, {len(samples.samples)} photos",
            threshold={"fixed": THRESHOLDS[0], "auto": "half of Otsu's", "image_specific": f"{CANDIDATES} candidates"},
            metrics=metrics,
            percent_of_cpu_seconds=shares,
            seed=0,
            seconds=round(time.monotonic() - start),
        )
    bars(
        RESULTS / "speed" / "predict.png",
        drawn,
        xlabel="CPU milliseconds per photo (one thread, bf16)",
        title="CPU time by stage",
    )


if __name__ == "__main__":
    main()
