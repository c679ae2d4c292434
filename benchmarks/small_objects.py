"""Small objects (Sec. 6) on 25 bird species: plain BAS, the relative area term, a second pass enlarged, and both.

python benchmarks/small_objects.py
python benchmarks/small_objects.py --model runs/mine --zoom 0.5

Each network is taken from its run where that is there, else trained into it, as cub25.py trains. Birds are rarely small
in their photos, so each row is measured a second time on the same photos set into a blurred background, twice as wide
and high, made of their own mirror images: that is ``_half``, whose birds cover a quarter of the share.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from record import data_fingerprint, data_folder, record

import torchbas as tb
from torchbas import data, recipes
from torchbas.api import Compute
from torchbas.config import Inference, Recipe
from torchbas.evaluation.accumulator import Scores
from torchbas.evaluation.evaluator import EvalSettings, Row, evaluate
from torchbas.evaluation.protocol import SIZES, EvalProtocol, EvalTarget, ImageMetrics
from torchbas.inference.localizer import Localizer
from torchbas.structures import Dataset, Sample
from torchbas.training.loop import Hooks
from torchbas.training.recipe import train_recipe

THRESHOLDS = ("auto", 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
AUTHORS = "authors, center crop instead of ten for classification"
SETS = {
    "": "photos as they are",
    "_half": "photos on a background twice as wide and high, of their mirror images, blurred; place by chance, seed 0",
}
BoxIoUs = dict[str, dict[str, list[float]]]
"""Row -> group by size -> IoU at ``auto`` of each photo."""


def main() -> None:
    words = arguments()
    birds = data.read(data_folder() / "cub25")
    test = birds.only("test")
    test = replace(test, samples=test.samples[:: words.every])
    rows = {"plain": Inference(), "zoom": Inference(zoom=words.zoom, padding=words.padding)}
    with tempfile.TemporaryDirectory() as folder:
        samples = {"": test, "_half": on_larger_background(test, Path(folder))}
        for form, run in (("mean", words.model), ("relative", words.area_model)):
            localizer = trained(run, form, birds, words)
            named = rows if form == "mean" else {"area": rows["plain"], "area_zoom": rows["zoom"]}
            for kind, dataset in samples.items():
                start = time.monotonic()
                scores, box_ious = score(localizer, dataset, named)
                common = {
                    "data": f"cub25, {data_fingerprint([sample.name for sample in dataset.samples])}",
                    "recipe": f"{localizer.recipe}, mobilenetv1, area {form}, run {run.name}",
                    "split": f"test, {scores.images} photos",
                    "seed": words.seed,
                    "seconds": round(time.monotonic() - start),
                }
                for row, way in named.items():
                    protocol = "; ".join([AUTHORS, SETS[kind], *([second_pass(way)] if way.zoom else [])])
                    write(f"{row}{kind}", scores, row, box_ious[row], {**common, "protocol": protocol})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/cub25_mobilenetv1_bas"), help="run of plain BAS")
    parser.add_argument("--area-model", type=Path, default=Path("runs/cub25_mobilenetv1_area"), help="relative area's")
    parser.add_argument("--area", type=float, help="beta of the relative area; the recipe's if not given")
    parser.add_argument("--zoom", type=float, default=0.5, help="share of the image under which a region is enlarged")
    parser.add_argument("--padding", type=float, default=Inference.padding)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--steps", type=int, help="the recipe's if not given")
    parser.add_argument("--every", type=int, default=1, help="score every Nth photo of the test split")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def trained(run: Path, form: str, birds: Dataset, words: argparse.Namespace) -> Localizer:
    """The network in ``run``, or a new one trained into it."""
    if (run / "model.json").is_file():
        return tb.load(run)
    weights = data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth"
    hooks = Hooks(on_step=lambda step, _, terms: print(step, terms, flush=True))
    return train_recipe(
        birds, tailor(recipes.load(words.recipe), form, words), run, weights=weights, hooks=lambda _: hooks
    )


def tailor(recipe: Recipe, form: str, words: argparse.Namespace) -> Recipe:
    beta = words.area if form == "relative" and words.area is not None else recipe.options.area
    return replace(
        recipe,
        architecture=replace(recipe.architecture, backbone="mobilenetv1", activation="relu6"),
        options=replace(recipe.options, area_form=form, area=beta),
        training=replace(recipe.training, steps=words.steps or recipe.training.steps, seed=words.seed),
    )


def on_larger_background(dataset: Dataset, folder: Path) -> Dataset:
    """The photos, unscaled, in a canvas twice as wide and high, clear of the margin that the authors' crop cuts off."""
    samples = []
    for number, sample in enumerate(dataset.samples):
        image = np.asarray(data.open_image(sample.path))
        height, width = image.shape[:2]
        share = np.random.default_rng((0, number)).uniform(1 / 8, 7 / 8, size=2)
        top, left = (int(place) for place in share * (height, width))
        ends = (top, height - top, left, width - left)
        mirrored = cv2.copyMakeBorder(image, *ends, cv2.BORDER_REFLECT_101)
        canvas = cv2.GaussianBlur(mirrored, (0, 0), max(height, width) / 12)  # no bird can be made out
        canvas[top : top + height, left : left + width] = image
        path = folder / f"{number}.png"
        Image.fromarray(canvas).save(path, compress_level=1)
        samples.append(moved(sample, path, left, top))
    return replace(dataset, samples=tuple(samples))


