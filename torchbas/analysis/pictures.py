"""Rows of pictures from folders of seeds and label maps: choice of samples, names of series, overlays."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from ..data import open_image
from ..errors import InputError
from ..export.voc import voc_palette
from ..io import output_paths
from ..structures import IGNORE_INDEX, Dataset, Sample
from ..viz.overlay import heat_layer
from ..viz.plots import Picture

SIDE = 480
"""Pixels of the longer side of a drawn photo."""


def select_samples(
    folders: Sequence[Path], dataset: Dataset, suffix: str, names: Sequence[str], count: int
) -> list[tuple[Sample, Path]]:
    """Samples with a file in each of the folders, and its path there: those named, else ``count`` evenly spaced ones.

    Of the samples that are not named those with a ground-truth mask are preferred.

    Raises:
        InputError: a name that is not among them, or no sample at all.
    """
    paths = output_paths((sample.name for sample in dataset.samples), suffix)
    complete = {
        sample.name: (sample, Path(paths[sample.name]))
        for sample in dataset.samples
        if all((folder / paths[sample.name]).is_file() for folder in folders)
    }
    for name in names:
        if name not in complete:
            listed = ", ".join(map(str, folders))
            raise InputError(f"{name} is no photo of {dataset.root} with a {suffix} file in {listed}: check the name.")
    if names:
        return [complete[name] for name in names]
    found = [one for one in complete.values() if one[0].mask] or [*complete.values()]
    if not found:
        listed = ", ".join(map(str, folders))
        raise InputError(f"no photo of {dataset.root} has a {suffix} file in {listed}: give folders of bas segment.")
    return [found[index] for index in np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)]


def series_by_name(folders: Iterable[Path]) -> dict[str, Path]:
    """The folders by the shortest of three names that are all different: own, with the parent's, whole path."""
    distinct = [*dict.fromkeys(folders)]
    full = [folder.resolve() for folder in distinct]
    ways = [[one.name for one in full], [f"{one.parent.name} {one.name}" for one in full], list(map(str, distinct))]
    names = next((way for way in ways if len(set(way)) == len(way)), ways[-1])
    return dict(zip(names, distinct, strict=True))


def with_column_names(rows: dict[str, list[Picture]], series: list[str]) -> tuple[dict[str, list[Picture]], list[str]]:
    """Rows of a photo, perhaps its ground truth, and a picture for each of the series, with the names of the columns.

    Where some photos have ground truth and others none, these get an empty picture for it.
    """
    annotated = max(map(len, rows.values())) > 1 + len(series)
    for row in rows.values():
        if annotated and len(row) == 1 + len(series):
            row.insert(1, Picture(Image.new("RGB", row[0].image.size, "white"), "none"))
    return rows, ["photo", *(["ground truth"] if annotated else []), *series]


def thumbnail(sample: Sample) -> Image.Image:
    """The photo, reduced to ``SIDE``."""
    image = open_image(sample.path)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image


def color_labels(labels: UInt8[np.ndarray, "H W"], size: tuple[int, int]) -> Image.Image:
    """A label map in VOC's colors; ``size`` is width and height, as Pillow has them."""
    return Image.fromarray(voc_palette()[labels]).resize(size, Image.Resampling.NEAREST)


def heatmap_overlay(picture: Image.Image, heatmap: Float[np.ndarray, "h w"]) -> Image.Image:
    """A heatmap in [0, 1] over the photo."""
    canvas = picture.convert("RGB")
    layer = Image.fromarray(heat_layer(cv2.resize(heatmap, canvas.size, interpolation=cv2.INTER_LINEAR)))
    canvas.paste(layer, mask=layer)
    return canvas


def ious(
    heatmap: Float32[np.ndarray, "H W"],
    ground_truth: UInt8[np.ndarray, "H W"],
    number: int,
    thresholds: Sequence[float] | Float[np.ndarray, " T"],
) -> Float[np.ndarray, " T"]:
    """IoU in [0, 1] of ``heatmap > t`` with the pixels of class ``number``, those of 255 left out; 0 where both are
    empty.

    Args:
        thresholds: ascending.
    """
    scored = ground_truth != IGNORE_INDEX
    exceeded = np.searchsorted(np.asarray(thresholds, np.float32), heatmap[scored])  # number of thresholds below it
    positive = ground_truth[scored] == number
    inside, outside = (np.bincount(exceeded[which], minlength=len(thresholds) + 1) for which in (positive, ~positive))
    hits, false_positives = (counts[::-1].cumsum()[::-1][1:] for counts in (inside, outside))
    return hits / np.maximum(positive.sum() + false_positives, 1)
