"""IRN's random walk: time, memory and error, beside a dense and a sparse transition matrix.

taskset -c 1 env OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/walk.py

Edges are thin rings, as IRNet draws boundaries; maps are blobs. The dense walk squares the matrix eight times, as the
reference does, on a grid small enough for it to finish; the sparse one pushes the maps 256 times through a CSR matrix.
They take turns with ours.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from record import record_speed

from torchbas.wsss.irn.affinity import half_disc, path
from torchbas.wsss.irn.random_walk import random_walk

RADIUS, BETA, SQUARINGS, REPEATS = 5, 10, 8, 7
STEPS = 2**SQUARINGS
GRIDS = {"voc": (94, 125), "coco": (120, 160), "small": (32, 42)}
MEASURED = (("voc", 20), ("voc", 5), ("voc", 2), ("coco", 5))
PROTOCOL = (
    f"radius {RADIUS}, beta {BETA}, {STEPS} steps; voc is a grid of 94 x 125 (a photo of 375 x 500), coco 120 x 160, "
    "small 32 x 42; maps of so many classes. cpu_s: process time, the least of 7, weights included. peak_mb: highest "
    "resident size above that before the call. dense: 8 squarings of the float32 matrix and the product, by torch; "
    "sparse: 256 products with a float32 CSR matrix, by torch; neither pays for its matrix. error: largest difference "
    "from a dense float64 walk over its largest value"
)


def main() -> None:
    start = time.monotonic()
    random_walk(*draw((8, 8), 1))  # compiles
    metrics = {**sizes(), **against_sparse(), **against_dense()}
    record_speed("walk", data="synthetic ridges and blobs", protocol=PROTOCOL, metrics=metrics, began=start)
    print(json.dumps(metrics, indent=1))


def sizes() -> dict[str, float]:
    metrics = {}
    for name, classes in MEASURED:
        maps, edges = draw(GRIDS[name], classes)
        before = peak_mb(reset=True)
        ours(maps, edges)
        metrics[f"{name}_{classes}_peak_mb"] = round(peak_mb() - before, 1)
        metrics[f"{name}_{classes}_cpu_s"] = round(least(lambda m=maps, e=edges: ours(m, e))[0], 4)
    return metrics


def against_sparse() -> dict[str, float]:
    metrics = {}
    for classes in (20, 2):
        maps, edges = draw(GRIDS["voc"], classes)
        rows, columns, values = transition(edges)
        places, numbers = torch.from_numpy(np.stack([columns, rows])), torch.from_numpy(values.astype(np.float32))
        matrix = torch.sparse_coo_tensor(places, numbers, (edges.size,) * 2).to_sparse_csr()
        seconds = least(lambda m=maps, e=edges, t=matrix: pushed(t, m, e), lambda m=maps, e=edges: ours(m, e))
        metrics |= compared(f"voc_{classes}", "sparse", *seconds)
    return metrics


def against_dense() -> dict[str, float]:
    maps, edges = draw(GRIDS["small"], 20)
    matrix = np.zeros((edges.size,) * 2)
    rows, columns, values = transition(edges)
    matrix[rows, columns] = values
    start = (maps * (1 - edges.astype(np.float64))).reshape(len(maps), -1)
    exact = (start @ np.linalg.matrix_power(matrix, STEPS)).reshape(maps.shape)
    single = torch.from_numpy(matrix.astype(np.float32))
    seconds = least(lambda: squared(single, maps, edges), lambda: ours(maps, edges))
    errors = {"ours": error(ours(maps, edges), exact), "dense": error(squared(single, maps, edges), exact)}
    found = {f"small_20_{name}_error": float(f"{value:.2g}") for name, value in errors.items()}
    return {**compared("small_20", "dense", *seconds), **found}


def compared(name: str, other: str, theirs: float, own: float) -> dict[str, float]:
    return {
        f"{name}_{other}_cpu_s": round(theirs, 4),
        f"{name}_ours_beside_{other}_cpu_s": round(own, 4),
        f"{name}_{other}_over_ours": round(theirs / own, 1),
    }


def ours(maps: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return random_walk(maps, edges, RADIUS, BETA, STEPS)


def draw(size: tuple[int, int], classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng, (height, width) = np.random.default_rng(0), size
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    edges = 0.02 + 0.01 * rng.random(size)
    for _ in range(6):
        (cy, cx), far = rng.uniform(0.1, 0.9, 2), rng.uniform(0.1, 0.5)
        edges = np.maximum(edges, 0.95 * np.exp(-((((y - cy) ** 2 + (x - cx) ** 2) ** 0.5 - far) ** 2) * height**2 / 2))
    maps = []
    for _ in range(classes):
        rough = rng.random((5, 6)) ** 2
        maps.append(cv2.resize(rough / rough.max(), (width, height), interpolation=cv2.INTER_LINEAR))
    return np.stack(maps).astype(np.float32), edges.astype(np.float32)


def transition(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of the transition matrix by its definition, in float64."""
    height, width = edges.shape
    number, strength = np.arange(edges.size).reshape(edges.shape), edges.astype(np.float64)
    rows, columns, values = [number.ravel()], [number.ravel()], [np.ones(edges.size)]
    for dy, dx in half_disc(RADIUS):
        y, x = np.mgrid[: height - dy, max(-dx, 0) : width - max(dx, 0)]
        strongest = np.max([strength[y + a, x + b] for a, b in path((dy, dx))], axis=0)
        one, other = number[y, x].ravel(), number[y + dy, x + dx].ravel()
        rows += [one, other]
        columns += [other, one]
        values += 2 * [(1 - strongest.ravel()) ** BETA]
    row, column, value = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
    return row, column, value / np.bincount(column, value)[column]


def squared(matrix: torch.Tensor, maps: np.ndarray, edges: np.ndarray) -> np.ndarray:
    start = torch.from_numpy((maps * (1 - edges)).reshape(len(maps), -1))
    for _ in range(SQUARINGS):
        matrix = matrix @ matrix
    return (start @ matrix).view(maps.shape).numpy()


def pushed(transposed: torch.Tensor, maps: np.ndarray, edges: np.ndarray) -> np.ndarray:
    now = torch.from_numpy((maps * (1 - edges)).reshape(len(maps), -1)).T.contiguous()
    for _ in range(STEPS):
        now = transposed @ now
    return now.T.reshape(maps.shape).numpy()


def error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.abs(found - exact).max() / exact.max())


def least(*calls: Callable[[], Any]) -> list[float]:
    """Process time of each call, the least of some turns."""
    taken = [[] for _ in calls]
    for _ in range(REPEATS):
        for times, call in zip(taken, calls, strict=True):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
    return [min(times) for times in taken]


def peak_mb(reset: bool = False) -> float:
    """The highest resident size so far, or since Linux was last told to forget it."""
    process = Path("/proc/self")
    if reset:
        (process / "clear_refs").write_text("5")
    (line,) = (line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
