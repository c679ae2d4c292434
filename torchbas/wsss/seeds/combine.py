"""Seeds of several methods added (Table 9), or weakened by the class-agnostic foreground map (Table 13)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32

from ...errors import InputError
from ...structures import Sample
from .files import Seed, read_seed

Strategy = Literal["average", "replace"]


@dataclass(frozen=True)
class Seeds:
    """The seed of each sample, read from one or more folders and combined. It can be sent to another process.

    Args:
        folders: one for each method.
        paths: the file of each sample, relative to the folders, by the sample's name.
        foreground: the folder of the class-agnostic map, if that weakens the others.
    """

    folders: tuple[Path, ...]
    paths: Mapping[str, Path]
    foreground: Path | None = None
    strategy: Strategy = "average"

    def __call__(self, sample: Sample) -> Seed:
        path = self.paths[sample.name]
        seeds = [read_seed(folder / path) for folder in self.folders]
        seed = combine(seeds) if len(seeds) > 1 else seeds[0]
        if self.foreground is None:
            return seed
        return weaken(seed, read_seed(self.foreground / path), self.strategy)


def combine(seeds: Sequence[Seed]) -> Seed:
    """Each method's maps divided by their largest value, added, and divided again (Sec. 5.3).

    Raises:
        InputError: the seeds are not of one photo with the same tags.
    """
    first = seeds[0]
    for other in seeds[1:]:
        if (other.tags, other.size) != (first.tags, first.size):
            what = f"{', '.join(first.tags)} on {first.size} and {', '.join(other.tags)} on {other.size}"
            raise InputError(f"seeds of different photos or tags cannot be combined ({what}): make them again.")
    return first._replace(maps=_by_largest(sum((_by_largest(seed.maps) for seed in seeds), np.zeros_like(first.maps))))


def weaken(seed: Seed, foreground: Seed, strategy: Strategy = "average") -> Seed:
    """Where a class's map is above the class-agnostic one: that map, or the mean of both (Sec. 5.5, Table 13).

    ``foreground`` has the same map for each tag, as :func:`~torchbas.wsss.seeds.multi_scale.make_seeds` makes it of a
    class-agnostic model.

    Raises:
        InputError: the two are not of one photo with the same tags.
    """
    if (seed.tags, seed.size) != (foreground.tags, foreground.size):
        raise InputError("a foreground map of another photo or other tags was given: make both seeds again.")
    weaker = foreground.maps if strategy == "replace" else (seed.maps + foreground.maps) / 2
    return seed._replace(maps=np.where(seed.maps > foreground.maps, weaker, seed.maps))


def _by_largest(maps: Float32[np.ndarray, "N h w"]) -> Float32[np.ndarray, "N h w"]:
    return maps / (maps.max(axis=(1, 2), keepdims=True, initial=0) + np.float32(1e-5))
