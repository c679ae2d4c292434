"""`--objects largest` and `all` on folders whose photos hold several things, by the models of benchmarks/folders.py.

python benchmarks/objects.py several several_large neu300 [--seed 0]

Each writes results/folders_objects/<name>_<seed>.json: of the true boxes how many are found, of the boxes how many are
right, each by one box with an IoU of at least .5.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch
from folders import CELLS
from record import record
from torchvision.ops import box_iou

from torchbas import api, data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=CELLS, metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    for name in words.names:
        measure(name, words.seed)


def measure(name: str, seed: int) -> None:
    localizer = api.load(Path("runs", "folders", f"{name}_{seed}"))
    metrics, began = {}, time.monotonic()
    with tempfile.TemporaryDirectory() as photos:
        truth = CELLS[name](Path(photos), seed)
        dataset = data.read(photos)
        for objects in ("largest", "all"):
            boxes = defaultdict(list)
            for one in api.predict(dataset, localizer, objects=objects):
                boxes[one.name].append(one.xyxy)
            counts = [matched(boxes[key], one.boxes) for key, one in truth.items()]
            right, found, true = (sum(column) for column in zip(*counts, strict=True))
            metrics |= {
                f"{objects}_found": round(100 * right / true, 1),
                f"{objects}_right": round(100 * right / max(found, 1), 1),
                f"{objects}_boxes": round(found / len(truth), 2),
                "true_boxes": round(true / len(truth), 2),
            }
    record(
        "folders_objects",
        f"{name}_{seed}",
        data=f"{name}, {len(truth)} photos",
        recipe=localizer.recipe,
        protocol="boxes matched one to one where IoU >= .5, closest first; percent of true boxes, and of boxes",
        split="the photos that were trained on",
        threshold={"value": localizer.inference.threshold, "chosen": "fixed: the recipe's"},
        metrics=metrics,
        seed=seed,
        seconds=round(time.monotonic() - began),
    )
    print(name, seed, metrics, flush=True)


def matched(boxes: list[tuple[float, ...]], true: list[tuple[float, ...]]) -> tuple[int, int, int]:
    """Boxes that match, boxes, and true boxes of a photo."""
    if not boxes:
        return 0, 0, len(true)
    overlap = box_iou(torch.tensor(boxes), torch.tensor(true))
    right = 0
    while overlap.max() >= 0.5:
        row, column = divmod(int(overlap.argmax()), len(true))
        overlap[row], overlap[:, column] = -1, -1
        right += 1
    return right, len(boxes), len(true)


if __name__ == "__main__":
    main()
