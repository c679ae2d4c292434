"""What corrected boxes do for the photos that were not corrected: `bas label --corrected`, folder by folder.

python benchmarks/corrections.py NAME... [--counts 0 5 20 100] [--seeds 0 1] [--parts] [--all]

The folders are those of benchmarks/folders.py, the corrections their true boxes, of photos drawn at random: those of 5
are among those of 20. A folder is labeled once without corrections; for each number of them a copy of that run goes on
(`--resume`). Each goes into results/corrections/<name>_<count>_<seed>.json; --parts also measures the two uses that
reach other photos alone: learning in the usual way (_learning), and only choosing size and threshold (_reading).
--all asks for all things of a photo (_all), for folders where each has a box: f1, recall and precision of the boxes.
"""

import argparse
import json
import math
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from folders import CELLS, Kept, Truth, found_of, score
from record import data_folder, record

from torchbas import api, data
from torchbas.api import choose
from torchbas.api.own_tags import first_of_each
from torchbas.api.things import matches
from torchbas.cli import job
from torchbas.cli import main as bas
from torchbas.localization import Localization

PARTS: dict[str, dict[str, Any]] = {"learning": {"MARGIN": math.inf}, "reading": {"FILLS": (None,)}}
"""What of :mod:`torchbas.api.choose` is changed to measure one use of corrections alone."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=CELLS, metavar="NAME")
    parser.add_argument("--counts", nargs="+", type=int, default=[0, 5, 20, 100])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--all", action="store_true")
    words = parser.parse_args()
    for name in words.names:
        for seed in words.seeds:
            measure(name, seed, words.counts, PARTS if words.parts else {}, several=words.all)


def measure(
    name: str, seed: int, counts: list[int], parts: dict[str, dict[str, Any]], *, several: bool = False
) -> None:
    """Label one folder with some numbers of corrected photos, and record how well the others are localized."""
    job.Job = Kept
    weights = str(data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth")
    with tempfile.TemporaryDirectory() as scratch:
        photos, base = Path(scratch, "photos"), Path("runs", "corrections", f"{name}_{seed}")
        photos.mkdir()
        truth = CELLS[name](photos, seed)
        order = np.random.default_rng(seed).permutation(sorted(truth)).tolist()
        others = {key: truth[key] for key in order[max(counts) :]}
        command = ["label", str(photos), "--weights", weights, "--seed", str(seed), "--quiet", "--format", "coco"]
        command += ["--objects", "all"] if several else []
        told: dict[str, Any] = {"name": name, "seed": seed, "photos": len(truth), "others": others}
        end = [*(["all"] if several else []), str(seed)]
        run(base, [*command, "--overwrite"], "_".join([name, "0", *end]), told, 0)
        for count in filter(None, counts):
            file = Path(scratch, f"{count}.json")
            file.write_text(json.dumps(corrections_of({key: truth[key] for key in order[:count]}, photos)))
            for part in ("", *parts):
                out = base.with_name("_".join(filter(None, (name, str(count), part, *end))))
                shutil.rmtree(out, ignore_errors=True)
                shutil.copytree(base, out)
                with changed(parts.get(part, {})):
                    run(out, [*command, "--resume", "--corrected", str(file)], out.name, told, count)


@contextmanager
def changed(constants: dict[str, Any]) -> Iterator[None]:
    """Other values of constants of :mod:`torchbas.api.choose`."""
    before = {name: getattr(choose, name) for name in constants}
    try:
        choose.__dict__.update(constants)
        yield
    finally:
        choose.__dict__.update(before)


def run(out: Path, command: list[str], full_name: str, told: dict[str, Any], count: int) -> None:
    """Run one `bas label`, and record the photos that were never corrected."""
    began, cpu = time.monotonic(), time.process_time()
    if bas([*command, "--out", str(out)]):
        raise SystemExit(1)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    localizer = api.load(out)
    _, boxes, before, after, by_half = localizer.corrections
    now = localizer.inference
    firsts = {name: found_of(one) for (name, _), one in first_of_each(Kept.found).items()}
    metrics = score(firsts, told["others"]) | (of_all(Kept.found, told["others"]) if "--objects" in command else {})
    record(
        "corrections",
        full_name,
        data=f"{told['name']}, {told['photos']} photos, {count} of them corrected",
        recipe=localizer.recipe,
        protocol="largest component of each photo's own tag; a box is correct with IoU >= .5 with any true one",
        split=f"the {len(told['others'])} photos that were never corrected",
        threshold={
            "value": now.threshold,
            "chosen": "validation: on the corrections" if count else "fixed: the recipe's",
        },
        metrics=metrics,
        left_out={"boxes": boxes, "before": before, "after": after, "by_half": by_half},
        way={setting: getattr(now, setting) for setting in ("refine", "enlarge", "enlarged", "smallest", "separate")},
        seed=told["seed"],
        seconds=round(seconds),
        cpu_seconds=round(cpu),
    )
    print(full_name, metrics, localizer.corrections[1:], now, f"{seconds:.0f} s", flush=True)


def of_all(found: Iterable[Localization], truth: dict[str, Truth]) -> dict[str, float]:
    """F1, recall and precision of all boxes in percent, an IoU of .5 asked for."""
    boxes = defaultdict(list)
    for one in found:
        boxes[one.name].append(one.xyxy)
    both = sum(matches(boxes[name], one.boxes) for name, one in truth.items())
    number, true = sum(len(boxes[name]) for name in truth), sum(len(one.boxes) for one in truth.values())
    rates = {"f1": 2 * both / max(number + true, 1), "recall": both / max(true, 1), "precision": both / max(number, 1)}
    return {name: round(100 * rate, 1) for name, rate in rates.items()}


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
