"""Which start survives small data: the paper's beside each remedy alone and together, by the recipe `quick_joint`.

python benchmarks/start.py

A frozen f1 makes one run a matter of minutes; the first and the last are measured again with everything trained
(benchmarks/cub25.py, rows paper_start and bas).
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from record import data_fingerprint, data_folder, record

import torchbas as tb
from torchbas import data, recipes
from torchbas.api import Compute
from torchbas.config import Inference
from torchbas.evaluation.evaluator import Row
from torchbas.inference.localizer import Localizer
from torchbas.structures import Dataset
from torchbas.training.loop import Hooks
from torchbas.training.recipe import train_recipe

STEPS, EVERY = 120, 20
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
ROWS = (Row("k1", Inference(top_k=1), THRESHOLDS), Row("kall", Inference(top_k=0), THRESHOLDS))


@dataclass(frozen=True)
class Start:
    """How a training begins."""

    classifier_steps: int = 0
    sharing: float = 0.0
    area_steps: int = 0
    new_layers: float = 10.0


STARTS = {
    "paper": Start(),
    "slow_new_layers": Start(new_layers=2.0),
    "area_warmup": Start(area_steps=60),
    "sharing": Start(sharing=1.0),
    "classifier_first": Start(classifier_steps=60),
    "classifier_first_and_sharing": Start(classifier_steps=60, sharing=1.0),
}


def main() -> None:
    birds = data.read(data_folder() / "cub25")
    for name, start in STARTS.items():
        began = time.monotonic()
        curve = measure(birds, name, start)
        record(
            "wsol",
            f"start_{name}",
            data=f"cub25, {data_fingerprint([sample.name for sample in birds.samples])}",
            recipe=f"quick_joint, {STEPS} steps, {start}",
            protocol="authors, center crop",
            split="test, every fourth photo",
            threshold={"value": None, "chosen": f"oracle, best of {len(THRESHOLDS)} at every step"},
            metrics={f"gt_known_{row.name}": curve[-1][row.name] for row in ROWS},
            curve=curve,
            seed=0,
            seconds=round(time.monotonic() - began),
        )


def measure(birds: Dataset, name: str, start: Start) -> list[dict]:
    """GT-known, and the losses, while one start unfolds."""
    quick = recipes.load("quick_joint")
    recipe = replace(
        quick,
        options=replace(quick.options, classifier_steps=start.classifier_steps, area_steps=start.area_steps),
        training=replace(quick.training, steps=STEPS, new_layers=start.new_layers, sharing=start.sharing),
    )
    test = birds.only("test")
    test = replace(test, samples=test.samples[::4])
    curve: list[dict] = []
    latest: dict[str, float] = {}

    def watch(localizer: Localizer) -> Hooks:
        def add_point(step: int) -> None:
            compute = Compute(precision="bf16-mixed")
            scores = tb.evaluate(test, localizer, rows=ROWS, ten_crop=False, compute=compute)
            best = {row.name: scores.best(row.name)[1]["gt_known"] for row in ROWS}
            curve.append({"step": step, **best, "losses": dict(latest)})
            print(name, curve[-1], flush=True)

        return Hooks(every={EVERY: add_point}, on_step=lambda _step, _steps, losses: latest.update(losses))

    weights = data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth"
    train_recipe(birds, recipe, Path("runs") / f"start_{name}", weights=weights, hooks=watch)
    return curve


if __name__ == "__main__":
    main()
