"""From photo files to boxes and masks: photos per CPU second, and which stage takes how much of it.

python benchmarks/predict.py mobilenetv1 resnet50

The classifier's head and the generator are random here: they cost the same, whatever they have learnt.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial, wraps
from importlib import import_module
from typing import Any

import torch
from record import RESULTS, data_fingerprint, data_folder, record

from torchbas import data
from torchbas.config import Inference
from torchbas.data.loader import Photos
from torchbas.engine.judging import CANDIDATES
from torchbas.localize import localizer
from torchbas.localize.localizer import Localizer
from torchbas.model import BAS, create_model
from torchbas.types import Collection
from torchbas.viz.plots import bars

find = import_module("torchbas.localize.find")  # its own function of that name hides it
SIDE = 256
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WEIGHTS = {"mobilenetv1": "mobilenetv1_imagenet_fp16.pth", "resnet50": "resnet50_imagenet_fp16.pth"}
THRESHOLDS = (0.1, "auto", "evidence")
PRECISIONS = {"fp32": nullcontext, "bf16": partial(torch.autocast, "cpu", torch.bfloat16)}
STAGES: tuple[tuple[Any, str, str], ...] = (
    (Photos, "__getitem__", "decode + view"),
    (BAS, "features", "stem"),
    (BAS, "class_maps", "tail + head"),
    (find, "mixed_maps", "generator"),
    (find, "choose_threshold", "threshold, evidence left"),
    (localizer, "_objects", "enlarge, components, RLE"),
)


class Stopwatch:
    """CPU seconds of each stage. Stages do not nest: whatever one calls is part of it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def watch(self, owner: Any, name: str, stage: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[stage] += time.thread_time() - start

        setattr(owner, name, timed)

    def run(self, task: Callable[[], Any]) -> dict[str, float]:
        """Seconds by stage, what belongs to none, and all of it."""
        self.seconds.clear()
        start = time.process_time()
        task()
        total = time.process_time() - start
        stages = {stage: self.seconds[stage] for _, _, stage in STAGES}
        return stages | {"rest": total - sum(stages.values()), "total": total}


def measure(ready: Localizer, photos: Collection, precision: str, stopwatch: Stopwatch) -> dict[str, float]:
    def predict() -> None:
        for _ in ready.stream(photos, precision=PRECISIONS[precision]):
            pass

    return stopwatch.run(predict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="+", choices=WEIGHTS)
    parser.add_argument("--photos", type=int, default=200)
    words = parser.parse_args()
    torch.set_num_threads(1)
    birds = data.read(data_folder() / "cub25").only("test")
    photos = Collection(birds.root, birds.classes, birds.photos[: words.photos])
    few = Collection(birds.root, birds.classes, birds.photos[:16])
    stopwatch = Stopwatch()
    for stage in STAGES:
        stopwatch.watch(*stage)
    drawn: dict[str, dict[str, float]] = {}
    for backbone in words.backbones:
        start, metrics, shares = time.monotonic(), {}, {}
        torch.manual_seed(0)
        model = create_model(backbone, len(birds.classes), pretrained=data_folder() / "weights" / WEIGHTS[backbone])
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        for precision in PRECISIONS:
            for threshold in THRESHOLDS:
                ready = Localizer(model, birds.classes, MEAN, STD, SIDE, 224, Inference(threshold=threshold))
                measure(ready, few, precision, stopwatch)
                seconds = measure(ready, photos, precision, stopwatch)
                total = seconds.pop("total")
                name = f"{precision}_{'fixed' if isinstance(threshold, float) else threshold}"
                metrics[f"{name}_photos_per_second"] = round(len(photos.photos) / total, 2)
                shares[name] = {stage: round(100 * share / total, 1) for stage, share in seconds.items()}
                milliseconds = {stage: 1000 * value / len(photos.photos) for stage, value in seconds.items()}
                print(backbone, name, metrics[f"{name}_photos_per_second"], milliseconds, flush=True)
                if name in ("bf16_fixed", "bf16_evidence"):
                    drawn[f"{backbone}, {name.removeprefix('bf16_')}"] = milliseconds
        record(
            "speed",
            f"predict_{backbone}",
            data=f"cub25, {data_fingerprint([photo.name for photo in photos.photos])}",
            recipe=f"{backbone}, {len(birds.classes)} classes, random head and generator, channels_last",
            protocol=f"known tags, {SIDE} pixels, batches of 16, CPU seconds of 1 thread, nothing in parallel",
            split=f"test, {len(photos.photos)} photos",
            threshold={"fixed": THRESHOLDS[0], "auto": "half of Otsu's", "evidence": f"{CANDIDATES} second looks"},
            metrics=metrics,
            percent_of_cpu_seconds=shares,
            seed=0,
            seconds=round(time.monotonic() - start),
        )
    bars(
        RESULTS / "speed" / "predict.png",
        drawn,
        xlabel="CPU milliseconds per photo (one thread, bf16)",
        title="Where the time of predict goes",
    )


if __name__ == "__main__":
    main()
