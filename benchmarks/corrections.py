"""What corrected boxes do for the photos that were not corrected: `bas label --corrected`, folder by folder.

python benchmarks/corrections.py NAME... [--counts 0 5 20 100] [--seeds 0 1]

The folders are those of benchmarks/folders.py, the corrections their true boxes, of photos drawn at random: those of 5
are among those of 20. Each run goes into results/corrections/<name>_<count>_<seed>.json.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from folders import CELLS, Kept, Truth, found_of, score
from record import data_folder, record

from torchbas import api, data
from torchbas.cli import job
from torchbas.cli import main as bas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=CELLS, metavar="NAME")
    parser.add_argument("--counts", nargs="+", type=int, default=[0, 5, 20, 100])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    words = parser.parse_args()
    for name in words.names:
        for seed in words.seeds:
            measure(name, seed, words.counts)


def measure(name: str, seed: int, counts: list[int]) -> None:
    """Label one folder with some numbers of corrected photos, and record how well the others are found."""
    job.Job = Kept
    weights = str(data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth")
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch, "photos")
        photos.mkdir()
        truth = CELLS[name](photos, seed)
        order = np.random.default_rng(seed).permutation(sorted(truth)).tolist()
        others = {key: truth[key] for key in order[max(counts) :]}
        for count in counts:
            out, file = Path("runs", "corrections", f"{name}_{count}_{seed}"), Path(scratch, "corrections.json")
            file.write_text(json.dumps(corrections_of({key: truth[key] for key in order[:count]}, photos)))
            command = ["label", str(photos), "--out", str(out), "--weights", weights, "--seed", str(seed)]
            began, cpu = time.monotonic(), time.process_time()
            if bas([*command, "--overwrite", "--quiet", *(["--corrected", str(file)] if count else [])]):
                raise SystemExit(1)
            seconds, cpu = time.monotonic() - began, time.process_time() - cpu
            localizer = api.load(out)
            _, boxes, before, after, _ = localizer.corrections
            metrics = score({one.name: found_of(one) for one in Kept.found}, others)
            record(
                "corrections",
                f"{name}_{count}_{seed}",
                data=f"{name}, {len(truth)} photos, {count} of them corrected",
                recipe=localizer.recipe,
                protocol="largest component of each photo's own tag; a box is right with IoU >= .5 with any true one",
                split=f"the {len(others)} photos that were never corrected",
                threshold={"value": localizer.inference.threshold, "chosen": "fixed: the recipe's"},
                metrics=metrics,
                left_out={"boxes": boxes, "before": before, "after": after},
                seed=seed,
                seconds=round(seconds),
                cpu_seconds=round(cpu),
            )
            print(name, seed, count, metrics, localizer.corrections[1:], f"{seconds:.0f} s", flush=True)


def corrections_of(truth: dict[str, Truth], photos: Path) -> dict:
    """The true boxes as the gallery saves them."""
    tags = sorted({name.partition("/")[0] for name in truth})
    images, annotations = [], []
    for number, (name, one) in enumerate(truth.items(), 1):
        tag, (height, width) = name.partition("/")[0], data.image_size(photos / name)
        images.append({"id": number, "file_name": name, "width": width, "height": height, "reviewed": [tag]})
        annotations += [
            {"image_id": number, "category_id": tags.index(tag), "bbox": [x0, y0, x1 - x0, y1 - y0]}
            for x0, y0, x1, y1 in one.boxes
        ]
    categories = [{"id": number, "name": tag} for number, tag in enumerate(tags)]
    return {"categories": categories, "images": images, "annotations": annotations}


if __name__ == "__main__":
    main()
