"""Thresholds chosen without boxes against fixed ones, on the model that benchmarks/cub25.py has trained.

python benchmarks/threshold.py
"""

import time
from dataclasses import replace
from pathlib import Path

from record import data_fingerprint, data_folder, record

import torchbas as tb
from torchbas import data
from torchbas.api import Compute
from torchbas.config import Inference
from torchbas.evaluation.evaluator import Row

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, "auto", "image_specific")
EVERY = 4


def main() -> None:
    birds = data.read(data_folder() / "cub25").only("test")
    birds = replace(birds, samples=birds.samples[::EVERY])
    start = time.monotonic()
    scores = tb.evaluate(
        birds,
        Path("runs") / "cub25_mobilenetv1_bas",
        rows=[Row("k1", Inference(top_k=1), THRESHOLDS)],
        ten_crop=False,
        compute=Compute(precision="bf16-mixed"),
    )
    record(
        "wsol",
        "cub25_mobilenetv1_thresholds",
        data=f"cub25, {data_fingerprint([sample.name for sample in birds.samples])}",
        recipe="small, mobilenetv1, row bas, k = 1",
        protocol="authors, center crop",
        split=f"test, every {EVERY}th photo, {scores.images} photos",
        threshold={"value": list(THRESHOLDS), "chosen": "fixed, auto"},
        metrics={f"gt_known_{threshold}": one["gt_known"] for threshold, one in scores.rows["k1"].items()},
        seed=0,
        seconds=round(time.monotonic() - start),
    )


if __name__ == "__main__":
    main()
