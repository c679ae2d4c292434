"""GT-known against training steps: the paper's start and ours, and each remedy alone, from the curves in results/.

python benchmarks/plot_start.py
"""

import json
import sys
from pathlib import Path

from charts import Points, curves

from torchbas.viz.plots import Line, panels

FOLDER = Path(__file__).parents[1] / "results/wsol"
STARTS = {"bas": "ours", "paper_start": "the paper's"}
REMEDIES = {
    "paper": "the paper's",
    "slow_new_layers": "new layers slower",
    "area_warmup": "area warmed up",
    "classifier_first": "classifier first",
    "sharing": "shared filters",
    "classifier_first_and_sharing": "classifier first, then shared (ours)",
}
WAYS = {"k1": "k = 1", "kall": "k = all", "cam": "CAM"}


def main() -> None:
    backbone = sys.argv[1] if len(sys.argv) > 1 else "mobilenetv1"
    series: dict[str, Points] = {}
    levels: dict[str, float] = {}
    for start, whose in STARTS.items():
        found = json.loads((FOLDER / f"cub25_{backbone}_{start}_curve.json").read_text("utf-8"))
        steps = [point["step"] for point in found["curve"]]
        for way, name in WAYS.items():
            series[f"{whose}, {name}"] = (steps, [point[way] for point in found["curve"]])
        levels["center prior"] = found["metrics"]["center_prior_gt_known"]
    title = f"GT-known from two starts, {backbone}"
    curves(FOLDER / "start.png", series, xlabel="training steps", ylabel="GT-known Loc, %", title=title, hlines=levels)
    lines: dict[str, dict[str, Line]] = {}
    for way in ("k1", "kall"):
        found = {
            title: json.loads((FOLDER / f"start_{name}.json").read_text("utf-8")) for name, title in REMEDIES.items()
        }
        lines[WAYS[way]] = {
            title: Line([point["step"] for point in start["curve"]], [point[way] for point in start["curve"]])
            for title, start in found.items()
        }
    title = "GT-known from six starts, recipe quick_joint"
    panels(FOLDER / "starts.png", lines, xlabel="training steps", ylabel="GT-known Loc, %", title=title, share_y=True)


if __name__ == "__main__":
    main()
