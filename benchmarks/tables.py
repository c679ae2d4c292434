"""Tables of README and docs, drawn from results/ and the recipes' promises; no number in them is typed by hand.

python benchmarks/tables.py
"""

import json
import re
from pathlib import Path
from typing import Any

from corrections_tables import corrections_all_table, corrections_table
from features_table import TABLES as FEATURES_TABLES
from going_on_tables import going_on_table
from gpu_tables import TABLES as GPU_TABLES
from hostile_table import rows as hostile_rows
from refiners_table import TABLES as REFINERS_TABLES
from scale_tables import TABLES as SCALE_TABLES
from second_look_table import TABLES as SECOND_LOOK_TABLES
from speed_tables import TABLES as SPEED_TABLES
from tabulate_results import MISSING, Results, markdown

from torchbas import recipes

ROOT = Path(__file__).parents[1]
BACKBONES = {"mobilenetv1": "MobileNetV1", "resnet50": "ResNet50", "inceptionv3": "InceptionV3", "vgg16": "VGG16"}
ROWS = {
    "cam": "CAM of the same network",
    "no_lbas": "without L_bas, k = 1",
    "no_lbas_kall": "without L_bas, k = all",
    "bas_k1": "**with L_bas, k = 1**",
    "bas_kall": "with L_bas, k = all",
}
MASKS = {
    "cam": "seed: CAM (IRN's classifier)",
    "recam": "seed: ReCAM",
    "cda": "seed: CDA",
    "advcam": "seed: AdvCAM",
    "no_lbas": "seed: without L_bas",
    "no_lbas_again": "seed: without L_bas, another start",
    "bas": "**seed: BAS**",
    "bas_again": "seed: BAS, another start",
    "w_ood": "seed: BAS from W-OoD's classifier",
    "bas_cam": "seed: BAS + CAM",
    "bas_cda": "seed: BAS + CDA",
    "bas_advcam": "seed: BAS + AdvCAM",
    "bas_foreground": "seed: BAS, weakened by the foreground map",
    "bas_image_threshold": "seed: BAS, image-specific threshold",
    "pseudo_crf": "pseudo masks: BAS, dense CRF",
    "pseudo_irn": "pseudo masks: BAS, IRN",
    "segmenter": "segmenter on the photos of val",
}


def read_results(folder: Path = ROOT / "results") -> Results:
    """All results in ``folder``."""
    files = sorted(folder.glob("*/*.json"))
    return {f"{file.parent.name}/{file.stem}": json.loads(file.read_text("utf-8")) for file in files}


