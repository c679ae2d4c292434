"""The dense CRF beside pydensecrf2, the C++ of its authors: CPU seconds and memory of one 375 x 500 photo.

taskset -c 0 env OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/crf.py

Needs the extra ``crf``. The photo is drawn: soft noise at three scales, discs of one color, grain. Labels are soft
random regions. Memory is the peak of a fresh process minus its size before; Linux only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from record import record_speed

from torchbas.crf.dense_crf import DEEPLAB, IRN, DenseCRF, dense_crf, unary_from_labels

HEIGHT, WIDTH = 375, 500
SETTINGS = {"irn_3": (IRN, 3), "irn_21": (IRN, 21), "deeplab_3": (DEEPLAB, 3), "deeplab_21": (DEEPLAB, 21)}
PROTOCOL = (
    "CPU seconds of one 375 x 500 photo, 10 iterations, one thread, least of all repeats, both programs taking turns; "
    "lattices included. irn, deeplab: kernels; 3, 21: labels. ir_label: the two CRFs of one IR label, 3 labels each, "
    "ours through one lattice. dq: largest difference between the two programs' probabilities; argmax: share of pixels "
    "that get another label. first_call: compiling ours, once a machine. mb: peak memory above the start"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--grain", type=float, default=6.0, help="standard deviation of the photo's noise, gray levels")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--backend", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.memory:
        print(megabytes(words.memory, words.backend, words.grain))
        return
    start = time.monotonic()
    metrics = {"ours_first_call_s": first_call(), **speed(words.repeats, words.grain)}
    for name in SETTINGS:
        for backend in ("own", "pydensecrf"):
            command = [sys.executable, __file__, "--memory", name, "--backend", backend, "--grain", str(words.grain)]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            metrics[f"{name}_{'ours' if backend == 'own' else 'theirs'}_mb"] = round(float(text))
    record_speed(
        "crf",
        data=f"synthetic photo, {HEIGHT} x {WIDTH}, grain {words.grain:g}",
        protocol=PROTOCOL,
        metrics=metrics,
        began=start,
    )
    print(json.dumps(metrics, indent=1))


def first_call() -> float:
    """CPU seconds in a process with an empty compilation cache."""
    code = (
        "import time, numpy as np; from torchbas.crf.dense_crf import DenseCRF; start = time.process_time();"
        "DenseCRF(np.zeros((4, 4, 3), np.uint8))(np.zeros((2, 4, 4), np.float32)); print(time.process_time() - start)"
    )
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "NUMBA_CACHE_DIR": place}
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    return round(float(done.stdout), 2)


def speed(repeats: int, grain: float) -> dict[str, float]:
    image, metrics = sample(grain), {}
    for name, (kernels, count) in SETTINGS.items():
        unary = unary_from_labels(regions(count, seed=0), count)
        least: dict[str, float] = {}
        ours = theirs = np.empty(0)
        for _ in range(repeats):
            ours = timed(least, "ours", lambda u=unary, k=kernels: DenseCRF(image, k)(u))
            theirs = timed(least, "theirs", lambda u=unary, k=kernels: dense_crf(image, u, k, backend="pydensecrf"))
        timed(least, "lattices", lambda k=kernels: DenseCRF(image, k))
        metrics |= rows(name, least)
        metrics[f"{name}_lattices_s"] = round(least["lattices"], 3)
        metrics[f"{name}_dq"] = float(f"{np.abs(ours - theirs).max():.1e}")
        metrics[f"{name}_argmax"] = float(f"{(ours.argmax(axis=0) != theirs.argmax(axis=0)).mean():.1e}")
    unaries = [unary_from_labels(regions(3, seed), 3) for seed in (1, 2)]
    least = {}
    for _ in range(repeats):
        timed(least, "ours", lambda: DenseCRF(image).infer(unaries))
        timed(least, "theirs", lambda: [dense_crf(image, unary, backend="pydensecrf") for unary in unaries])
    return metrics | rows("ir_label", least)


def rows(name: str, least: dict[str, float]) -> dict[str, float]:
    return {
        f"{name}_theirs_s": round(least["theirs"], 3),
        f"{name}_ours_s": round(least["ours"], 3),
        f"{name}_theirs_over_ours": round(least["theirs"] / least["ours"], 2),
    }


def megabytes(name: str, backend: Any, grain: float) -> float:
    image, (kernels, count) = sample(grain), SETTINGS[name]
    unary = unary_from_labels(regions(count, seed=0), count)
    dense_crf(image[:8, :8].copy(), np.ascontiguousarray(unary[:, :8, :8]), kernels, backend=backend)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far; a child's getrusage knows its parent's
    before = resident()["VmRSS"]
    dense_crf(image, unary, kernels, backend=backend)
    return (resident()["VmHWM"] - before) / 1024


def resident() -> dict[str, int]:
    """Kilobytes by Linux's names."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[-1] == "kB"}


def sample(grain: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    image = np.full((HEIGHT, WIDTH, 3), 120.0)
    for scale in (4, 16, 64):
        rough = rng.normal(size=(HEIGHT // scale, WIDTH // scale, 3))
        image += 0.6 * scale * cv2.resize(rough, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for _ in range(6):
        middle, radius = rng.uniform(0, (WIDTH, HEIGHT)), rng.uniform(20, 90)
        image[(x - middle[0]) ** 2 + (y - middle[1]) ** 2 < radius**2] += rng.normal(0, 50, 3)
    return np.clip(image + grain * rng.normal(size=image.shape), 0, 255).astype(np.uint8)


def regions(count: int, seed: int) -> np.ndarray:
    rough = np.random.default_rng(seed).normal(size=(count, 6, 8))
    return np.stack([cv2.resize(one, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for one in rough]).argmax(axis=0)


def timed(least: dict[str, float], name: str, call: Callable[[], Any]) -> Any:
    start = time.process_time()
    answer = call()
    least[name] = min(least.get(name, float("inf")), time.process_time() - start)
    return answer


if __name__ == "__main__":
    main()
