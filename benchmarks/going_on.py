"""What going on with a model costs and keeps: `bas label --model`, beside a model of all photos from the start.

python benchmarks/going_on.py KIND NAME... [--seeds 0 1]

KIND is tag, where all tags but one come first and the last one later, alone; or photos, where half of each tag's photos
come first and the other half later. The folders are those of benchmarks/folders.py, and cat_dog_cow. Each run goes into
results/going_on/<name>_<kind>_<seed>.json.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from folders import CELLS, Cell, Kept, Truth, found_of, msrc, score
from record import data_folder, record

from torchbas import api, data
from torchbas.cli import job
from torchbas.cli import main as bas
from torchbas.localization import Localization

FOLDERS: dict[str, Cell] = {**CELLS, "cat_dog_cow": partial(msrc, ("cat", "cow", "dog"))}
LAST = {"cat_dog_cow": "cow"}
"""The tag that comes later; elsewhere the last one."""


class Labeled(NamedTuple):
    """What one `bas label` has found."""

    out: Path
    found: list[Localization]
    cpu_seconds: float

    def gt_known(self, truth: dict[str, Truth]) -> float:
        """GT-known of the photos of ``truth``, in percent."""
        return score({one.name: found_of(one) for one in self.found}, truth)["gt_known"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("tag", "photos"))
    parser.add_argument("names", nargs="+", choices=FOLDERS, metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    words = parser.parse_args()
    job.Job = Kept
    for name in words.names:
        for seed in words.seeds:
            measure(words.kind, name, seed)


def measure(kind: str, name: str, seed: int) -> None:
    """Label what comes first, go on with what comes later, and label all of it together."""
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch, "all")
        photos.mkdir()
        truth = FOLDERS[name](photos, seed)
        later = last_tag(truth, LAST.get(name)) if kind == "tag" else half(truth, seed)
        here, there = ({key: truth[key] for key in truth if (key in later) == is_later} for is_later in (False, True))
        first, more = (part(photos, Path(scratch, what), keys) for what, keys in (("first", here), ("more", there)))
        before = label(first, f"{name}_{kind}_first", seed)
        after = label(more, f"{name}_{kind}_more", seed, model=before.out)
        whole = label(photos, f"{name}_{kind}_all", seed)
        again = Labeled(after.out, list(api.predict(data.read(first), after.out)), 0)
        run = json.loads((after.out / "run.json").read_text())["went_on"]
    metrics = {
        "first_before": before.gt_known(here),
        "first_after": again.gt_known(here),
        "first_all": whole.gt_known(here),
        "more": after.gt_known(there),
        "more_all": whole.gt_known(there),
    }
    cost = {"first": before.cpu_seconds, "more": after.cpu_seconds, "all": whole.cpu_seconds}
    record(
        "going_on",
        f"{name}_{kind}_{seed}",
        data=f"{name}, {len(here)} photos first and {len(there)} later",
        recipe="quick",
        protocol="largest component of each photo's own tag; a box is right with IoU >= .5 with any true one",
        split="the photos that were trained on, and the later ones where nothing is trained",
        threshold={"value": 0.4, "chosen": "fixed: the recipe's"},
        metrics=metrics,
        remembered={"photos": run["remembered_photos"], "same_tag": run["same_tag"]},
        seed=seed,
        seconds=round(sum(cost.values())),
        cpu_seconds={part: round(seconds) for part, seconds in cost.items()},
    )
    print(name, kind, seed, metrics, cost, run["same_tag"], run["remembered_photos"], flush=True)


def last_tag(truth: dict[str, Truth], tag: str | None) -> set[str]:
    """Photos of one tag, the last one by name."""
    tag = tag or max(name.partition("/")[0] for name in truth)
    return {name for name in truth if name.partition("/")[0] == tag}


def half(truth: dict[str, Truth], seed: int) -> set[str]:
    """Half of each tag's photos, drawn at random."""
    names, rng = defaultdict(list), np.random.default_rng(seed)
    for name in sorted(truth):
        names[name.partition("/")[0]].append(name)
    return {name for each in names.values() for name in rng.permutation(each)[: len(each) // 2].tolist()}


def part(photos: Path, folder: Path, names: dict[str, Truth]) -> Path:
    """A folder with some of the photos, and those without a tag."""
    untagged = (one.relative_to(photos).as_posix() for one in photos.glob("_background/*"))
    for name in (*names, *untagged):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to((photos / name).resolve())
    return folder


def label(photos: Path, name: str, seed: int, model: Path | None = None) -> Labeled:
    """`bas label` as a user types it."""
    out, began = Path("runs", "going_on", f"{name}_{seed}"), time.process_time()
    weights = str(data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth")
    start = ["--model", str(model)] if model else ["--weights", weights]
    command = ["label", str(photos), "--out", str(out), "--seed", str(seed), "--overwrite", "--quiet", *start]
    if bas(command):
        raise SystemExit(1)
    return Labeled(out, [*Kept.found], time.process_time() - began)


if __name__ == "__main__":
    main()
