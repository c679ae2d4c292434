"""Training of a method that BAS is compared with, on 25 bird species as cub25.py trains BAS; wsol.py evaluates it.

python benchmarks/baselines.py cam --steps 240 --seed 0
python benchmarks/baselines.py acol --option erase_threshold=0.7

Leaves the model in runs/cub25_<backbone>_<method>_seed<n>/, with the seconds it took in log.json.
"""

import argparse
import ast
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from record import circumstances, data_fingerprint, data_folder

from torchbas import data, recipes
from torchbas.config import Recipe
from torchbas.methods import METHODS
from torchbas.training.loop import Hooks
from torchbas.training.recipe import train_recipe

WEIGHTS = {"mobilenetv1": "mobilenetv1_imagenet_fp16.pth", "resnet50": "resnet50_imagenet_fp16.pth"}


def main() -> None:
    words = arguments()
    birds = data.read(data_folder() / "cub25")
    out = Path("runs") / f"cub25_{words.backbone}_{words.method}_seed{words.seed}"
    weights = data_folder() / "weights" / WEIGHTS[words.backbone]
    recipe = tailor(recipes.load("small"), words)
    hooks = Hooks(on_step=lambda step, _, terms: print(step, terms, flush=True))
    start = time.monotonic()
    train_recipe(
        birds,
        recipe,
        out,
        weights=weights,
        device=words.device,
        workers=words.workers,
        resume=words.resume,
        hooks=lambda _: hooks,
    )
    log = {
        "data": f"cub25, {data_fingerprint([sample.name for sample in birds.samples])}",
        "recipe": f"small, {words.backbone}, {words.steps} steps, {words.method} {recipe.options or ''}".strip(),
        "seed": words.seed,
        "seconds": round(time.monotonic() - start),
        "threads": torch.get_num_threads(),
        **circumstances(),
    }
    (out / "log.json").write_text(json.dumps(log, indent=2) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=[name for name in METHODS if name not in ("bas", "sat")])
    parser.add_argument("--backbone", choices=WEIGHTS, default="mobilenetv1")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--option", type=option, action="append", default=[], help="NAME=VALUE of the method's own")
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


def option(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def tailor(recipe: Recipe, words: argparse.Namespace) -> Recipe:
    activation = "relu6" if words.backbone == "mobilenetv1" else "relu"
    architecture = replace(recipe.architecture, backbone=words.backbone, activation=activation)
    training = replace(recipe.training, steps=words.steps, seed=words.seed, precision="bf16-mixed")
    options = dict(words.option)
    return replace(recipe, method=words.method, options=options, architecture=architecture, training=training)


if __name__ == "__main__":
    main()