def redraw(text: str, results: Results) -> str:
    """The text with its tables made new, each between ``<!-- table: NAME -->`` and ``<!-- end -->``."""

    def table(found: re.Match[str]) -> str:
        return f"{found[1]}\n{TABLES[found[2]](results)}\n<!-- end -->"

    return re.sub(r"(<!-- table: (\w+) -->)\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def folders_table(results: Results) -> str:
    """`bas label` on folders unlike birds, each seed a row."""
    rows = []
    for key, found in sorted(results.items()):
        if not key.startswith("folders/"):
            continue
        scores, states = found["metrics"], found["states"]
        rates = [f"{scores[f'{one}_gt_known']:.1f}" for one in ("bas", "layercam", "cam", "centered_box")]
        mask, score = scores.get("bas_mask_iou"), scores.get("bas_auroc_score")
        dead = sum(number for state, number in states.items() if state in ("empty", "full"))
        more = ["" if mask is None else f"{mask:.1f}", "" if score is None else f"{score:.2f}"]
        last = [f"{dead}", _minutes(found["seconds"]), found["commit"][:7]]
        rows.append([found["data"], f"{found['seed']}", *rates, *more, *last])
    head = [
        "folder",
        "seed",
        "BAS",
        "Layer-CAM",
        "CAM",
        "centered box",
        "mask IoU",
        "AUROC of the score",
        "dead",
        "time",
        "commit",
    ]
    return markdown(head, rows)


def changed_table(results: Results) -> str:
    """GT-known of `bas label` with other weights of the objective than the recipe's."""
    rows = [
        [found["data"].split(",")[0], found["recipe"], f"{found['metrics']['bas_gt_known']:.1f}"]
        for key, found in sorted(results.items())
        if key.startswith("changed/")
    ]
    return markdown(["folder", "recipe", "BAS"], rows)


def cub25_table(results: Results) -> str:
    """Table 2 of the paper in small: each backbone at the fixed threshold, and at the best one."""
    shown = [name for name in BACKBONES if any(f"wsol/cub25_{name}_{row}" in results for row in ROWS)]
    shown = shown or list(BACKBONES)[:2]
    head = [""]
    for name in shown:
        head += [f"{BACKBONES[name]}: GT-known", "Top-1", "Top-5", "GT-known, best threshold"]
    rows = [
        [title, *(cell for name in shown for cell in _accuracies(results.get(f"wsol/cub25_{name}_{row}")))]
        for row, title in ROWS.items()
    ]
    curves = [results.get(f"wsol/cub25_{name}_bas_curve") for name in shown]
    for title, metric in (("center prior", "center_prior_gt_known"), ("whole image", "whole_image_gt_known")):
        cells = [_percent(curve["metrics"][metric]) if curve else MISSING for curve in curves]
        rows.append([title, *(cell for value in cells for cell in (value, "", "", ""))])
    notes = [_circumstances(results[f"wsol/cub25_{name}_bas_k1"]) for name in shown if _ran(results, name)]
    return "\n\n".join([markdown(head, rows), *(["; ".join(notes) + "."] if notes else [])])


def start_table(results: Results) -> str:
    """Each remedy alone and together: GT-known at the end, best threshold, and the mean area of the maps."""
    starts = {found["name"]: found for name, found in results.items() if name.startswith("wsol/start_")}
    rows = []
    for name, found in starts.items():
        end = found["curve"][-1]
        title = f"`{name.removeprefix('start_')}`"
        rows.append([title, _percent(end["k1"]), _percent(end["kall"]), f"{end['losses']['area']:.3f}"])
    notes = [f"{found['recipe'].split(', Start')[0]}: {found['split']}." for found in list(starts.values())[:1]]
    head = ["start", "k = 1", "k = all", "weighted area at the end"]
    return "\n\n".join([markdown(head, rows or [[MISSING, "", "", ""]]), *notes])


METHODS = {
    "cam": "CAM",
    "gradcam": "Grad-CAM, last features",
    "gradcam_features": "Grad-CAM, features F",
    "layercam": "Layer-CAM, last features",
    "layercam_features": "Layer-CAM, features F",
    "has": "HaS",
    "acol": "ACoL",
    "adl": "ADL",
    "cutmix": "CutMix",
    "spg": "SPG",
    "no_lbas_k1": "generator, cross-entropy only, k = 1",
    "no_lbas_kall": "generator, cross-entropy only, k = all",
    "bas_k1": "**BAS, k = 1**",
    "bas_kall": "BAS, k = all",
}


def bench_table(results: Results) -> str:
    """Every method on the same network, data and steps, by both protocols."""
    head = ["MobileNetV1", "classes correct", "GT-known, auto", "Top-1, auto", "GT-known, best", "median IoU, auto"]
    head += ["MaxBoxAcc", "MaxBoxAccV2"]
    rows, split = [], ""
    for name, title in METHODS.items():
        ours, theirs = (
            results.get(f"wsol/bench_mobilenetv1_{name}_{protocol}") for protocol in ("authors", "wsoleval")
        )
        if not ours or not theirs:
            rows.append([title, MISSING, *[""] * 6])
            continue
        metrics, split = ours["metrics"], ours["split"]
        cells = [metrics["top1_cls"], metrics["auto_gt_known"], metrics["auto_top1_loc"], ours["oracle"]["gt_known"]]
        cells = [*map(_percent, cells), f"{metrics['median_iou_auto']:.2f}"]
        rows.append([title, *cells, *(_percent(theirs["metrics"][n]) for n in ("maxboxacc", "maxboxaccv2"))])
    return "\n\n".join([markdown(head, rows), f"{split}; seed 0."])


def sweep_table(results: Results) -> str:
    """alpha, beta and lambda one at a time, and k on each of the networks."""
    points = {name.removeprefix("wsol/sweep_"): f for name, f in results.items() if name.startswith("wsol/sweep_")}
    shown = [name for name in next(iter(points.values()), {"metrics": {}})["metrics"] if "auto" not in name]
    rows = []
    for name, found in sorted(points.items(), key=lambda point: sorted(point[1]["weights"].items())):
        weights = [f"{found['weights'][greek]:g}" for greek in ("alpha", "beta", "lambda")]
        sharing = name.partition("_sharing_")[2] or "1"
        rows.append([*weights, sharing, *(_percent(found["metrics"][metric]) for metric in shown)])
    head = ["alpha", "beta", "lambda", "sharing", *(f"k = {name.removeprefix('gt_known_k')}" for name in shown)]
    one = points.get("base")
    notes = [f"{one['recipe'].split(', sharing')[0]}: {one['split']}, {one['protocol']}."] if one else []
    return "\n\n".join([markdown(head, rows or [[MISSING, "", "", ""]]), *notes])


def small_table(results: Results) -> str:
    """Plain BAS, the second pass, the relative area and both, by the size of the bird."""
    ways = {"plain": "plain BAS", "zoom": "second pass", "area": "relative area", "area_zoom": "both"}
    found = {
        (way, kind): results.get(f"wsol/cub25_mobilenetv1_small_{way}{kind}") for kind in ("", "_half") for way in ways
    }
    sizes = list(dict.fromkeys(size for one in found.values() if one for size in one["per_size"]))
    rows = []
    for (way, kind), one in found.items():
        title = ways[way] + (", half as large" if kind else "")
        if not one:
            rows.append([title, MISSING, *[""] * (1 + len(sizes))])
            continue
        metrics = one["metrics"]
        groups = [one["per_size"].get(size) for size in sizes]
        cells = [f"{group['gt_known']:.1f} of {group['photos']}" if group else "" for group in groups]
        rows.append([title, _percent(metrics["gt_known"]), f"{metrics['median_iou']:.2f}", *cells])
    return markdown(["birds by share of the photo", "GT-known, auto", "median IoU", *sizes], rows)


def masks_table(results: Results) -> str:
    """Section 5 in small: msrc15, from seeds to a segmenter."""
    rows = []
    for row, name in MASKS.items():
        found = results.get(f"wsss/msrc15_{row}")
        cells = [MISSING, "", "", ""]
        if found:
            value, chosen = found["threshold"]["value"], found["threshold"]["chosen"].partition(":")[0]
            threshold = chosen if value is None else f"{value:g}, {chosen}"
            photos = f"{found['photos']} of {found['split']}"
            cells = [_percent(found["metrics"]["miou"]), threshold, photos, found["commit"][:7]]
        rows.append([name, *cells])
    return markdown(["msrc15, 15 classes", "mIoU", "threshold", "photos", "commit"], rows)


ENDS = ("read", "refused", "exit 0", "exit 2", "well")
"""Outcomes of a campaign's cases that may be."""
CAMPAIGNS = {
    "readers": "damaged files through their readers",
    "commands": "damaged input and flags through commands",
    "kills": "commands killed, and run again",
    "disturbances": "commands stopped or robbed, and run again",
}


def campaigns_table(results: Results) -> str:
    """How many cases of each campaign ended well, and how."""
    rows = []
    for name, title in CAMPAIGNS.items():
        found = results.get(f"robustness/{name}")
        if not found:
            rows.append([title, MISSING, "", "", ""])
            continue
        counts = dict(found["metrics"])
        cases, wrong = counts.pop("cases"), sum(counts.pop(one, 0) for one in (*counts,) if one not in ENDS)
        ends = ", ".join(f"{number:,} {end}" for end, number in counts.items())
        rows.append([title, f"{cases:,}", ends, f"{wrong:,}", found["commit"][:7]])
    return markdown(["campaign", "cases", "ended with", "faults", "commit"], rows)


def hostile_table(results: Results) -> str:
    """What was found in version 0.3, and now."""
    rows = hostile_rows(results.get("robustness/readers"), ENDS)
    return markdown(["", "version 0.3", "now", "asked by"], rows)


def paper_table(results: Results) -> str:
    """The paper's Table 1 as the recipes promise it, beside the results here."""
    rows = [_promised(f"cub_{name}", results) + _promised(f"ilsvrc_{name}", results) for name in BACKBONES]
    return markdown(["recipe", "paper: GT-known", "Top-1 Loc", "Top-5 Loc", "GT-known here"] * 2, rows)


def _promised(name: str, results: Results) -> list[str]:
    paper = recipes.load(name).paper
    here = [found["metrics"]["gt_known"] for found in results.values() if found.get("recipe") == name]
    measured = ", ".join(map(_percent, here)) or MISSING
    return [f"`{name}`", *(f"{paper[key]:.2f}" for key in ("gt_known", "top1_loc", "top5_loc")), measured]


TABLES = {
    "folders": folders_table,
    "changed": changed_table,
    "cub25": cub25_table,
    "paper": paper_table,
    "start": start_table,
    "bench": bench_table,
    "sweep": sweep_table,
    "small": small_table,
    "masks": masks_table,
    "campaigns": campaigns_table,
    "hostile": hostile_table,
    "corrections": corrections_table,
    "corrections_all": corrections_all_table,
    "going_on": going_on_table,
    **SPEED_TABLES,
    **GPU_TABLES,
    **SCALE_TABLES,
    **REFINERS_TABLES,
    **SECOND_LOOK_TABLES,
    **FEATURES_TABLES,
}
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def _accuracies(found: dict[str, Any] | None) -> list[str]:
    if not found:
        return [MISSING, "", "", ""]
    oracle = found["oracle"]
    cells = [_percent(found["metrics"][name]) for name in ("gt_known", "top1_loc", "top5_loc")]
    return [*cells, f"{_percent(oracle['metrics']['gt_known'])} (at {oracle['threshold']:g})"]


def _ran(results: Results, backbone: str) -> bool:
    return f"wsol/cub25_{backbone}_bas_k1" in results


def _circumstances(found: dict[str, Any]) -> str:
    threshold = found["threshold"]["value"]
    return (
        f"{found['recipe']}: {found['split']}, protocol {found['protocol']}, threshold {threshold:g}, "
        f"{_minutes(found['seconds'])} on {found['hardware']}, seed {found['seed']}, commit {found['commit'][:7]}"
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _percent(value: float) -> str:
    return f"{value:.1f}"


def main() -> None:
    results = read_results()
    for page in PAGES:
        page.write_text(redraw(page.read_text("utf-8"), results), "utf-8")


if __name__ == "__main__":
    main()
