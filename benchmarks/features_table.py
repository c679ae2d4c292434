"""The tables of methods on the same features, drawn from results/analysis and results/changed."""

import re

from second_look_table import metric
from tabulate_results import MISSING, Results, markdown

METHODS = {"network": "BAS", "pooled": "BAS, `pooled`", "trilite": "TriLite", "cam": "CAM"}
LABELED = {"network": "BAS, `bas label`", "pooled": "BAS, `pooled`, `bas label`"}


def features_table(results: Results) -> str:
    """What each method finds on the same features, as its maps are and drawn to the edges."""
    rows = []
    for key in sorted(results):
        if not (found := re.fullmatch(r"analysis/features_(?!tried|twice)(.+)_(\d+)", key)):
            continue
        for look, title in LABELED.items():
            whole = results.get(f"changed/{found[1]}_{found[2]}_second-look_{look}")
            if whole:
                cells = [metric({"": whole}, "", f"bas_{name}", ".1f") for name in ("gt_known", "mask_iou")]
                rows.append([found[1], title, "", cells[0], "", cells[1], "", f"{whole['cpu_seconds']}"])
        if large := results.get(f"analysis/features_twice_{found[1]}_{found[2]}"):
            cells = [
                metric({"": large}, "", f"trilite_{refine}_{name}", ".1f")
                for name in ("gt_known", "mask_iou")
                for refine in ("none", "crf")
            ]
            rows.append([found[1], "TriLite, at twice the size", *cells, "", ""])
        for method, title in METHODS.items():
            if f"{method}_top1" not in results[key]["metrics"]:
                continue
            known = [metric(results, key, f"{method}_{refine}_gt_known", ".1f") for refine in ("none", "crf")]
            overlap = [metric(results, key, f"{method}_{refine}_mask_iou", ".1f") for refine in ("none", "crf")]
            last = [
                metric(results, key, f"{method}_top1", ".1f"),
                metric(results, key, f"{method}_cpu_seconds", ".0f"),
            ]
            rows.append([found[1], title, *known, *overlap, *last])
    head = ["folder", "method", "GT-known", "with the CRF", "mask IoU", "with the CRF", "Top-1", "CPU seconds"]
    return markdown(head, rows or [[MISSING, *[""] * (len(head) - 1)]])


def tried_table(results: Results) -> str:
    """GT-known of TriLite on the folder that its settings were chosen on, a row for each cut and learning rate."""
    cells: dict[str, dict[str, dict[str, float]]] = {}
    for key, found in sorted(results.items()):
        if key.startswith("analysis/features_tried_"):
            for name, value in found["metrics"].items():
                place, lr, alpha, steps, *_ = (word.partition("=")[2] for word in name.split("_"))
                row = f"{'quick' if place == 'None' else place}, {lr}"
                cells.setdefault(row, {})[f"alpha {alpha}, {steps} steps"] = value
    columns = [*next(iter(cells.values()), {})]
    rows = [[row, *(f"{values[column]:.1f}" for column in columns)] for row, values in cells.items()]
    return markdown(["cut, learning rate", *columns], rows or [[MISSING]])


TABLES = {"features": features_table, "features_tried": tried_table}
