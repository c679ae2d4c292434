"""Methods on the same frozen features: TriLite, CAM, and BAS, on folders of tagged photos.

python benchmarks/features.py NAME... [--seed 0] [--bas]
python benchmarks/features.py NAME... --twice
python benchmarks/features.py NAME --tried

The network, cut and photos are those of recipe quick; each method is trained by a recipe and localizes by its own
threshold, once as its maps are and once drawn to the edges by the CRF. No second pass at twice the size, and no
Layer-CAM that stands in: both are of `bas label`, whose numbers for BAS folders.py has left in results/changed; with
--bas those of its maps alone are measured too. Writes results/analysis/features_<name>_<seed>.json.

With --twice TriLite's maps are those of the photos at twice the size, all tags: results/analysis/
features_twice_<name>_<seed>.json.

With --tried TriLite's maps are trained on one folder, whose boxes then choose its settings, at several places of the
cut, learning rates, weights and lengths: results/analysis/features_tried_<name>.json.
"""

import argparse
import json
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from folders import CELLS, Truth, found_of, score
from jaxtyping import Float
from record import data_folder, record
from torch import Tensor

from torchbas import api, data, recipes
from torchbas.config import Inference, Recipe
from torchbas.data import Batch, Order
from torchbas.inference.localizer import Localizer, silent
from torchbas.methods.base import FeatureBatch
from torchbas.methods.trilite import Options, TriLite
from torchbas.structures import Dataset
from torchbas.training.fabric import make_fabric
from torchbas.training.feature_cache import CachedLoader, compute_features
from torchbas.training.loop import Hooks, fit
from torchbas.training.recipe import method_task
from torchbas.training.train import Trainee

