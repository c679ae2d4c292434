"""Figures 14, 17 and 20: seeds of several methods side by side, beside the photo and the truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data import label_map
from ..formats.seeds import read_seed
from ..segment.score import SWEPT, at_size
from ..types import Collection
from ..viz.plots import Picture, grid_of_images, write_csv
from .pictures import headed, heated, ious, named, painted, photos_in, picture_of


def draw_seeds(
    collection: Collection, folders: Sequence[Path], out: Path, *, photos: Sequence[str] = (), count: int = 6
) -> list[Path]:
    """Write ``seeds.png`` and ``seeds.csv`` into ``out`` and return their paths.

    The picture shows the highest of a photo's maps at each place; the table has every map: its mean, and where there is
    truth its best IoU in percent and the threshold for that, which only the truth can tell.

    Raises:
        InputError: no photo with a seed in each folder, or none of that name; a damaged seed.
    """
    series = named(folders)
    rows: dict[str, list[Picture]] = {}
    table: list[tuple[object, ...]] = []
    for photo, place in photos_in([*series.values()], collection, ".npz", photos, count):
        picture, truth = picture_of(photo), label_map(photo) if photo.mask else None
        shown = [Picture(picture), *([Picture(painted(truth, picture.size))] if truth is not None else [])]
        for name, folder in series.items():
            seed = read_seed(folder / place)
            shown.append(Picture(heated(picture, seed.maps.max(axis=0, initial=0))))
            means = seed.maps.mean(axis=(1, 2)).tolist()
            best = [("", "")] * len(means)
            if truth is not None:
                numbers = [collection.classes.index(tag) + 1 for tag in seed.tags]
                maps = at_size(seed, truth.shape)
                best = [_best(ious(one, truth, number, SWEPT)) for one, number in zip(maps, numbers, strict=True)]
            table += [
                (photo.name, tag, name, f"{mean:.6g}", *found)
                for tag, mean, found in zip(seed.tags, means, best, strict=True)
            ]
        rows[photo.name] = shown
    path = out / "seeds.png"
    grid_of_images(path, *headed(rows, [*series]))
    write_csv(path, ("image", "class", "series", "mean", "best_threshold", "best_iou"), table)
    return [path, path.with_suffix(".csv")]


def _best(curve: np.ndarray) -> tuple[str, str]:
    return f"{SWEPT[curve.argmax()]:g}", f"{100 * curve.max():.3f}"
