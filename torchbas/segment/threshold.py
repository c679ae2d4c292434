"""A threshold for each image and class, found by the losses instead of the truth (Sec. 5.5, Fig. 22, Table 15)."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from ..data import normalise
from ..engine.judging import image_thresholds, spread
from ..formats.seeds import Seed
from ..model import BAS
from ..model.bas import pool
from ..types import Collection, Photo
from .seed import sized_loader

COUNT = 19
"""Thresholds that are tried: .05, .10 ... .95."""


@torch.no_grad()
def seed_thresholds(
    model: BAS,
    collection: Collection,
    seed_of: Callable[[Photo], Seed],
    normalisation: tuple[tuple[float, ...], tuple[float, ...]],
    *,
    count: int = COUNT,
    batch_size: int = 8,
    device: torch.device | str = "cpu",
    workers: int = 0,
    precision: Callable[[], Any] = nullcontext,
) -> Iterator[tuple[Photo, dict[str, float]]]:
    """For each photo and tag the threshold with the least L_bas + L_ac, as ``model`` judges it.

    The seeds may be of any method: what is judged is how much evidence each binary map hides, and how large it is.
    """
    model.eval()
    for batch in sized_loader(collection, batch_size, workers):
        photos = [collection.photos[number] for number in batch.index.tolist()]
        seeds = [seed_of(photo) for photo in photos]
        maps = torch.from_numpy(np.concatenate([seed.maps for seed in seeds])).to(device)
        place = torch.tensor([p for p, seed in enumerate(seeds) for _ in seed.tags], device=device)
        label = torch.tensor([collection.classes.index(tag) for seed in seeds for tag in seed.tags], device=device)
        found: list[float] = []
        if len(label):
            with precision():
                images = normalise(batch.images.to(device), *normalisation)
                features = model.features(images.contiguous(memory_format=torch.channels_last))
                logits = pool(model.class_maps(features))[place]
                large = images[place] if model.architecture.hide == "image" else None
                asked = features[place], large, logits, label
                found = image_thresholds(model, *asked, maps, spread(maps, count))[0].tolist()
        values = iter(found)
        for photo, seed in zip(photos, seeds, strict=True):
            yield photo, {tag: next(values) for tag in seed.tags}
