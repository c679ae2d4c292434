"""What the refiners do to boxes and masks, and what they cost, on folders of tagged photos.

python benchmarks/refiners.py cub6 neu300 [--seed 0]

Of each folder of benchmarks/folders.py one `bas label`, kept in runs/refiners/ and used again; then all of its photos
by the same model without a refiner, with each and with both. Writes results/analysis/refiners_<name>_<seed>.json.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from folders import CELLS, found_of, score
from record import data_folder, record

from torchbas import api, data
from torchbas.cli import main as bas
from torchbas.cli.memory import keep_freed_memory

WAYS = ((), ("crf",), ("shift",), ("shift", "crf"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=CELLS, metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    keep_freed_memory()
    for name in words.names:
        measure(name, words.seed)


def measure(name: str, seed: int) -> None:
    """Label one folder, unless that was done, and localize again in each way."""
    began, metrics = time.monotonic(), dict[str, float]()
    weights, run = (
        data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth",
        Path("runs", "refiners", f"{name}_{seed}"),
    )
    with tempfile.TemporaryDirectory() as photos:
        truth = CELLS[name](Path(photos), seed)
        command = ["label", photos, "--out", str(run), "--weights", str(weights), "--seed", str(seed), "--quiet"]
        if not (run / "run.json").is_file() and bas([*command, "--overwrite"]):
            raise SystemExit(1)
        localizer, dataset = api.load(run), data.read(photos)
        few = replace(dataset, samples=dataset.samples[:16])
        for way in WAYS:
            reading = replace(localizer, inference=replace(localizer.inference, refine=way))
            list(api.predict(few, reading))  # compiles the CRF
            cpu = time.process_time()
            found = list(api.predict(dataset, reading))
            cpu = time.process_time() - cpu
            values = score({one.name: found_of(one) for one in reversed(found)}, truth)
            label = "_".join(way) or "none"
            metrics |= {f"{label}_{what}": values[what] for what in ("gt_known", "mask_iou") if what in values}
            metrics[f"{label}_cpu_ms_per_photo"] = round(1000 * cpu / len(dataset.samples), 1)
            print(name, seed, label, values, f"{cpu:.1f} s", flush=True)
    record(
        "analysis",
        f"refiners_{name}_{seed}",
        data=f"{name}, {len(truth)} photos",
        recipe="quick",
        protocol="largest component of each photo's own tag; a box is correct with IoU >= .5 with any true one; CPU"
        " time of decoding, network and masks",
        split="the photos that were trained on",
        threshold={"value": localizer.inference.threshold, "chosen": "fixed: the recipe's"},
        metrics=metrics,
        enlarged=localizer.inference.enlarged,
        tags=len(localizer.classes),
        seed=seed,
        seconds=round(time.monotonic() - began),
    )


if __name__ == "__main__":
    main()
