"""Folders of seeds and label maps as rows of pictures: which photos, what the folders are called, how maps look."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from ..data import open_image
from ..errors import InputError
from ..formats.files import mirrored
from ..formats.voc import voc_palette
from ..types import Collection, Photo
from ..viz.overlay import heat_layer
from ..viz.plots import Picture

SIDE = 480
"""Pixels of the longer side of a drawn photo."""


def photos_in(
    folders: Sequence[Path], collection: Collection, suffix: str, names: Sequence[str], count: int
) -> list[tuple[Photo, Path]]:
    """Photos with a file in each of the folders, and its place there: those named, else ``count`` evenly spaced ones.

    Of the photos that are not named those with a true mask are preferred.

    Raises:
        InputError: a name that is not among them, or no photo at all.
    """
    places = mirrored((photo.name for photo in collection.photos), suffix)
    whole = {
        photo.name: (photo, Path(places[photo.name]))
        for photo in collection.photos
        if all((folder / places[photo.name]).is_file() for folder in folders)
    }
    for name in names:
        if name not in whole:
            listed = ", ".join(map(str, folders))
            raise InputError(
                f"{name} is no photo of {collection.root} with a {suffix} file in {listed}: check the name."
            )
    if names:
        return [whole[name] for name in names]
    found = [one for one in whole.values() if one[0].mask] or [*whole.values()]
    if not found:
        listed = ", ".join(map(str, folders))
        raise InputError(f"no photo of {collection.root} has a {suffix} file in {listed}: give folders of bas segment.")
    return [found[place] for place in np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)]


def named(folders: Iterable[Path]) -> dict[str, Path]:
    """The folders by the shortest of three names that tells all of them apart: own, with the parent's, whole path."""
    different = [*dict.fromkeys(folders)]
    full = [folder.resolve() for folder in different]
    ways = [[one.name for one in full], [f"{one.parent.name} {one.name}" for one in full], list(map(str, different))]
    names = next((way for way in ways if len(set(way)) == len(way)), ways[-1])
    return dict(zip(names, different, strict=True))


def headed(rows: dict[str, list[Picture]], series: list[str]) -> tuple[dict[str, list[Picture]], list[str]]:
    """Rows of a photo, perhaps its truth, and a picture for each of the series, with the heads of their columns.

    Where some photos have truth and others none, these get an empty place for it.
    """
    truths = max(map(len, rows.values())) > 1 + len(series)
    for row in rows.values():
        if truths and len(row) == 1 + len(series):
            row.insert(1, Picture(Image.new("RGB", row[0].image.size, "white"), "none"))
    return rows, ["photo", *(["truth"] if truths else []), *series]


def picture_of(photo: Photo) -> Image.Image:
    """The photo, small enough to be one of many."""
    image = open_image(photo.path)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image


def painted(labels: UInt8[np.ndarray, "H W"], size: tuple[int, int]) -> Image.Image:
    """A label map in VOC's colours; ``size`` is width and height, as Pillow has them."""
    return Image.fromarray(voc_palette()[labels]).resize(size, Image.Resampling.NEAREST)


def heated(picture: Image.Image, grid: Float[np.ndarray, "h w"]) -> Image.Image:
    """A map in [0, 1] over the photo."""
    canvas = picture.convert("RGB")
    layer = Image.fromarray(heat_layer(cv2.resize(grid, canvas.size, interpolation=cv2.INTER_LINEAR)))
    canvas.paste(layer, mask=layer)
    return canvas


def ious(
    grid: Float32[np.ndarray, "H W"],
    truth: UInt8[np.ndarray, "H W"],
    number: int,
    thresholds: Sequence[float] | Float[np.ndarray, " T"],
) -> Float[np.ndarray, " T"]:
    """IoU in [0, 1] of ``grid > t`` with the pixels of class ``number``, those of 255 left out; 0 where both are empty.

    Args:
        thresholds: ascending.
    """
    judged = truth != 255
    cleared = np.searchsorted(np.asarray(thresholds, np.float32), grid[judged])  # by how many thresholds it is above
    right = truth[judged] == number
    inside, outside = (np.bincount(cleared[which], minlength=len(thresholds) + 1) for which in (right, ~right))
    hits, extra = (counts[::-1].cumsum()[::-1][1:] for counts in (inside, outside))
    return hits / np.maximum(right.sum() + extra, 1)
