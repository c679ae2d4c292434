"""Figures 14, 17 and 20: seeds of several methods side by side, beside photo and ground truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data import label_map
from ..structures import Dataset
from ..viz.plots import Picture, grid_of_images, write_csv
from ..wsss.scores import SWEPT, at_size
from ..wsss.seeds.files import read_seed
from .pictures import color_labels, heatmap_overlay, ious, select_samples, series_by_name, thumbnail, with_column_names


def draw_seeds(
    dataset: Dataset, folders: Sequence[Path], out: Path, *, samples: Sequence[str] = (), count: int = 6
) -> list[Path]:
    """Write ``seeds.png`` and ``seeds.csv`` into ``out`` and return their paths.

    The picture shows the maximum of a photo's maps per pixel; the table has every map: its mean, and where there is
    ground truth its best IoU in percent and the (oracle) threshold for that.

    Raises:
        InputError: no photo with a seed in each folder, or none of that name; a damaged seed.
    """
    series = series_by_name(folders)
    rows: dict[str, list[Picture]] = {}
    table: list[tuple[object, ...]] = []
    for sample, path in select_samples([*series.values()], dataset, ".npz", samples, count):
        picture, ground_truth = thumbnail(sample), label_map(sample) if sample.mask else None
        shown = [Picture(picture)]
        if ground_truth is not None:
            shown.append(Picture(color_labels(ground_truth, picture.size)))
        for name, folder in series.items():
            seed = read_seed(folder / path)
            shown.append(Picture(heatmap_overlay(picture, seed.maps.max(axis=0, initial=0))))
            best = [("", "")] * len(seed.tags)
            if ground_truth is not None:
                numbers = [dataset.classes.index(tag) + 1 for tag in seed.tags]
                maps = at_size(seed, ground_truth.shape)
                best = [
                    _best(ious(one, ground_truth, number, SWEPT)) for one, number in zip(maps, numbers, strict=True)
                ]
            means = seed.maps.mean(axis=(1, 2)).tolist()
            table += [
                (sample.name, tag, name, f"{mean:.6g}", *oracle)
                for tag, mean, oracle in zip(seed.tags, means, best, strict=True)
            ]
        rows[sample.name] = shown
    figure = out / "seeds.png"
    grid_of_images(figure, *with_column_names(rows, [*series]))
    write_csv(figure, ("image", "class", "series", "mean", "best_threshold", "best_iou"), table)
    return [figure, figure.with_suffix(".csv")]


def _best(iou: np.ndarray) -> tuple[str, str]:
    return f"{SWEPT[iou.argmax()]:g}", f"{100 * iou.max():.3f}"
