"""Instance masks (IRN, Ahn et al. 2019, Sec. 5): cells whose displacements lead to one center are one object."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int32
from pycocotools import mask as coco_mask
from torch import Tensor

from ...export.coco import ScoredMask, write_objects
from ...inputs import read_json
from ...io import atomic_write
from ...structures import Sample, working_size
from ..cache import SampleFiles
from ..seeds.combine import Seeds
from .network import Boundaries
from .random_walk import random_walk

STEPS = 300
"""Number of steps along the displacements."""
CENTER = 2.5
"""Length of the displacement, in cells, below which a cell belongs to a center."""
BACKGROUND = 0.25
"""Threshold of the maps, as a share of the highest value in the image."""
SMALLEST = 0.01
"""Smallest area of an object, as a share of the image."""


class Instance(NamedTuple):
    """The mask of one object."""

    label: int
    """Index of its class among the maps."""
    mask: Bool[np.ndarray, "H W"]
    score: float
    """The highest value of its map within the mask, as a share of the highest in the image."""


@dataclass(frozen=True)
class InstanceWriter(SampleFiles):
    """Writes the objects of a sample as JSON, found from its seed and IRN's boundaries and displacements."""

    seeds: Seeds
    power: float = 1.5

    def __call__(self, sample: Sample, boundaries: Boundaries) -> None:
        seed = self.seeds(sample)
        found = instances(seed.maps**self.power, *boundaries, working_size(seed.size))
        objects = [
            {"tag": seed.tags[one.label], "score": one.score, "rle": _run_lengths(one.mask, seed.size)} for one in found
        ]
        with atomic_write(self.path(sample)) as partial:
            partial.write_text(json.dumps({"size": seed.size, "objects": objects}), encoding="utf-8")

    def collect(self, samples: Sequence[Sample], classes: Sequence[str], path: Path) -> None:
        """Write all samples' objects as one COCO file."""

        def found() -> Iterator[ScoredMask]:
            for sample in samples:
                for one in _read(self.path(sample))["objects"]:
                    yield ScoredMask(sample.name, one["tag"], one["rle"], one["score"])

        sizes = {
            sample.name: (height, width) for sample in samples for height, width in [_read(self.path(sample))["size"]]
        }
        write_objects(found(), classes, sizes, path)


def read_objects(path: Path) -> list[tuple[str, Bool[np.ndarray, "H W"]]]:
    """Tag and mask of each object of a sample, as :class:`InstanceWriter` wrote it."""
    return [(one["tag"], coco_mask.decode(one["rle"]).astype(bool)) for one in _read(path)["objects"]]


def _read(path: Path) -> dict[str, Any]:
    return read_json(path)


def instances(
    maps: Float32[np.ndarray, "N h w"],
    edges: Float32[np.ndarray, "h w"],
    displacement: Float32[np.ndarray, "2 h w"],
    size: tuple[int, int],
    radius: int = 5,
    beta: float | int = 10,
    steps: int = 256,
) -> list[Instance]:
    """The objects of a photo: each map split by center, a random walk of each part, per pixel the highest part.

    Args:
        maps: one per class, not negative, on the /4 grid.
        edges: probability of a boundary, in [0, 1].
        displacement: down and right, in cells.
        size: height and width of the photo, at most four times those of the grid.
        radius: with ``beta`` and ``steps``, of :func:`~torchbas.wsss.irn.random_walk.random_walk`.
    """
    center = group(displacement)
    centers = center == np.arange(center.max() + 1, dtype=np.int32)[:, None, None]
    parts = (maps[:, None] * centers).reshape(-1, *center.shape)
    filled = np.flatnonzero(parts.any(axis=(1, 2)))
    if not len(filled):
        return []
    walked = torch.from_numpy(random_walk(parts[filled], edges, radius, beta, steps))
    large = F.interpolate(walked[:, None], scale_factor=4, mode="bilinear", align_corners=False)[:, 0]
    large = large[:, : size[0], : size[1]]
    value, part = (large / large.max().clamp(min=1e-12)).max(dim=0)
    part = part.where(value > BACKGROUND, -1).numpy().astype(np.int32)
    return [
        Instance(int(filled[k]) // len(centers), mask, float(value.numpy()[mask].max()))
        for k in np.unique(part[part >= 0]).tolist()
        for mask in _regions(part == k)
        if mask.sum() >= SMALLEST * mask.size
    ]


def group(displacement: Float32[np.ndarray, "2 h w"]) -> Int32[np.ndarray, "h w"]:
    """Index of the center that each cell's displacements lead to; 0 where they lead to none.

    A center is a 4-connected region of displacements shorter than 2.5 cells.
    """
    central = (np.hypot(*displacement) < CENTER).astype(np.uint8)
    number = cv2.connectedComponents(central, connectivity=4, ltype=cv2.CV_32S)[1]
    row, column = _endpoints(torch.from_numpy(displacement)).round().long().numpy()
    return number[row, column]


def _endpoints(displacement: Float[Tensor, "2 h w"]) -> Float[Tensor, "2 h w"]:
    """Where each cell ends up that follows the field, interpolated bilinearly, and stops at the border."""
    last = torch.tensor(displacement.shape[1:], dtype=torch.float32)[:, None, None] - 1
    rows, columns = (torch.arange(length, dtype=torch.float32) for length in displacement.shape[1:])
    place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    unit = 2 / last.clamp(min=1)  # grid_sample counts from -1 to 1, and columns first
    for _ in range(STEPS):
        grid = (place * unit - 1).flip(0).permute(1, 2, 0)[None]
        step = F.grid_sample(displacement[None], grid, mode="bilinear", padding_mode="border", align_corners=True)[0]
        place = (place + step).clamp(min=torch.zeros(()), max=last)
    return place


def _run_lengths(mask: Bool[np.ndarray, "H W"], size: tuple[int, int]) -> dict[str, Any]:
    """COCO's run-length encoding of the mask at the photo's own height and width."""
    large: Any = mask.astype(np.uint8)
    if mask.shape != size:
        large = cv2.resize(large, size[::-1], interpolation=cv2.INTER_NEAREST)
    rle: Any = coco_mask.encode(np.asfortranarray(large))
    return {"size": list(size), "counts": rle["counts"].decode("ascii")}


def _regions(mask: Bool[np.ndarray, "H W"]) -> list[Bool[np.ndarray, "H W"]]:
    count, number = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    return [number == k for k in range(1, count)]
