"""Table 2's columns on 25 bird species: CAM, without L_bas, with it, with top-k; and GT-known while training.

python benchmarks/cub25.py mobilenetv1 --steps 240
python benchmarks/cub25.py mobilenetv1 --steps 240 --suppression 0 --row no_lbas
python benchmarks/cub25.py mobilenetv1 --steps 144 --classifier-steps 0 --sharing 0 --row paper_start
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from record import data_fingerprint, data_folder, record

import torchbas as tb
from torchbas import data, recipes
from torchbas.api import Compute
from torchbas.config import Inference, Recipe
from torchbas.evaluation.accumulator import Scores
from torchbas.evaluation.evaluator import Row
from torchbas.inference.localizer import Localizer
from torchbas.structures import Dataset
from torchbas.training.loop import Hooks
from torchbas.training.recipe import train_recipe

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
FIXED = 0.1
ROWS = (
    Row("cam", None, THRESHOLDS),
    Row("k1", Inference(top_k=1), THRESHOLDS),
    Row("kall", Inference(top_k=0), THRESHOLDS),
)
WEIGHTS = {"mobilenetv1": "mobilenetv1_imagenet_fp16.pth", "resnet50": "resnet50_imagenet_fp16.pth"}


def main() -> None:
    words = arguments()
    birds = data.read(data_folder() / "cub25")
    recipe = tailor(recipes.load("small"), words)
    curve: list[dict] = []
    start = time.monotonic()

    def watch(localizer: Localizer) -> Hooks:
        def add_point(step: int) -> None:
            scores = evaluate(localizer, birds, ten_crop=False)
            curve.append({"step": step, **{row.name: scores.best(row.name)[1]["gt_known"] for row in ROWS}})
            print(f"{time.monotonic() - start:.0f} s {curve[-1]} top-1 {scores.top1_cls:.1f}", flush=True)

        return Hooks(every={words.every: add_point}, on_step=lambda step, _, terms: print(step, terms, flush=True))

    out = Path("runs") / f"cub25_{words.backbone}_{words.row}"
    weights = data_folder() / "weights" / WEIGHTS[words.backbone]
    localizer = train_recipe(
        birds, recipe, out, weights=weights, hooks=watch, workers=words.workers, resume=words.resume
    )
    seconds = time.monotonic() - start
    write(words, birds, recipe, evaluate(localizer, birds, ten_crop=words.ten_crop), curve, seconds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone", choices=WEIGHTS)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--classifier-steps", type=int)
    parser.add_argument("--sharing", type=float)
    parser.add_argument("--suppression", type=float, default=1.0)
    parser.add_argument("--row", default="bas", help="name in results/: cub25_<backbone>_<row>")
    parser.add_argument("--every", type=int, default=24, help="steps between two points of the curve of GT-known")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--ten-crop", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


def tailor(recipe: Recipe, words: argparse.Namespace) -> Recipe:
    activation = "relu6" if words.backbone == "mobilenetv1" else "relu"
    objective = replace(recipe.options, suppression=words.suppression)
    if words.classifier_steps is not None:
        objective = replace(objective, classifier_steps=words.classifier_steps)
    training = replace(recipe.training, steps=words.steps, seed=words.seed)
    if words.sharing is not None:
        training = replace(training, sharing=words.sharing)
    return replace(
        recipe,
        architecture=replace(recipe.architecture, backbone=words.backbone, activation=activation),
        options=objective,
        training=training,
    )


def evaluate(localizer: Localizer, birds: Dataset, *, ten_crop: bool) -> Scores:
    compute = Compute(precision="bf16-mixed")
    return tb.evaluate(birds, localizer, rows=ROWS, ten_crop=ten_crop, compute=compute)


def write(
    words: argparse.Namespace,
    birds: Dataset,
    recipe: Recipe,
    scores: Scores,
    curve: list[dict],
    seconds: float,
) -> None:
    objective, sharing = recipe.options, recipe.training.sharing
    start = [f"classifier first {objective.classifier_steps}", f"sharing {sharing:g}"]
    start.append(f"lambda {objective.suppression:g}")
    common = {
        "data": f"cub25, {data_fingerprint([sample.name for sample in birds.samples])}",
        "recipe": ", ".join(["small", words.backbone, f"{words.steps} steps", *start]),
        "protocol": "authors" if words.ten_crop else "authors, center crop instead of ten for classification",
        "split": f"test, {scores.images} photos",
        "seed": words.seed,
        "seconds": round(seconds),
    }
    classification = {"top1_cls": scores.top1_cls, "top5_cls": scores.top5_cls}
    prefix = words.row
    names = {"cam": "cam", "k1": "bas_k1"} if prefix == "bas" else {"cam": f"{prefix}_cam", "k1": prefix}
    names["kall"] = f"{prefix}_kall"
    for row, name in names.items():
        threshold, best = scores.best(row)
        record(
            "wsol",
            f"cub25_{words.backbone}_{name}",
            **common,
            threshold={"value": FIXED, "chosen": "fixed"},
            metrics=scores.rows[row][FIXED] | classification,
            oracle={"threshold": threshold, "chosen": f"best of {len(THRESHOLDS)} on the test split", "metrics": best},
        )
    side, center_prior = scores.center_prior
    record(
        "wsol",
        f"cub25_{words.backbone}_{words.row}_curve",
        **common,
        threshold={"value": None, "chosen": f"oracle, best of {len(THRESHOLDS)} at every step"},
        metrics={
            "center_prior_gt_known": center_prior,
            "center_prior_side": side,
            "whole_image_gt_known": scores.whole_image,
        },
        curve=curve,
    )


if __name__ == "__main__":
    main()