PLACES = (4, None)
RATES = (1e-3, 1e-4)
WEIGHTS = (1.0, 0.1, 100.0)
LENGTHS = (100, 400)
CHOSEN = {"place": None, "lr": 1e-3, "alpha": 1.0, "steps": 400}
"""Settings of TriLite by --tried cub3; the paper's, for DINOv2 and thousands of photos, are 5e-5 and 100."""
AUTO = Inference(threshold="auto")
PROTOCOL = "largest component of each photo's own tag; a box is right with IoU >= .5 with any true one"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=CELLS, metavar="NAME", help=", ".join(CELLS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tried", action="store_true", help="settings of TriLite, in place of the comparison")
    parser.add_argument("--twice", action="store_true", help="TriLite at twice the size, in place of the comparison")
    parser.add_argument("--bas", action="store_true", help="BAS too")
    words = parser.parse_args()
    for name in words.names:
        with tempfile.TemporaryDirectory() as scratch:
            photos = Path(scratch, "photos")
            photos.mkdir()
            truth = CELLS[name](photos, words.seed)
            if words.tried:
                trials(name, words.seed, data.read(photos), truth, Path(scratch))
            elif words.twice:
                twice(name, words.seed, data.read(photos), truth, Path(scratch))
            else:
                compare(name, words.seed, data.read(photos), truth, Path(scratch), bas=words.bas)


def weights() -> Path:
    return data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth"


def trilite(place: int | None, lr: float, alpha: float, steps: int, seed: int) -> Recipe:
    """TriLite on quick's features: AdamW at one constant rate, as in its paper."""
    base = recipes.load("quick")
    optimizer = {"optimizer": "adamw", "lr": lr, "new_layers": 1.0, "bias_factor": 1.0, "weight_decay": 0.01}
    training = replace(base.training, steps=steps, step_epochs=steps, sharing=0.0, seed=seed, **optimizer)
    architecture = replace(base.architecture, generator_stage=place)
    changes: dict[str, Any] = {"architecture": architecture, "training": training, "inference": AUTO}
    return replace(base, method="trilite", options={"alpha": alpha}, **changes)


def compare(
    name: str, seed: int, dataset: Dataset, truth: dict[str, Truth], scratch: Path, *, bas: bool = False
) -> None:
    """All methods on one folder."""
    quick, began = recipes.load("quick"), time.monotonic()
    training = replace(quick.training, seed=seed)
    own = replace(quick.inference, enlarge="never", refine=())
    metrics: dict[str, float] = {}

    def measure(method: str, recipe: Recipe, start: Path) -> Localizer:
        cpu = time.process_time()
        trained = api.train(dataset, scratch / method, recipe=recipe, weights=start)
        seconds = {"training": time.process_time() - cpu}
        for refine in ("none", "crf"):
            cpu = time.process_time()
            localizer = trained.with_refine(refine)
            found = {one.name: found_of(one) for one in api.predict(dataset, localizer)}
            seconds[refine] = time.process_time() - cpu
            metrics.update({f"{method}_{refine}_{key}": value for key, value in score(found, truth).items()})
        metrics[f"{method}_cpu_seconds"] = round(seconds["training"] + seconds["crf"], 1)
        metrics[f"{method}_top1"] = round(100 * top1(trained, dataset), 1)
        print(name, json.dumps({key: value for key, value in metrics.items() if key.startswith(method)}), flush=True)
        return trained

    measure("trilite", trilite(**CHOSEN, seed=seed), weights())
    probe = api.train(
        dataset, scratch / "probe", recipe=replace(quick, training=replace(training, steps=1)), weights=weights()
    )
    architecture = probe.model.architecture  # with the offset that was measured
    as_it_is = replace(training, steps=0)
    cam = replace(quick, method="cam", options={}, architecture=architecture, training=as_it_is, inference=AUTO)
    measure("cam", cam, scratch / "probe")
    for look in ("network", "pooled") if bas else ():
        architecture = replace(quick.architecture, second_look=look)
        measure(look, replace(quick, architecture=architecture, training=training, inference=own), weights())
    record(
        "analysis",
        f"features_{name}_{seed}",
        data=f"{name}, {len(truth)} photos with {len(dataset.classes)} tags",
        recipe=f"quick with each method; trilite: {CHOSEN}; cam: of quick's probe, fit to one view of each photo",
        protocol=f"{PROTOCOL}; no second pass",
        split="the photos that were trained on",
        threshold={
            "value": "auto; BAS .4",
            "chosen": "auto: of each min-max normalized map; BAS's fixed, the recipe's",
        },
        metrics=metrics,
        seed=seed,
        seconds=round(time.monotonic() - began),
    )


def scored(localizer: Localizer, dataset: Dataset, truth: dict[str, Truth]) -> dict[str, float]:
    """Scores of what is found in all photos."""
    return score({one.name: found_of(one) for one in api.predict(dataset, localizer)}, truth)


def twice(name: str, seed: int, dataset: Dataset, truth: dict[str, Truth], scratch: Path) -> None:
    """TriLite's maps of all photos at twice the size, where `bas label` has BAS's of the tags that hold there."""
    began, metrics = time.monotonic(), dict[str, float]()
    trained = api.train(dataset, scratch / "trilite", recipe=trilite(**CHOSEN, seed=seed), weights=weights())
    for refine in ("none", "crf"):
        localizer = trained.with_inference(enlarge="always").with_refine(refine)
        scores = scored(localizer, dataset, truth)
        metrics |= {f"trilite_{refine}_{key}": value for key, value in scores.items()}
    print(name, json.dumps(metrics), flush=True)
    record(
        "analysis",
        f"features_twice_{name}_{seed}",
        data=f"{name}, {len(truth)} photos with {len(dataset.classes)} tags",
        recipe=f"quick with trilite: {CHOSEN}",
        protocol=f"{PROTOCOL}; all photos at twice the size",
        split="the photos that were trained on",
        threshold={"value": "auto", "chosen": "auto: of each min-max normalized map"},
        metrics=metrics,
        seed=seed,
        seconds=round(time.monotonic() - began),
    )


@torch.inference_mode()
def top1(localizer: Localizer, dataset: Dataset) -> float:
    """Share of the photos whose most probable class is their tag."""
    view = partial(data.whole_view, size=localizer.resize)
    right = []
    for batch in data.evaluation_loader(dataset, view, 16, at_least=localizer.resize):
        logits = localizer.model.eval().logits(data.standardize(batch.images, *localizer.model.normalization))
        right += (logits.argmax(dim=1) == batch.target).tolist()
    return sum(right) / len(right)


class MapsAlone(TriLite):
    """TriLite without the classifier beside its maps, which on frozen features teaches them nothing."""

    def losses(self, batch: Batch | FeatureBatch, step: int) -> dict[str, Float[Tensor, ""]]:  # noqa: ARG002
        return self.map_losses(self.batch_features(batch), batch)


def trials(name: str, seed: int, dataset: Dataset, truth: dict[str, Truth], scratch: Path) -> None:
    """TriLite's maps by every setting, on features that are computed once at each place."""
    began, fabric = time.monotonic(), make_fabric("cpu", "32-true")
    metrics: dict[str, float] = {}
    for place in PLACES:
        recipe = trilite(place, RATES[0], WEIGHTS[0], LENGTHS[-1], seed)
        task = method_task(dataset, recipe, scratch, weights=weights())
        torch.manual_seed(seed)
        localizer: Any = task.build()
        task.setup(fabric, localizer)
        how = {"forward": nullcontext, "progress": silent}
        views = recipe.training.views
        cached = compute_features(localizer.model, dataset, recipe.training, scratch / "features.npy", views, **how)
        for lr, alpha in product(RATES, WEIGHTS):
            training = trilite(place, lr, alpha, LENGTHS[-1], seed).training
            one = replace(localizer, model=maps_alone(localizer.model, alpha, seed))

            def measure(step: int, at: str = f"place={place}_lr={lr:g}_alpha={alpha:g}", one: Localizer = one) -> None:
                if step in LENGTHS:
                    metrics[f"{at}_steps={step}_gt_known"] = scored(one, dataset, truth)["gt_known"]
                    print(f"{at}_steps={step}", metrics[f"{at}_steps={step}_gt_known"], flush=True)

            loader = CachedLoader(cached, Order(len(cached), training.batch_size, seed))
            every, new = Hooks(every={LENGTHS[0]: measure}), one.model.new_layers
            out = scratch / f"{place}_{lr}_{alpha}"
            out.mkdir()
            fit(fabric, Trainee(one.model), loader, training, out, hooks=every, new=new)
            keep_tried(name, seed, dataset, metrics, began)


def keep_tried(name: str, seed: int, dataset: Dataset, metrics: dict[str, float], began: float) -> None:
    """Write what was tried so far."""
    record(
        "analysis",
        f"features_tried_{name}",
        data=f"{name}, {len(dataset.samples)} photos with {len(dataset.classes)} tags",
        recipe="quick's features; trilite's maps alone; place: --generator-stage, None quick's own",
        protocol=f"{PROTOCOL}; no second pass, no CRF",
        split="the photos that were trained on; their boxes choose the settings for other folders",
        threshold={"value": "auto", "chosen": "auto: of each min-max normalized map"},
        metrics=metrics,
        seed=seed,
        seconds=round(time.monotonic() - began),
    )


def maps_alone(model: TriLite, alpha: float, seed: int) -> MapsAlone:
    """The same network with new maps."""
    torch.manual_seed(seed)
    colors, options = model.normalization, Options(alpha=alpha)
    made = MapsAlone.build(model.architecture, model.num_classes, weights(), colors, options)
    made.freeze_f1()
    made.head.requires_grad_(False)
    made.f2.requires_grad_(False)
    return made


if __name__ == "__main__":
    main()
