"""Where `bas label` works and where it does not: GT-known on each folder of the bench, from results/folders.

python benchmarks/plot_folders.py
"""

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean

from torchbas.viz.plots import COLORS, figure_at, write_csv

FOLDER = Path(__file__).parents[1] / "results/folders"
METHODS = {
    "bas": ("BAS", "o", COLORS[0]),
    "layercam": ("Layer-CAM", "^", COLORS[1]),
    "cam": ("CAM", "v", COLORS[2]),
    "centered_box": ("centered box", "|", COLORS[6]),
}
REAL = ("cub", "msrc", "cat_dog", "cow_sheep", "car_flower", "neu")


def main() -> None:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    photos = {}
    for file in sorted(FOLDER.glob("*.json")):
        result = json.loads(file.read_text("utf-8"))
        name = file.stem.rsplit("_", 1)[0]
        photos[name] = result["data"].split(", ", 1)[1].removesuffix(", 0 without")
        for method in METHODS:
            found[name][method].append(result["metrics"].get(f"{method}_gt_known", 0.0))
    order = sorted(found, key=lambda name: (name.startswith(REAL), mean(found[name]["bas"])))
    means = {name: {method: mean(values) for method, values in found[name].items()} for name in order}
    with figure_at(FOLDER / "where.png", width=8.0, height=0.32 * len(order) + 1.3) as figure:
        axes = figure.add_subplot(xlabel="boxes with IoU of at least .5, %", title="bas label, folder by folder")
        for y, name in enumerate(order):
            axes.plot([min(means[name].values()), max(means[name].values())], [y, y], color="#dddddd", zorder=1)
        for method, (label, marker, color) in METHODS.items():
            x = [means[name][method] for name in order]
            axes.scatter(x, range(len(order)), marker=marker, color=color, label=label, zorder=2)
        axes.set_yticks(range(len(order)), [f"{name.replace('_', ' ')}: {photos[name]}" for name in order], fontsize=8)
        drawn = sum(not name.startswith(REAL) for name in order)
        if 0 < drawn < len(order):
            axes.axhline(drawn - 0.5, color="#999999", linewidth=0.8, linestyle=":")
            axes.text(100, drawn - 0.42, "photos", ha="right", va="bottom", fontsize=8)
            axes.text(100, drawn - 0.58, "drawn", ha="right", va="top", fontsize=8)
        axes.set_xlim(-2, 102)
        figure.legend(loc="outside lower center", ncols=4)
    write_csv(FOLDER / "where.csv", ["folder", *METHODS], [[name, *means[name].values()] for name in order])


if __name__ == "__main__":
    main()
