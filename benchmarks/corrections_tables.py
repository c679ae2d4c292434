"""What corrected boxes do, as a table and as a picture, from results/corrections.

python benchmarks/corrections_tables.py
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from tabulate_results import Results, markdown

from torchbas.viz.plots import COLORS, figure_at, write_csv

FOLDER = Path(__file__).parents[1] / "results/corrections"
NAME = re.compile(r"(?P<folder>.+)_(?P<count>\d+)_((?P<part>[a-z]+)_)?(?P<seed>\d+)")
PARTS = {"": "both", "learning": "learning alone", "reading": "size and threshold alone"}
"""What of the corrections was used."""
ALL = "all"
"""In the place of a part: all things of a photo were asked for, not the largest of each tag."""


class Row(NamedTuple):
    """A result, in the order of the table."""

    folder: str
    corrected: int
    """How many photos."""
    part: str
    seed: int
    result: dict[str, Any]


def rows_of(results: Iterable[dict[str, Any]]) -> list[Row]:
    """The results, sorted."""
    rows = []
    for one in results:
        said = NAME.fullmatch(one["name"])
        assert said, one["name"]
        rows.append(Row(said["folder"], int(said["count"]), said["part"] or "", int(said["seed"]), one))
    return sorted(rows, key=lambda row: row[:4])


def corrections_table(results: Results) -> str:
    """What corrected boxes do for the photos that were not corrected."""
    table = []
    for row in rows_of(one for key, one in results.items() if key.startswith("corrections/")):
        if row.part == ALL:
            continue
        metrics, left = row.result["metrics"], row.result["left_out"]
        said = " to ".join(f"{100 * left[key]:.0f}" for key in ("before", "after")) if left["boxes"] else ""
        used = PARTS[row.part] if row.corrected else ""
        shares = [f"{metrics[key]:.1f}" if key in metrics else "" for key in ("gt_known", "mask_iou")]
        cells = [said, f"{row.result['cpu_seconds']}", row.result["commit"][:7]]
        table.append([row.folder, str(row.corrected), used, str(row.seed), *shares, *cells])
    head = ["folder", "corrected", "used", "seed", "GT-known of the others", "mask IoU", "said of those left out, %"]
    return markdown([*head, "CPU seconds", "commit"], table)


def corrections_all_table(results: Results) -> str:
    """The same of all things of each photo, by all of their boxes."""
    table = []
    for row in rows_of(one for key, one in results.items() if key.startswith("corrections/")):
        if row.part == ALL:
            shares = [f"{row.result['metrics'][key]:.1f}" for key in ("f1", "recall", "precision")]
            way = row.result["way"]
            chosen = [f"{way['smallest']:g}", "yes" if way["separate"] else "no"] if row.corrected else ["", ""]
            cells = [*shares, *chosen, f"{row.result['cpu_seconds']}", row.result["commit"][:7]]
            table.append([row.folder, str(row.corrected), str(row.seed), *cells])
    head = ["folder", "corrected", "seed", "F1 of the others", "recall", "precision", "smallest", "told apart"]
    return markdown([*head, "CPU seconds", "commit"], table)


def main() -> None:
    every = rows_of(json.loads(file.read_text("utf-8")) for file in sorted(FOLDER.glob("*.json")))
    rows = [row for row in every if row.part != ALL]
    values: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        values[row.folder][row.part][row.corrected].append(row.result["metrics"]["gt_known"])
    with figure_at(FOLDER / "corrections.png", width=8.0, height=3.0) as figure:
        panels = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
        for axes, (folder, parts) in zip(panels, values.items(), strict=True):
            ticks = sorted({count for by in parts.values() for count in by})
            axes.set(title=folder, xlabel="corrected photos", ylim=(0, 100))
            axes.set_xticks(range(len(ticks)), list(map(str, ticks)))
            for (part, label), color, marker in zip(PARTS.items(), COLORS, "osD", strict=False):
                by = parts.get(part, {})
                if not part:
                    axes.plot([ticks.index(count) for count in by], [mean(each) for each in by.values()], color=color)
                points = [(ticks.index(count), value) for count, each in by.items() for value in each]
                if points:
                    axes.scatter(*zip(*points, strict=True), color=color, marker=marker, label=label, s=22, zorder=3)
        panels[0].set_ylabel("other photos with a correct box, %")
        labels: dict[str, Any] = {}
        for axes in panels:
            labels |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=3)
    cells = [[*row[:4], row.result["metrics"]["gt_known"]] for row in rows]
    write_csv(FOLDER / "corrections.csv", ["folder", "corrected", "used", "seed", "gt_known"], cells)


if __name__ == "__main__":
    main()
