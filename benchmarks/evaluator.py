"""The threshold sweep beside a simple exact implementation, per map; and `bas eval` of a test set of synthetic maps.

python benchmarks/evaluator.py sweep
python benchmarks/evaluator.py folder --images 5794 --workers 2

blob14: one to three Gaussians on 14 x 14 with 3 % noise, bicubic up to 224 (like a CAM). noise7, 14, 28: white noise
on that many squares, bicubic up. One thread; the two take turns and must agree to the last bit.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from record import record

from torchbas.data.ground_truth import foreground
from torchbas.evaluation.metrics import PixelHistogram, box_ious, iou_inclusive, threshold_grid
from torchbas.evaluation.metrics.regions import contour_ious
from torchbas.structures import Sample

SIDE, THRESHOLDS = 224, threshold_grid("wsoleval")
KINDS = ("blob14", "noise7", "noise14", "noise28")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sweep", "folder"))
    parser.add_argument("--maps", type=int, default=60, help="of each kind")
    parser.add_argument("--images", type=int, default=5794)
    parser.add_argument("--workers", type=int, default=2)
    words = parser.parse_args()
    cv2.setNumThreads(1)
    start = time.monotonic()
    if words.what == "sweep":
        name, metrics, protocol = "evaluator", {**sweep(words.maps), **masks(words.maps)}, SWEEP
    else:
        name, metrics, protocol = "evaluator_folder", folder(words.images, words.workers), FOLDER
    record(
        "speed",
        name,
        data=f"synthetic maps, {SIDE} x {SIDE}",
        recipe=None,
        protocol=protocol,
        split=None,
        threshold={"value": len(THRESHOLDS), "chosen": "the whole grid"},
        metrics=metrics,
        seed=0,
        seconds=round(time.monotonic() - start),
    )
    print(json.dumps(metrics, indent=1))


SWEEP = (
    "CPU ms a map at 1,000 thresholds, one thread, median over maps. v2: IoU of the best of all contours. simple: "
    "distinct levels only, OpenCV contours, one IoU matrix, maximum.reduceat. ours_both: v2 and the largest contour of "
    "MaxBoxAcc. ours_authors: largest component at 100 thresholds. pixels: PxAP histogram of one map; decode: reading "
    "and resizing two 1024 x 768 mask PNGs"
)
FOLDER = (
    "bas eval --maps as a user runs it: start, read .npz maps (float32) of 200 classes, protocol wsoleval, both box "
    "metrics at 1,000 thresholds, images.csv and curve.csv. wall_seconds depends on what else the machine does; "
    "peak_mb is the largest resident size of any of its processes"
)


def sweep(count: int) -> dict[str, float]:
    metrics = {}
    for kind in KINDS:
        rng = np.random.default_rng(0)
        heats = [draw(kind, rng) for _ in range(count)]
        for boxes in (1, 2):
            box_sets = [draw_boxes(rng, boxes) for _ in heats]
            taken: dict[str, list[float]] = {"simple": [], "ours": [], "ours_both": [], "ours_authors": []}
            for heat, ground_truth in zip(heats, box_sets, strict=True):
                gray = (255 * heat).astype(np.uint8)
                levels = (THRESHOLDS * gray.max()).astype(np.int64)
                expected = timed(taken["simple"], lambda g=gray, t=ground_truth, v=levels: simple(g, t, v))
                found = timed(taken["ours"], lambda g=gray, t=ground_truth, v=levels: ours(g, t, v))
                np.testing.assert_array_equal(found, expected)
                timed(taken["ours_both"], lambda h=heat, t=ground_truth: box_ious("wsoleval", h, t, THRESHOLDS))
                grid = threshold_grid("authors")
                timed(taken["ours_authors"], lambda h=heat, t=ground_truth, g=grid: box_ious("authors", h, t, g))
            for name, seconds in taken.items():
                metrics[f"{kind}_{boxes}gt_{name}_ms"] = round(1000 * statistics.median(seconds), 2)
            ratio = statistics.median(a / b for a, b in zip(taken["simple"], taken["ours"], strict=True))
            metrics[f"{kind}_{boxes}gt_simple_over_ours"] = round(ratio, 2)
    return metrics


def masks(count: int) -> dict[str, float]:
    rng, taken = np.random.default_rng(1), {"pixels": [], "decode": []}
    with tempfile.TemporaryDirectory() as place:
        files = (Path(place) / "instance.png", Path(place) / "ignore.png")
        for file in files:
            cv2.imwrite(str(file), cv2.resize((draw("noise7", rng) > 0.5).astype(np.uint8) * 255, (1024, 768)))
        sample = Sample(Path("none.jpg"), "none.jpg", instances=files[:1], ignore=files[1])
        for _ in range(count):
            heat, histogram = draw("blob14", rng), PixelHistogram(THRESHOLDS)
            ground_truth = timed(taken["decode"], lambda: foreground(sample, (SIDE, SIDE)))
            timed(taken["pixels"], lambda h=heat, t=ground_truth, s=histogram: s.update(h, t))
    return {f"mask_{name}_ms": round(1000 * statistics.median(seconds), 2) for name, seconds in taken.items()}


def folder(images: int, workers: int) -> dict[str, float]:
    """`bas eval` of a test set in wsolevaluation's metadata format."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        names = [f"class{i % 200:03d}/{i:05d}.jpg" for i in range(images)]
        boxes = np.concatenate([draw_boxes(rng, 1) for _ in names])
        lists = {
            "image_ids": names,
            "class_labels": [f"{name},{i % 200}" for i, name in enumerate(names)],
            "image_sizes": [f"{name},{SIDE},{SIDE}" for name in names],
            "localization": [f"{n},{','.join(map(str, box))}" for n, box in zip(names, boxes.tolist(), strict=True)],
        }
        (root / "lists/test").mkdir(parents=True)
        for name, lines in lists.items():
            (root / "lists/test" / f"{name}.txt").write_text("\n".join(lines))
        for name in names:
            file = root / "maps" / f"{name}.npz"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, map=draw("blob14", rng).astype(np.float32))
        words = ["eval", str(root / "lists"), "--maps", str(root / "maps"), "--out", str(root / "out"), "--quiet"]
        command = "import sys; from torchbas.cli import main; sys.exit(main())"
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run([sys.executable, "-c", command, *words, "--workers", str(workers)], check=True)
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        size = sum(file.stat().st_size for file in (root / "maps").rglob("*.npz"))
    return {
        "images": images,
        "workers": workers,
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_mb": round(after.ru_maxrss / 1024),
        "maps_mb": round(size / 2**20),
    }


