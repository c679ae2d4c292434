"""Where `bas label` works and where it does not: GT-known on each folder of the bench, from results/folders.

python benchmarks/plot_folders.py
"""

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[1] / "results/folders"
METHODS = {
    "bas": ("BAS", "o", "#1b6ca8"),
    "layercam": ("Layer-CAM", "^", "#d98324"),
    "cam": ("CAM", "v", "#b03a2e"),
    "centered_box": ("centered box", "|", "#777777"),
}
REAL = ("cub", "msrc", "cat_dog", "cow_sheep", "car_flower", "neu")


def main() -> None:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    photos = {}
    for file in sorted(FOLDER.glob("*.json")):
        result = json.loads(file.read_text("utf-8"))
        name = file.stem.rsplit("_", 1)[0]
        photos[name] = result["data"].split(", ", 1)[1]
        for method in METHODS:
            found[name][method].append(result["metrics"].get(f"{method}_gt_known", 0.0))
    order = sorted(found, key=lambda name: (name.startswith(REAL), mean(found[name]["bas"])))
    figure = Figure(figsize=(8, 0.32 * len(order) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    for y, name in enumerate(order):
        values = {method: mean(found[name][method]) for method in METHODS}
        axes.plot([min(values.values()), max(values.values())], [y, y], color="#dddddd", zorder=1)
        for method, (_, marker, color) in METHODS.items():
            axes.scatter(values[method], y, marker=marker, color=color, s=48 if method == "bas" else 32, zorder=2)
    axes.set_yticks(range(len(order)), [f"{name.replace('_', ' ')}: {photos[name]}" for name in order], fontsize=8)
    drawn = sum(not name.startswith(REAL) for name in order)
    if 0 < drawn < len(order):
        axes.axhline(drawn - 0.5, color="#999999", linewidth=0.8, linestyle=":")
        axes.text(100, drawn - 0.42, "photos", ha="right", va="bottom", fontsize=8, color="#666666")
        axes.text(100, drawn - 0.58, "drawn", ha="right", va="top", fontsize=8, color="#666666")
    axes.set(xlim=(-2, 102), xlabel="boxes with IoU of at least .5, %", title="bas label, folder by folder")
    for label, marker, color in METHODS.values():
        axes.scatter([], [], marker=marker, color=color, label=label)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.4, -0.09 - 1.2 / (len(order) + 4)), ncols=4, fontsize=8, frameon=False
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FOLDER / "where.png", dpi=130)


if __name__ == "__main__":
    main()
