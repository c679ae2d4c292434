"""How like the class activation map a foreground map is, by the second look that it has learned from.

python benchmarks/second_look.py neu300 cub6 [--seed 0]

Of the models that benchmarks/folders.py NAME --more --second-look LOOK has left, 64 photos of each folder: correlation
of the map with the class map of the same tag over the places of the photo, mean over the photos, and the share of each
of both that lies in a true box. Writes results/analysis/second_look_<name>_<seed>.json.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from folders import CELLS, Truth
from jaxtyping import Float
from record import record
from torch import Tensor

from torchbas import api, data
from torchbas.cli.memory import keep_freed_memory
from torchbas.data import standardize, whole_view
from torchbas.data.loader import evaluation_loader
from torchbas.inference.localizer import Localizer
from torchbas.structures import Dataset

LOOKS = ("network", "pooled", "normalized")
PHOTOS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=CELLS, metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    keep_freed_memory()
    for name in words.names:
        measure(name, words.seed)


def measure(name: str, seed: int) -> None:
    """Compare the maps of the three models of a folder with their class maps."""
    began, metrics = time.monotonic(), dict[str, float]()
    with tempfile.TemporaryDirectory() as folder:
        truth = CELLS[name](Path(folder), seed)
        dataset = data.read(folder)
        samples = dataset.samples[:: max(1, len(dataset.samples) // PHOTOS)][:PHOTOS]
        for look in LOOKS:
            localizer = api.load(Path("runs", "folders", f"{name}_{seed}_second-look_{look}"))
            values = compared(localizer, localizer.with_own_classes(replace(dataset, samples=samples)), truth)
            metrics |= {f"{look}_{what}": round(value, 3) for what, value in values.items()}
    record(
        "analysis",
        f"second_look_{name}_{seed}",
        data=f"{name}, {len(samples)} photos",
        recipe="quick",
        protocol="maps and class maps of each photo's own tag, at the size of the input, bilinear to the grid of F",
        split="the photos that were trained on",
        threshold=None,
        metrics=metrics,
        seed=seed,
        seconds=round(time.monotonic() - began),
    )
    print(name, metrics, flush=True)


@torch.inference_mode()
def compared(localizer: Localizer, dataset: Dataset, truth: dict[str, Truth]) -> dict[str, float]:
    """Means over the photos."""
    found: dict[str, list[float]] = {"correlation": [], "map_in_boxes": [], "class_map_in_boxes": []}
    side = localizer.resize
    for batch in evaluation_loader(dataset, partial(whole_view, size=side), 16, at_least=side):
        encoded = localizer.model.encode(standardize(batch.images, *localizer.model.normalization))
        maps = localizer.model.heatmaps(encoded, batch.target, localizer.inference).float()
        rows = torch.arange(len(maps))
        class_maps = encoded.class_maps[rows, batch.target].float()
        class_maps = F.interpolate(class_maps[:, None], maps.shape[1:], mode="bilinear")[:, 0]
        found["correlation"] += [correlation(*pair) for pair in zip(maps, class_maps, strict=True)]
        for place, index in enumerate(batch.index.tolist()):
            inside = boxes_on(maps.shape[1:], batch.size[place].tolist(), truth[dataset.samples[index].name])
            found["map_in_boxes"].append(share(maps[place], inside))
            found["class_map_in_boxes"].append(share(class_maps[place] - class_maps[place].min(), inside))
    return {name: sum(values) / len(values) for name, values in found.items()}


def correlation(one: Float[Tensor, "h w"], other: Float[Tensor, "h w"]) -> float:
    """Pearson's, 0 where one is even."""
    return torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].nan_to_num().item()


def boxes_on(grid: tuple[int, ...], size: list[int], true: Truth) -> Float[Tensor, "h w"]:
    """1 in the cells that a true box meets."""
    inside = torch.zeros(*grid)
    across, down = grid[1] / size[1], grid[0] / size[0]
    for x0, y0, x1, y1 in true.boxes:
        inside[int(y0 * down) : -int(-y1 * down // 1), int(x0 * across) : -int(-x1 * across // 1)] = 1
    return inside


def share(values: Float[Tensor, "h w"], inside: Float[Tensor, "h w"]) -> float:
    """Share of the sum that lies inside; 0 where there is nothing."""
    return ((values * inside).sum() / values.sum().clamp(min=1e-9)).item()


if __name__ == "__main__":
    main()