def moved(sample: Sample, path: Path, left: int, top: int) -> Sample:
    boxes = tuple((x0 + left, y0 + top, x1 + left, y1 + top) for x0, y0, x1, y1 in sample.boxes)
    return replace(sample, path=path, boxes=boxes)


def score(localizer: Localizer, dataset: Dataset, rows: dict[str, Inference]) -> tuple[Scores, BoxIoUs]:
    box_ious: BoxIoUs = {row: defaultdict(list) for row in rows}

    def add_ious(target: EvalTarget, metrics_by_row: dict[str, ImageMetrics]) -> None:
        size = next(name for name, most in SIZES.items() if target.area <= most)
        for row, metrics in metrics_by_row.items():
            box_ious[row][size].append(metrics.iou_at["auto"])

    evaluator = evaluate(
        localizer.model,
        localizer.with_own_classes(dataset),
        [Row(name, inference, THRESHOLDS) for name, inference in rows.items()],
        EvalProtocol("authors", THRESHOLDS, localizer.resize, localizer.crop),
        EvalSettings(ten_crop=False, forward=Compute(precision="bf16-mixed").context()),
        add_ious,
    )
    return evaluator.scores("auto"), box_ious


def second_pass(way: Inference) -> str:
    return f"second pass under {way.zoom:g} of the image, padding {way.padding:g}"


def write(name: str, scores: Scores, row: str, box_ious: dict[str, list[float]], common: dict[str, Any]) -> None:
    threshold, best = scores.best(row)
    sizes = {size: np.array(box_ious[size]) for size in SIZES if size in box_ious}
    path = record(
        "wsol",
        f"cub25_mobilenetv1_small_{name}",
        **common,
        threshold={"value": "auto", "chosen": "auto, per image, without boxes"},
        metrics={
            **scores.rows[row]["auto"],
            "top1_cls": scores.top1_cls,
            "median_iou": scores.summaries[row]["median_iou"],
        },
        per_size={
            size: {"photos": len(iou), "gt_known": 100 * float((iou >= 0.5).mean()), "mean_iou": float(iou.mean())}
            for size, iou in sizes.items()
        },
        oracle={"threshold": threshold, "chosen": f"best of {len(THRESHOLDS) - 1} on the test split", "metrics": best},
    )
    print(path.name, scores.rows[row]["auto"], flush=True)


if __name__ == "__main__":
    main()
