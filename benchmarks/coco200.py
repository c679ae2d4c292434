"""Many tags a photo: BAS learns the 98 training photos of coco200 (80 classes, up to 11 a photo) by heart.

python benchmarks/coco200.py --steps 300

Far too few photos to learn 80 classes, so what is shown is that the path with many labels works: the classifier comes
to know the tags of these very photos, and the maps come to lie on what was tagged.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import torch
from record import data_fingerprint, data_folder, record

from torchbas import data
from torchbas.api import load
from torchbas.cli import main as bas
from torchbas.data import evaluation_loader, standardize, whole_view

RUN, MASKS = Path("runs/coco200"), Path("runs/coco200_seeds")
RECIPE = "quick_segment"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    words = parser.parse_args()
    samples = data.read(data_folder() / "coco200")
    weights = str(data_folder() / "weights" / "resnet50_imagenet_fp16.pth")
    place, start = str(data_folder() / "coco200"), time.monotonic()
    trained = ["train", place, "--out", str(RUN), "--recipe", RECIPE, "--weights", weights, "--steps", str(words.steps)]
    seeded = ["segment", place, "--model", str(RUN), "--out", str(MASKS), "--recipe", RECIPE, "--until", "seed"]
    if bas(trained) or bas(seeded):
        raise SystemExit(1)
    score = json.loads((MASKS / "run.json").read_text())["scores"]["seed"]
    with (RUN / "log.csv").open(newline="") as file:
        losses = [float(row["classify"]) for row in csv.DictReader(file)]
    learned = [sample for sample in samples.samples if sample.split == "train" and sample.labels]
    record(
        "wsss",
        "coco200_bas_overfit",
        data=f"coco200, {data_fingerprint([sample.name for sample in learned])}",
        recipe=f"{RECIPE}, {words.steps} steps",
        protocol="seeds and tags of the training photos themselves; mIoU over the 81 classes that occur, 255 left out",
        split="train",
        threshold={"value": score["threshold"], "chosen": "oracle: the best of 99 for the whole set, as in the paper"},
        metrics={"miou": score["miou"], "tags_found": tags_found()},
        labels_per_photo=round(sum(len(sample.labels) for sample in learned) / len(learned), 2),
        classification_loss={"first": losses[0], "last": losses[-1]},
        seed=0,
        seconds=round(time.monotonic() - start),
    )


def tags_found() -> float:
    """Of the n tags of a photo, the share that is among its n highest scores, in percent, mean over tags."""
    localizer = load(RUN)
    samples = data.read(data_folder() / "coco200").only("train")
    model, hits, tags = localizer.model.eval(), 0, 0
    for batch in evaluation_loader(samples, whole_view, 16):
        with torch.inference_mode():
            logits = model.logits(standardize(batch.images, *model.normalization))
        ranks = logits.argsort(dim=1, descending=True).argsort(dim=1)
        present = batch.labels > 0
        hits += int((present & (ranks < present.sum(dim=1, keepdim=True))).sum())
        tags += int(present.sum())
    return round(100 * hits / tags, 2)


if __name__ == "__main__":
    main()
