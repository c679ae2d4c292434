"""Image-specific thresholds of seeds, chosen by L_bas + L_ac without ground truth (Sec. 5.5, Fig. 22, Table 15)."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from ...data import standardize
from ...inference.thresholds import evenly_spaced, image_thresholds
from ...inputs import read_json
from ...io import atomic_write
from ...methods.base import Normalization
from ...model.classifier import Classifier
from ...structures import Dataset, Sample
from ..cache import SampleFiles
from .files import Seed
from .multi_scale import sized_loader

COUNT = 19
"""Number of candidates: .05, .10 ... .95."""


@dataclass(frozen=True)
class Thresholds(SampleFiles):
    """A folder of thresholds by tag, one JSON for each sample."""

    def __call__(self, sample: Sample) -> dict[str, float]:
        return read_json(self.path(sample))

    def write(self, sample: Sample, thresholds: Mapping[str, float]) -> None:
        """Write a sample's thresholds."""
        with atomic_write(self.path(sample)) as partial:
            partial.write_text(json.dumps(thresholds), encoding="utf-8")


@torch.no_grad()
def seed_thresholds(
    model: Classifier,
    dataset: Dataset,
    seed_of: Callable[[Sample], Seed],
    normalization: Normalization,
    *,
    count: int = COUNT,
    batch_size: int = 8,
    device: torch.device | str = "cpu",
    workers: int = 0,
    precision: Callable[[], Any] = nullcontext,
) -> Iterator[tuple[Sample, dict[str, float]]]:
    """For each sample and tag the threshold whose binary map has the least L_bas + L_ac.

    The seeds may be another method's than the model's: only the activation that each binary map masks, and its area,
    count.

    Args:
        model: computes S_b; it is left in evaluation mode.
        count: number of candidates, evenly spaced inside (0, 1).
    """
    model.eval()
    for batch in sized_loader(dataset, batch_size, workers):
        samples = [dataset.samples[number] for number in batch.index.tolist()]
        seeds = [seed_of(sample) for sample in samples]
        maps = torch.from_numpy(np.concatenate([seed.maps for seed in seeds])).to(device)
        index = torch.tensor([i for i, seed in enumerate(seeds) for _ in seed.tags], device=device)
        label = torch.tensor([dataset.classes.index(tag) for seed in seeds for tag in seed.tags], device=device)
        chosen: list[float] = []
        if len(label):
            with precision():
                images = standardize(batch.images.to(device), *normalization)
                encoded = model.encode(images.contiguous(memory_format=torch.channels_last)).at(index)
                chosen = image_thresholds(encoded, label, maps, evenly_spaced(maps, count))[0].tolist()
        values = iter(chosen)
        for sample, seed in zip(samples, seeds, strict=True):
            yield sample, {tag: next(values) for tag in seed.tags}


def align_thresholds(maps: Float32[np.ndarray, "N H W"], thresholds: Sequence[float]) -> Float32[np.ndarray, "N H W"]:
    """Each map on a piecewise linear scale where its own threshold is 0.5, so that maps can be compared."""
    at = np.clip(np.array(thresholds, np.float32), 1e-3, 1 - 1e-3)[:, None, None]
    return np.where(maps <= at, 0.5 * maps / at, 0.5 + 0.5 * (maps - at) / (1 - at)).astype(np.float32)
