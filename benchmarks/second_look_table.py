"""The table of docs/second_look.md, drawn from results/changed and results/analysis."""

import re

from tabulate_results import MISSING, Results, markdown

LOOKS = ("network", "pooled", "normalized")


def second_look_table(results: Results) -> str:
    """GT-known by second look and folder, beside CAM, and how like the class map each map is."""
    cells = [re.fullmatch(r"changed/(.+)_(\d+)_second-look_(\w+)", key) for key in results]
    folders = sorted({(found[1], found[2]) for found in cells if found})
    rows = []
    for name, seed in folders:
        known = [_metric(results, f"changed/{name}_{seed}_second-look_{look}", "bas_gt_known", ".1f") for look in LOOKS]
        cam = _metric(results, f"folders/{name}_{seed}", "cam_gt_known", ".1f")
        like = [_metric(results, f"analysis/second_look_{name}_{seed}", f"{look}_correlation", ".2f") for look in LOOKS]
        rows.append([name, seed, *known, cam, *like])
    head = ["folder", "seed", *(f"`{look}`" for look in LOOKS), "CAM", *(f"likeness, `{look}`" for look in LOOKS)]
    return markdown(head, rows or [[MISSING, *[""] * (len(head) - 1)]])


def _metric(results: Results, key: str, name: str, form: str) -> str:
    metrics = results.get(key, {}).get("metrics", {})
    return format(metrics[name], form) if name in metrics else ""


TABLES = {"second_look": second_look_table}
