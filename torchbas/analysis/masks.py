"""Figures 16 and 19: label maps of several methods side by side, beside photo and ground truth."""

from collections.abc import Sequence
from pathlib import Path

from ..data import label_map, read_mask
from ..errors import InputError
from ..evaluation.metrics.semantic import ConfusionMatrix
from ..structures import Dataset
from ..viz.plots import Picture, grid_of_images, write_csv
from .pictures import color_labels, select_samples, series_by_name, thumbnail, with_column_names


def draw_masks(
    dataset: Dataset, folders: Sequence[Path], out: Path, *, samples: Sequence[str] = (), count: int = 6
) -> list[Path]:
    """Write ``masks.png`` and ``masks.csv`` into ``out`` and return their paths.

    The table has, where there is ground truth, the IoU in percent of every class in the ground truth or the label map.

    Raises:
        InputError: no photo with a label map in each folder, or none of that name; one that is not of its size.
    """
    series = series_by_name(folders)
    rows: dict[str, list[Picture]] = {}
    table: list[tuple[object, ...]] = []
    for sample, path in select_samples([*series.values()], dataset, ".png", samples, count):
        picture, ground_truth = thumbnail(sample), label_map(sample) if sample.mask else None
        shown = [Picture(picture)]
        if ground_truth is not None:
            shown.append(Picture(color_labels(ground_truth, picture.size)))
        for name, folder in series.items():
            labels = read_mask(folder / path)
            shown.append(Picture(color_labels(labels, picture.size)))
            if ground_truth is not None:
                confusion = ConfusionMatrix(len(dataset.classes))
                try:
                    confusion.add(labels, ground_truth)
                except ValueError as error:
                    raise InputError(f"{folder / path} does not fit {sample.mask}: {error}") from error
                by_class = zip(("background", *dataset.classes), confusion.iou().tolist(), strict=True)
                table += [(sample.name, label, name, f"{iou:.3f}") for label, iou in by_class if iou == iou]
        rows[sample.name] = shown
    figure = out / "masks.png"
    grid_of_images(figure, *with_column_names(rows, [*series]))
    write_csv(figure, ("image", "class", "series", "iou"), table)
    return [figure, figure.with_suffix(".csv")]
