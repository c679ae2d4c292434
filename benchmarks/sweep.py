"""Section 3.5 on 25 bird species: the classifier that cub25.py trained under eroded and dilated ground-truth boxes.

python benchmarks/sweep.py
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from record import RESULTS, data_fingerprint, data_folder, record

import torchbas as tb
from torchbas import data
from torchbas.analysis import SweepCurve, draw_sweep, sweep_masks
from torchbas.analysis.mask_sweep import QUANTITIES, spread

EVERY, REACH = 6, 20
AREAS = np.array([0.25, 0.5, 0.75, 1, 1.5, 2, 3])


def main() -> None:
    birds = data.read(data_folder() / "cub25").only("test")
    birds = replace(birds, samples=birds.samples[::EVERY])
    localizer = tb.load(Path("runs") / "cub25_mobilenetv1_bas")
    start = time.monotonic()
    curves = list(sweep_masks(localizer, birds, reach=REACH))
    name = "cub25_mobilenetv1_sweep"
    draw_sweep(curves, RESULTS / "analysis" / name)
    record(
        "analysis",
        name,
        data=f"cub25, {data_fingerprint([sample.name for sample in birds.samples])}",
        recipe="small, mobilenetv1, row bas",
        protocol=f"filled true boxes in the center crop, squares of 5n pixels, n from {-REACH} to {REACH}; medians",
        split=f"test, every {EVERY}th photo, {len(curves)} photos",
        threshold=None,
        metrics={
            f"{group}_{key}": value for group in ("correct", "wrong") for key, value in medians(curves, group).items()
        },
        seed=0,
        seconds=round(time.monotonic() - start),
    )


def medians(curves: list[SweepCurve], group: str) -> dict[str, float]:
    """Each quantity at some multiples of the ground-truth area, of the photos classified correctly or not."""
    chosen = [curve for curve in curves if curve.correct == (group == "correct")]
    found: dict[str, float] = {"photos": len(chosen)}
    for quantity in QUANTITIES:
        at = spread(chosen, quantity, AREAS)
        found |= {f"{quantity}_at_{area:g}": round(value, 4) for area, value in zip(at.area, at.median, strict=True)}
    return found


if __name__ == "__main__":
    main()
