"""Several seeds of one photo made one: of other methods (Table 9), or weakened by the foreground map (Table 13)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float32

from ..errors import InputError
from ..formats.seeds import Seed

Strategy = Literal["average", "replace"]


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
    """Where a class says more than the class-agnostic map, take that map, or the mean of both (Sec. 5.5, Table 13).

    ``foreground`` has the same map for each tag, as :func:`~torchbas.segment.seed.make_seeds` writes it for a
    class-agnostic model.
    """
    if (seed.tags, seed.size) != (foreground.tags, foreground.size):
        raise InputError("a foreground map of another photo or other tags was given: make both seeds again.")
    weaker = foreground.maps if strategy == "replace" else (seed.maps + foreground.maps) / 2
    return seed._replace(maps=np.where(seed.maps > foreground.maps, weaker, seed.maps))


def _by_largest(maps: Float32[np.ndarray, "N h w"]) -> Float32[np.ndarray, "N h w"]:
    return maps / (maps.max(axis=(1, 2), keepdims=True, initial=0) + np.float32(1e-5))
