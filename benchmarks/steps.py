"""Area of the map and S_b / S of each tag against training steps, with two recipes on one folder.

python benchmarks/steps.py [FOLDER] [--seed 0]

FOLDER is one of benchmarks/folders.py. Into results/wsol/steps_<folder>_<seed>.json and .png.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from folders import CELLS
from record import data_folder, record

from torchbas import api, data, recipes
from torchbas.api import Watch
from torchbas.losses import bas_ratios
from torchbas.methods.trained import TrainedModel
from torchbas.structures import Dataset
from torchbas.training.loop import Hooks
from torchbas.viz.plots import Line, panels

EVERY = 5
"""Steps between two looks at the maps."""
PHOTOS = 8
"""Photos of each tag that are looked at."""
RECIPES = ("quick_joint", "quick")
CAPTIONS = {"area": "area of the map", "bas_ratio": "S_b / S"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="cat_dog", choices=CELLS)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch, "photos")
        photos.mkdir()
        CELLS[words.folder](photos, words.seed)
        dataset = api.check(photos)
        curves = {name: watched(dataset, name, words.seed, Path(scratch, name)) for name in RECIPES}
    name = f"steps_{words.folder}_{words.seed}"
    last = {
        f"{recipe}_{tag}_{key}": rows[-1][key]
        for recipe, tags in curves.items()
        for tag, rows in tags.items()
        for key in CAPTIONS
    }
    record(
        "wsol",
        name,
        data=f"{words.folder}, {len(dataset.samples)} photos with {len(dataset.classes)} tags",
        recipe=" and ".join(RECIPES),
        split="the photos that were trained on",
        threshold=None,
        protocol=f"medians over {PHOTOS} training photos of each tag; S_b / S with the map as it is, not thresholded",
        metrics=last,
        curves=curves,
        seed=words.seed,
        seconds=round(time.monotonic() - began),
    )
    lines = {
        f"{recipe}: {caption}": {
            tag: Line([row["step"] for row in rows], [row[key] for row in rows]) for tag, rows in curves[recipe].items()
        }
        for recipe in RECIPES
        for key, caption in CAPTIONS.items()
    }
    place = Path(__file__).parents[1] / "results/wsol" / f"{name}.png"
    panels(place, lines, xlabel="training steps", ylabel="", title=f"Two starts, {words.folder}", share_y=True)


def watched(dataset: Dataset, name: str, seed: int, out: Path) -> dict[str, list[dict[str, float]]]:
    """Train by a recipe; by tag a row every few steps."""
    curves: dict[str, list[dict[str, float]]] = {tag: [] for tag in dataset.classes}
    left, few = dict.fromkeys(range(len(dataset.classes)), PHOTOS), []
    for sample in dataset.samples:
        if len(sample.labels) == 1 and left[sample.labels[0]]:
            left[sample.labels[0]] -= 1
            few.append(sample)
    loader = data.evaluation_loader(
        Dataset(dataset.root, dataset.classes, tuple(few)), partial(data.whole_view, size=256), 64
    )
    images = torch.cat([batch.images for batch in loader])
    labels = torch.tensor([sample.labels[0] for sample in few])

    @torch.inference_mode()
    def look(trained: TrainedModel, step: int) -> None:
        method = trained.model
        encoded = method.encode(data.standardize(images, *method.normalization))
        maps = method.generator.of(encoded.features, labels[:, None])[:, 0]
        ratios = bas_ratios(encoded, labels, maps[:, None])[:, 0]
        for label, tag in enumerate(dataset.classes):
            own = labels == label
            area, ratio = maps[own].mean(dim=(1, 2)).median(), ratios[own].median()
            curves[tag].append({"step": step, "area": round(float(area), 4), "bas_ratio": round(float(ratio), 4)})

    recipe = recipes.load(name)
    recipe = replace(recipe, training=replace(recipe.training, seed=seed))
    watch = Watch(hooks=lambda trained: Hooks(every={EVERY: partial(look, trained)}))
    weights = data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth"
    api.train(dataset, out, recipe=recipe, weights=weights, watch=watch)
    return curves


if __name__ == "__main__":
    main()
