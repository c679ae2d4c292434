"""alpha, beta, lambda and k on 25 bird species: the paper's Figs. 9 and 10 in small, by the recipe `quick_joint`.

python benchmarks/sweeps.py
python benchmarks/sweeps.py --sharing 0.2 --only base alpha_0.25 beta_3

Each training changes one weight of the objective; k needs no training of its own.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from record import data_fingerprint, data_folder, record

import torchbas as tb
from torchbas import data, recipes
from torchbas.api import Compute
from torchbas.config import Inference, Objective, Recipe
from torchbas.evaluation.accumulator import Scores
from torchbas.evaluation.evaluator import Row
from torchbas.training.recipe import train_recipe

STEPS, CLASSIFIER_STEPS = 120, 60
GRID = {"guidance": (0.25, 1.0), "area": (0.75, 3.0), "suppression": (0.0, 0.5, 2.0)}
"""Beside the values of `quick_joint`, which one training shares."""
GREEK = {"guidance": "alpha", "area": "beta", "suppression": "lambda"}
CLASSES = (1, 2, 3, 5, 10, 25)
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, "auto")
ROWS = [Row(f"k{k}", Inference(top_k=k), THRESHOLDS) for k in CLASSES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="these points only")
    parser.add_argument("--sharing", type=float, help="of the generator's filters; the recipe's if not given")
    words = parser.parse_args()
    birds = data.read(data_folder() / "cub25")
    test = birds.only("test")
    test = replace(test, samples=test.samples[::2])
    base = recipes.load("quick_joint")
    if words.sharing is not None:
        base = replace(base, training=replace(base.training, sharing=words.sharing))
    usual = replace(base.options, classifier_steps=CLASSIFIER_STEPS)
    points = {"base": usual}
    points |= {f"{GREEK[name]}_{v:g}": replace(usual, **{name: v}) for name, values in GRID.items() for v in values}
    for name in words.only or points:
        objective = points[name]
        start = time.monotonic()
        training = replace(base.training, steps=STEPS)
        recipe = replace(base, options=objective, training=training)
        name += "" if words.sharing is None else f"_sharing_{words.sharing:g}"
        weights = data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth"
        localizer = train_recipe(birds, recipe, Path("runs") / f"sweep_{name}", weights=weights)
        compute = Compute(precision="bf16-mixed")
        scores = tb.evaluate(test, localizer, rows=ROWS, ten_crop=False, compute=compute)
        write(name, objective, scores, recipe, data_fingerprint([sample.name for sample in birds.samples]), start)


def write(name: str, objective: Objective, scores: Scores, recipe: Recipe, fingerprint: str, start: float) -> None:
    metrics = {}
    for row in ROWS:
        metrics[f"gt_known_{row.name}"] = scores.best(row.name)[1]["gt_known"]
        metrics[f"gt_known_auto_{row.name}"] = scores.rows[row.name]["auto"]["gt_known"]
    weights = {greek: getattr(objective, field) for field, greek in GREEK.items()}
    record(
        "wsol",
        f"sweep_{name}",
        data=f"cub25, {fingerprint}",
        recipe=f"quick_joint, {STEPS} steps, classifier first {CLASSIFIER_STEPS}, sharing {recipe.training.sharing:g}",
        protocol="authors, center crop",
        split=f"test, every second photo, {scores.images} photos",
        threshold={"value": None, "chosen": f"oracle, best of {len(THRESHOLDS) - 1}; gt_known_auto: each image's own"},
        metrics=metrics,
        weights=weights,
        seed=recipe.training.seed,
        seconds=round(time.monotonic() - start),
    )
    print(name, metrics, flush=True)


if __name__ == "__main__":
    main()