def draw(kind: str, rng: np.random.Generator) -> np.ndarray:
    if kind == "blob14":
        y, x = np.mgrid[:14, :14]
        rough = 0.03 * rng.normal(size=(14, 14))
        for _ in range(rng.integers(1, 4)):
            (cx, cy), width = rng.uniform(2, 12, 2), rng.uniform(1.2, 3.5)
            rough += rng.uniform(0.5, 1) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 2 / width**2)
    else:
        rough = rng.normal(size=(int(kind.removeprefix("noise")),) * 2)
    heat = cv2.resize(rough, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return (heat - heat.min()) / np.ptp(heat)


def draw_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    ends = np.sort(rng.integers(0, SIDE, (count, 2, 2)), axis=1)
    return np.concatenate([ends[:, 0], ends[:, 1]], axis=1)


def ours(gray: np.ndarray, ground_truth: np.ndarray, levels: np.ndarray) -> np.ndarray:
    return contour_ious(gray, ground_truth, largest=False).best[levels]


def simple(gray: np.ndarray, ground_truth: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The simplest exact implementation: OpenCV at every distinct level."""
    height, width = gray.shape
    distinct, back = np.unique(levels, return_inverse=True)
    boxes: list[tuple[int, int, int, int]] = []
    starts = []
    for level in distinct.tolist():
        cut = cv2.threshold(gray, level, 255, cv2.THRESH_BINARY)[1]
        contours = cv2.findContours(cut, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        starts.append(len(boxes))
        spans = [cv2.boundingRect(contour) for contour in contours] or [(0, 0, 0, 0)]
        boxes += [(x, y, min(x + w, width - 1), min(y + h, height - 1)) for x, y, w, h in spans]
    best = iou_inclusive(np.array(boxes, float)[:, None], ground_truth[None].astype(float)).max(axis=1)
    return np.maximum.reduceat(best, starts)[back]


def timed(taken: list[float], call: Callable[[], Any]) -> Any:
    start = time.process_time()
    answer = call()
    taken.append(time.process_time() - start)
    return answer


if __name__ == "__main__":
    main()
