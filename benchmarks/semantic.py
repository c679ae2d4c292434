"""Mean IoU of seeds at 20 thresholds in one pass against one evaluation a threshold, and of label maps.

python benchmarks/semantic.py

Seeds are smooth synthetic maps of 375 x 500 pixels, one to three classes a photo as in VOC, 5 % ignored. One thread;
all take turns and must agree to the last bit.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from record import record
from torchmetrics import JaccardIndex

from torchbas.evaluation.metrics import ConfusionMatrix, ThresholdSweep

CLASSES, PHOTOS, HEIGHT, WIDTH = 20, 50, 375, 500
THRESHOLDS = np.linspace(0.15, 0.34, 20)
PROTOCOL = (
    f"CPU ms a photo of {HEIGHT} x {WIDTH}, one thread, median over {PHOTOS} photos. sweep: maps in a file at full "
    f"size in float32, {len(THRESHOLDS)} thresholds; per_threshold: the reference way, for each threshold load, pad, "
    "argmax, translate and count; one_pass: load once and count, and one_pass_count without loading. confusion: one "
    "label map of 21 classes; bincount: numpy on codes of 16 bits; torchmetrics: JaccardIndex with ignore_index"
)


class Seed(NamedTuple):
    file: Path
    labels: list[int]
    ground_truth: np.ndarray


def main() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        seeds = [draw(np.random.default_rng(number), Path(folder) / f"{number}.npy") for number in range(PHOTOS)]
        metrics = sweep(seeds) | confusion(seeds)
    record(
        "speed",
        "semantic",
        data=f"{PHOTOS} synthetic seeds and label maps",
        recipe=None,
        protocol=PROTOCOL,
        split=None,
        threshold={"value": THRESHOLDS.round(2).tolist(), "chosen": "the whole list"},
        metrics=metrics,
        seed=0,
        seconds=round(time.monotonic() - start),
    )
    print(json.dumps(metrics, indent=1))


def sweep(seeds: list[Seed]) -> dict[str, float]:
    taken: dict[str, list[float]] = {"per_threshold": [], "one_pass": [], "one_pass_count": []}
    swept, counted = (ThresholdSweep(CLASSES, THRESHOLDS) for _ in range(2))
    slow = np.zeros((len(THRESHOLDS), CLASSES + 1, CLASSES + 1), np.int64)
    counted.add(np.load(seeds[0].file), seeds[0].labels, seeds[0].ground_truth)  # compiles
    for seed in seeds:
        timed(taken["per_threshold"], lambda s=seed: per_threshold(s, slow))
        timed(taken["one_pass"], lambda s=seed: swept.add(np.load(s.file), s.labels, s.ground_truth))
        maps = np.load(seed.file)
        timed(taken["one_pass_count"], lambda s=seed, m=maps: counted.add(m, s.labels, s.ground_truth))
    for position, counts in enumerate(slow):
        np.testing.assert_array_equal(swept.confusion(position).counts, counts)
    return summary("sweep", taken, "per_threshold", "one_pass")


def per_threshold(seed: Seed, counts: np.ndarray) -> None:
    numbers = np.array([0, *(label + 1 for label in seed.labels)])
    for threshold, total in zip(THRESHOLDS, counts, strict=True):
        padded = np.pad(np.load(seed.file), ((1, 0), (0, 0), (0, 0)), constant_values=threshold)
        total += by_bincount(numbers[padded.argmax(axis=0)].astype(np.uint8), seed.ground_truth)


def confusion(seeds: list[Seed]) -> dict[str, float]:
    taken: dict[str, list[float]] = {"torchmetrics": [], "bincount": [], "ours": []}
    mine, theirs = ConfusionMatrix(CLASSES), JaccardIndex("multiclass", num_classes=CLASSES + 1, ignore_index=255)
    slow = np.zeros((CLASSES + 1, CLASSES + 1), np.int64)
    ConfusionMatrix(CLASSES).add(seeds[0].ground_truth, seeds[0].ground_truth)  # compiles
    for seed in seeds:
        predicted = np.where(seed.ground_truth == 255, 0, np.roll(seed.ground_truth, 20, axis=1) % 255)
        tensors = torch.from_numpy(predicted), torch.from_numpy(seed.ground_truth)
        timed(taken["torchmetrics"], lambda pair=tensors: theirs.update(*pair))
        slow += timed(taken["bincount"], lambda p=predicted, s=seed: by_bincount(p, s.ground_truth))
        timed(taken["ours"], lambda p=predicted, s=seed: mine.add(p, s.ground_truth))
    np.testing.assert_array_equal(mine.counts, slow)
    np.testing.assert_allclose(mine.miou(), 100 * float(theirs.compute()), rtol=1e-5)
    return summary("confusion", taken, "torchmetrics", "ours")


def by_bincount(predicted: np.ndarray, ground_truth: np.ndarray) -> np.ndarray:
    codes = (ground_truth.astype(np.uint16) << 8) | predicted
    return np.bincount(codes.ravel(), minlength=1 << 16).reshape(256, 256)[: CLASSES + 1, : CLASSES + 1]


def draw(rng: np.random.Generator, file: Path) -> Seed:
    labels = sorted(rng.choice(CLASSES, rng.choice(3, p=[0.64, 0.27, 0.09]) + 1, replace=False).tolist())
    rough = rng.random((len(labels), 12, 16), np.float32)
    maps = [cv2.resize(one, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for one in rough]
    np.save(file, np.stack(maps).clip(0, 1))
    numbers = np.array([0, *(label + 1 for label in labels)], np.uint8)
    ground_truth = cv2.resize(rng.choice(numbers, (6, 8)), (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    ground_truth[rng.random(ground_truth.shape) < 0.05] = 255
    return Seed(file, labels, ground_truth)


def timed(taken: list[float], call: Callable[[], Any]) -> Any:
    start = time.process_time()
    answer = call()
    taken.append(time.process_time() - start)
    return answer


def summary(what: str, taken: dict[str, list[float]], slow: str, fast: str) -> dict[str, float]:
    metrics = {f"{what}_{name}_ms": round(1000 * statistics.median(times), 3) for name, times in taken.items()}
    ratio = statistics.median(a / b for a, b in zip(taken[slow], taken[fast], strict=True))
    return metrics | {f"{what}_{slow}_over_{fast}": round(ratio, 1)}


if __name__ == "__main__":
    main()
