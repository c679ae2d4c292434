"""Figures 16 and 19: label maps of several methods side by side, beside the photo and the truth."""

from collections.abc import Sequence
from pathlib import Path

from ..data import label_map, read_mask
from ..errors import InputError
from ..metrics.semantic import Confusion
from ..types import Collection
from ..viz.plots import Picture, grid_of_images, write_csv
from .pictures import headed, named, painted, photos_in, picture_of


def draw_masks(
    collection: Collection, folders: Sequence[Path], out: Path, *, photos: Sequence[str] = (), count: int = 6
) -> list[Path]:
    """Write ``masks.png`` and ``masks.csv`` into ``out`` and return their paths.

    The table has, where there is truth, the IoU in percent of every class that is in the truth or the label map.

    Raises:
        InputError: no photo with a label map in each folder, or none of that name; one that is not of its size.
    """
    series = named(folders)
    rows: dict[str, list[Picture]] = {}
    table: list[tuple[object, ...]] = []
    for photo, place in photos_in([*series.values()], collection, ".png", photos, count):
        picture, truth = picture_of(photo), label_map(photo) if photo.mask else None
        shown = [Picture(picture), *([Picture(painted(truth, picture.size))] if truth is not None else [])]
        for name, folder in series.items():
            labels = read_mask(folder / place)
            shown.append(Picture(painted(labels, picture.size)))
            if truth is not None:
                confusion = Confusion(len(collection.classes))
                try:
                    confusion.add(labels, truth)
                except ValueError as error:
                    raise InputError(f"{folder / place} does not fit {photo.mask}: {error}") from error
                found = zip(("background", *collection.classes), confusion.iou().tolist(), strict=True)
                table += [(photo.name, label, name, f"{iou:.3f}") for label, iou in found if iou == iou]
        rows[photo.name] = shown
    path = out / "masks.png"
    grid_of_images(path, *headed(rows, [*series]))
    write_csv(path, ("image", "class", "series", "iou"), table)
    return [path, path.with_suffix(".csv")]
