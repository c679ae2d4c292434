"""All methods on 25 bird species, both protocols, every metric, from the models that the other scripts have trained.

python benchmarks/wsol.py mobilenetv1 RUNS

RUNS holds what benchmarks/cub25.py (rows bas and no_lbas) and benchmarks/baselines.py left in runs/. Grad-CAM and
Layer-CAM look at CAM's network. What is not there is left out.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from record import data_fingerprint, data_folder, record

import torchbas as tb
from torchbas import data
from torchbas.baselines.evaluate import evaluate as evaluate_baselines
from torchbas.baselines.train import Baseline
from torchbas.baselines.train import load as load_baseline
from torchbas.config import Inference
from torchbas.engine.board import Scores
from torchbas.engine.evaluate import Pass
from torchbas.engine.scoring import Rules
from torchbas.localize import Row, evaluate
from torchbas.types import Collection

LEVELS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, "auto")
POST_HOC = {
    "gradcam": ("gradcam", {}),
    "gradcam_features": ("gradcam", {"layer": "features"}),
    "layercam": ("layercam", {}),
    "layercam_features": ("layercam", {"layer": "features"}),
}
TRAINED = ("cam", "has", "cutmix", "adl", "acol", "spg")
BAS = {"no_lbas": "no_lbas", "bas": "bas"}
FIXED, SEED = 0.1, 0


@dataclass(frozen=True)
class Judge:
    """One network, the rows it gives and how it was trained."""

    rows: tuple[str, ...]
    score: Callable[[Collection, str], Scores]
    recipe: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--every", type=int, default=1, help="score every n-th photo only")
    parser.add_argument("--only", nargs="*", help="these networks only")
    words = parser.parse_args()
    birds = data.read(data_folder() / "cub25")
    seen = birds.only("test")
    seen = replace(seen, photos=seen.photos[:: words.every])
    for name, judge in judges(words.runs, words.backbone).items():
        if words.only and name not in words.only:
            continue
        for protocol in ("authors", "wsoleval"):
            start = time.monotonic()
            scores = judge.score(seen, protocol)
            for row in judge.rows:
                write(words.backbone, row, judge, scores, birds, time.monotonic() - start)
            print(name, protocol, {row: scores.summaries[row]["oracle"] for row in judge.rows}, flush=True)


def judges(runs: Path, backbone: str) -> dict[str, Judge]:
    """What was trained, by name."""
    found = {}
    for method in TRAINED:
        run = runs / f"cub25_{backbone}_{method}_seed{SEED}"
        if (run / "model.json").is_file():
            looks = {method: load_baseline(run)}
            if method == "cam":
                looks |= {row: load_baseline(run, look, **options) for row, (look, options) in POST_HOC.items()}
            said = json.loads((run / "log.json").read_text())
            found[method] = Judge(tuple(looks), baseline_scores(looks), f"{said['recipe']}, {said['seconds']} s")
    for name in BAS:
        run = runs / f"cub25_{backbone}_{name}"
        if (run / "model.json").is_file():
            rows = {f"{name}_k1": Inference(top=1), f"{name}_kall": Inference(top=0)}
            found[name] = Judge(tuple(rows), bas_scores(run, rows), f"small, {backbone}, row {name} of cub25.py")
    return found


def baseline_scores(looks: dict[str, Baseline]) -> Callable[[Collection, str], Scores]:
    def score(photos: Collection, protocol: Any) -> Scores:
        first = next(iter(looks.values()))
        how = Pass(first.model.normalisation, ten_crop=False, forward=autocast)
        methods = {row: baseline.model for row, baseline in looks.items()}
        rules = Rules(protocol, LEVELS, first.side, first.crop)
        return evaluate_baselines(methods, photos.relabelled(first.classes), rules, how, "auto")

    return score


def bas_scores(run: Path, rows: dict[str, Inference]) -> Callable[[Collection, str], Scores]:
    def score(photos: Collection, protocol: Any) -> Scores:
        model = tb.load(run)
        return evaluate(
            model.model,
            model.adopt(photos),
            [Row(name, way, LEVELS) for name, way in rows.items()],
            (model.mean, model.std),
            protocol=protocol,
            ten_crop=False,
            forward=autocast,
        )

    return score


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def write(backbone: str, row: str, judge: Judge, scores: Scores, birds: Collection, seconds: float) -> None:
    summary, best = dict(scores.summaries[row]), scores.rows[row]
    oracle = summary.pop("oracle")
    extra = {name: summary[name] for name in ("maxboxacc", "maxboxaccv2") if name in summary}
    record(
        "wsol",
        f"bench_{backbone}_{row}_{scores.protocol}",
        data=f"cub25, {data_fingerprint([photo.name for photo in birds.photos])}",
        recipe=judge.recipe,
        protocol=f"{scores.protocol}, classified by the view that is looked at",
        split=f"test, {scores.images} photos",
        threshold={"value": FIXED, "chosen": "fixed; auto: each image's own; oracle: best of the grid on this split"},
        metrics={
            **best[FIXED],
            **{f"auto_{name}": value for name, value in best["auto"].items()},
            **extra,
            "median_iou_auto": summary["median_iou"],
            "top1_cls": scores.top1_cls,
            "top5_cls": scores.top5_cls,
        },
        oracle=oracle,
        per_size=summary["gt_known_per_size"],
        per_class=summary["gt_known_per_class"],
        centred_box=scores.centred_box[1],
        seed=SEED,
        seconds=round(seconds),
    )


if __name__ == "__main__":
    main()
