"""Thresholds that need no box against fixed ones, on the model that benchmarks/cub25.py has trained.

python benchmarks/threshold.py
"""

import time
from dataclasses import replace
from pathlib import Path

import torch
from record import data_fingerprint, data_folder, record

import torchbas as tb
from torchbas import data
from torchbas.config import Inference
from torchbas.localize import Row, evaluate

LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, "auto", "evidence")
EVERY = 4


def main() -> None:
    birds = data.read(data_folder() / "cub25").only("test")
    birds = replace(birds, photos=birds.photos[::EVERY])
    localizer = tb.load(Path("runs") / "cub25_mobilenetv1_bas")
    start = time.monotonic()
    scores = evaluate(
        localizer.model,
        localizer.adopt(birds),
        [Row("k1", Inference(top=1), LEVELS)],
        (localizer.mean, localizer.std),
        ten_crop=False,
        forward=lambda: torch.autocast("cpu", torch.bfloat16),
    )
    record(
        "wsol",
        "cub25_mobilenetv1_thresholds",
        data=f"cub25, {data_fingerprint([photo.name for photo in birds.photos])}",
        recipe="small, mobilenetv1, row bas, k = 1",
        protocol="authors, centre crop",
        split=f"test, every {EVERY}th photo, {scores.images} photos",
        threshold={"value": list(LEVELS), "chosen": "fixed, auto"},
        metrics={f"gt_known_{level}": found["gt_known"] for level, found in scores.rows["k1"].items()},
        seed=0,
        seconds=round(time.monotonic() - start),
    )


if __name__ == "__main__":
    main()
