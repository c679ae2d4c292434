"""All methods on 25 bird species, both protocols, every metric, from the models that the other scripts have trained.

python benchmarks/wsol.py mobilenetv1 RUNS

RUNS holds what benchmarks/cub25.py (rows bas and no_lbas) and benchmarks/baselines.py left in runs/. Grad-CAM and
Layer-CAM read CAM's network. What is not there is left out.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from record import data_fingerprint, data_folder, record

import torchbas as tb
from torchbas import data, methods
from torchbas.api import Compute, Scores
from torchbas.config import Inference
from torchbas.evaluation.evaluator import Row
from torchbas.methods.base import Method
from torchbas.structures import Dataset

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, "auto")
POST_HOC = {
    "gradcam": ("gradcam", {}),
    "gradcam_features": ("gradcam", {"layer": "f1"}),
    "layercam": ("layercam", {}),
    "layercam_features": ("layercam", {"layer": "f1"}),
}
"""Row: method and options by which CAM's network is read."""
TRAINED = ("cam", "has", "cutmix", "adl", "acol", "spg")
BAS = ("no_lbas", "bas")
PROTOCOLS: tuple[Literal["authors", "wsoleval"], ...] = ("authors", "wsoleval")
FIXED, SEED = 0.1, 0


@dataclass(frozen=True)
class Network:
    """A trained network, the rows it gives and how it was trained."""

    model: tb.Localizer
    rows: tuple[Row, ...]
    recipe: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--every", type=int, default=1, help="evaluate every n-th photo only")
    parser.add_argument("--only", nargs="*", help="these networks only")
    words = parser.parse_args()
    birds = data.read(data_folder() / "cub25")
    test = birds.only("test")
    test = replace(test, samples=test.samples[:: words.every])
    for name, network in networks(words.runs, words.backbone).items():
        if words.only and name not in words.only:
            continue
        for protocol in PROTOCOLS:
            start = time.monotonic()
            compute = Compute(precision="bf16-mixed")
            scores = tb.evaluate(
                test, network.model, rows=network.rows, protocol=protocol, ten_crop=False, compute=compute
            )
            for row in network.rows:
                write(words.backbone, row.name, network.recipe, scores, birds, time.monotonic() - start)
            print(name, protocol, {row: summary["oracle"] for row, summary in scores.summaries.items()}, flush=True)


def networks(runs: Path, backbone: str) -> dict[str, Network]:
    """What was trained, by name."""
    found = {}
    for method in TRAINED:
        run = runs / f"cub25_{backbone}_{method}_seed{SEED}"
        if (run / "model.json").is_file():
            model = tb.load(run)
            rows = [Row(method, thresholds=THRESHOLDS)]
            if method == "cam":
                rows += [
                    Row(row, thresholds=THRESHOLDS, method=reread(model.model, *reader))
                    for row, reader in POST_HOC.items()
                ]
            log = json.loads((run / "log.json").read_text())
            found[method] = Network(model, tuple(rows), f"{log['recipe']}, {log['seconds']} s")
    for name in BAS:
        run = runs / f"cub25_{backbone}_{name}"
        if (run / "model.json").is_file():
            ways = {f"{name}_k1": Inference(top_k=1), f"{name}_kall": Inference(top_k=0)}
            rows = [Row(row, inference, THRESHOLDS) for row, inference in ways.items()]
            found[name] = Network(tb.load(run), tuple(rows), f"small, {backbone}, row {name} of cub25.py")
    return found


def reread(model: Method, name: str, options: Mapping[str, Any]) -> Method:
    """The same weights in another method."""
    kind = methods.load(name)
    method = kind.build(model.architecture, model.num_classes, False, model.normalization, kind.read_options(options))
    method.load_state_dict(model.state_dict())
    return method.to(next(model.parameters()).device)


def write(backbone: str, row: str, recipe: str, scores: Scores, birds: Dataset, seconds: float) -> None:
    summary, best = dict(scores.summaries[row]), scores.rows[row]
    oracle = summary.pop("oracle")
    extra = {name: summary[name] for name in ("maxboxacc", "maxboxaccv2") if name in summary}
    record(
        "wsol",
        f"bench_{backbone}_{row}_{scores.protocol}",
        data=f"cub25, {data_fingerprint([sample.name for sample in birds.samples])}",
        recipe=recipe,
        protocol=f"{scores.protocol}, classified by the view that is localized in",
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
        center_prior=scores.center_prior[1],
        seed=SEED,
        seconds=round(seconds),
    )


if __name__ == "__main__":
    main()
