"""From seeds to label maps on disk: what is certain for IRN to learn from, and pseudo masks for the student."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from ..config import Segmentation
from ..data import open_image
from ..formats.files import mirrored, replacing
from ..formats.seeds import Seed, read_seed
from ..formats.voc import write_labels
from ..types import Photo
from .combine import Strategy, combine, weaken
from .confident import confident_labels, crf_labels, local_labels
from .irn import Grids
from .seed import full_size, native_view
from .walk import random_walk


@dataclass(frozen=True)
class Seeds:
    """The seeds of several folders, combined photo by photo; it can be sent to another process.

    Args:
        places: a folder for each method, and where in it each photo's file lies.
        foreground: the folder of the class-agnostic map, if that weakens the others.
    """

    folders: tuple[Path, ...]
    places: Mapping[str, Path]
    foreground: Path | None = None
    strategy: Strategy = "average"

    def __call__(self, photo: Photo) -> Seed:
        place = self.places[photo.name]
        seeds = [read_seed(folder / place) for folder in self.folders]
        seed = combine(seeds) if len(seeds) > 1 else seeds[0]
        if self.foreground is None:
            return seed
        return weaken(seed, read_seed(self.foreground / place), self.strategy)


@dataclass(frozen=True)
class LabelMaps:
    """A folder of label maps, one PNG a photo."""

    folder: Path
    places: Mapping[str, Path]

    def path(self, photo: Photo) -> Path:
        """The photo's file."""
        return self.folder / self.places[photo.name]

    def write(self, photo: Photo, local: UInt8[np.ndarray, "H W"], size: tuple[int, int]) -> None:
        """Write local numbers (0 ground, i + 1 the photo's i-th tag, 255 unsure) as the class list's, in its size."""
        labels = numbered(local, photo.labels)
        if labels.shape != size:
            labels = np.array(Image.fromarray(labels).resize((size[1], size[0]), Image.Resampling.NEAREST))
        write_labels(self.path(photo), labels)


@dataclass(frozen=True)
class Thresholds:
    """A folder of thresholds, one JSON a photo: by tag."""

    folder: Path
    places: Mapping[str, Path]

    def path(self, photo: Photo) -> Path:
        """The photo's file."""
        return self.folder / self.places[photo.name]

    def __call__(self, photo: Photo) -> dict[str, float]:
        return json.loads(self.path(photo).read_text("utf-8"))

    def write(self, photo: Photo, own: Mapping[str, float]) -> None:
        """Write a photo's."""
        with replacing(self.path(photo)) as partial:
            partial.write_text(json.dumps(own), encoding="utf-8")


def places(photos: Sequence[Photo], suffix: str) -> dict[str, Path]:
    """Where each photo's file goes, relative to its folder."""
    return {name: Path(place) for name, place in mirrored((photo.name for photo in photos), suffix).items()}


@dataclass(frozen=True)
class Cut:
    """Writes label maps: seeds cut at a threshold, one for all or one for each photo and tag; then perhaps a CRF."""

    seeds: Seeds
    masks: LabelMaps
    settings: Segmentation
    thresholds: Thresholds | None = None

    def __call__(self, photo: Photo) -> None:
        seed = self.seeds(photo)
        maps, cut = full_size(seed.maps, seed.size), self.settings.cut
        if self.thresholds is not None:
            own = self.thresholds(photo)
            maps, cut = recut(maps, [own[tag] for tag in seed.tags]), 0.5
        if self.settings.refine == "crf":
            local = crf_labels(pixels(photo), maps, float(cut))
        else:
            local = local_labels(maps, float(cut))
        self.masks.write(photo, local, seed.size)


@dataclass(frozen=True)
class Certain:
    """Writes what a seed and two dense CRFs are sure of, 255 elsewhere: the labels that IRN learns from."""

    seeds: Seeds
    masks: LabelMaps
    settings: Segmentation

    def __call__(self, photo: Photo) -> None:
        seed = self.seeds(photo)
        maps = full_size(seed.maps, seed.size)
        local = confident_labels(pixels(photo), maps, self.settings.certain, self.settings.doubtful)
        self.masks.write(photo, local, seed.size)


@dataclass(frozen=True)
class Walk:
    """Writes pseudo masks: seeds after IRN's random walk between the photo's boundaries, in it the class that wins."""

    seeds: Seeds
    masks: LabelMaps
    settings: Segmentation

    def __call__(self, photo: Photo, grids: Grids) -> None:
        seed = self.seeds(photo)
        walked = random_walk(seed.maps**self.settings.power, grids[0]) if len(seed.maps) else seed.maps
        maps = full_size(walked, seed.size)
        # IRN divides by the largest value in the photo, whatever its class.
        local = local_labels(maps / max(float(maps.max(initial=0)), 1e-5), self.settings.ground)
        self.masks.write(photo, local, seed.size)


def recut(maps: Float32[np.ndarray, "N H W"], thresholds: Sequence[float]) -> Float32[np.ndarray, "N H W"]:
    """Bend each map's scale, in two straight pieces, so that its own threshold comes to lie at a half."""
    at = np.clip(np.array(thresholds, np.float32), 1e-3, 1 - 1e-3)[:, None, None]
    return np.where(maps <= at, 0.5 * maps / at, 0.5 + 0.5 * (maps - at) / (1 - at)).astype(np.float32)


def numbered(local: UInt8[np.ndarray, "H W"], labels: Sequence[int]) -> UInt8[np.ndarray, "H W"]:
    """Local numbers (0 ground, i + 1 the photo's i-th tag, 255 unsure) as those of the class list."""
    table = np.zeros(256, np.uint8)
    table[255] = 255
    for place, label in enumerate(labels, 1):
        table[place] = label + 1
    return table[local]


def pixels(photo: Photo) -> UInt8[np.ndarray, "H W 3"]:
    """The photo at its working size."""
    return native_view(open_image(photo.path)).permute(1, 2, 0).contiguous().numpy()
