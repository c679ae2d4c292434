"""The table of docs/refine.md, drawn from results/analysis."""

import re

from tabulate_results import MISSING, Results, markdown

WAYS = {"none": "none", "crf": "crf", "shift": "shift", "shift_crf": "shift crf"}


def refiners_table(results: Results) -> str:
    """GT-known, mask IoU where there are true masks, and CPU time of each way, by folder."""
    rows = []
    for key in sorted(results):
        if found := re.fullmatch(r"analysis/refiners_(.+)_(\d+)", key):
            metrics = results[key]["metrics"]
            columns = (("gt_known", ".1f"), ("mask_iou", ".1f"), ("cpu_ms_per_photo", ".0f"))
            for way, words in WAYS.items():
                values = [
                    format(metrics[f"{way}_{name}"], form) if f"{way}_{name}" in metrics else ""
                    for name, form in columns
                ]
                rows.append([found[1], found[2], f"`{words}`", *values])
    head = ["folder", "seed", "`--refine`", "GT-known", "mask IoU", "CPU ms a photo"]
    return markdown(head, rows or [[MISSING, *[""] * (len(head) - 1)]])


TABLES = {"refiners": refiners_table}
"""The tables by name."""
