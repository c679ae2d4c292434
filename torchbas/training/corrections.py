"""Learning from boxes that were corrected by hand: the generator goes on where its maps should and should not be."""

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco_mask
from torch import Tensor

from ..data import evaluation_loader, standardize, whole_view
from ..inference.localizer import Localizer
from ..model.bas import BAS
from ..structures import Box, Dataset, Sample

STEPS, BATCH, RATE = 150, 16, 1e-3
SHARING = 1.0
"""What is learned of one tag's edges holds for the others (docs/start.md, filters that share gradients)."""
LEAST = 1e-4
"""Maps are kept this far from 0 and 1, where the logarithm ends."""


class Corrected(NamedTuple):
    """A tag in a photo, and all its boxes; none: it is not there."""

    sample: Sample
    label: int
    boxes: tuple[Box, ...]
    """In pixels of the photo."""
    mask: dict[str, Any] | None = None
    """True pixels of all of them, where each was drawn, as COCO's run lengths."""


class TrainingPairs(NamedTuple):
    """``N`` tags in photos, ready to learn from; boxes are padded with empty ones."""

    features: Float[Tensor, "N 2 C h w"]
    """F of the photo and of its mirror image."""
    label: Int[Tensor, " N"]
    boxes: Float[Tensor, "N M 4"]
    """As shares of width and height."""
    masks: Float[Tensor, "N h w"]
    """Share of each place that is of the tag, where :attr:`masked`."""
    masked: Bool[Tensor, " N"]
    """Whether the true mask is known."""

    def some(self, rows: Int[Tensor, " R"]) -> "TrainingPairs":
        """Only these."""
        return TrainingPairs(*(column[rows] for column in self))


def can_learn(localizer: Localizer) -> bool:
    """Whether the method has a map for each class that a generator makes of F."""
    model = localizer.model
    return isinstance(model, BAS) and not model.architecture.class_agnostic


@torch.no_grad()
def training_pairs(
    localizer: Localizer, corrected: Sequence[Corrected], precision: Callable[[], Any] = nullcontext
) -> TrainingPairs:
    """F of the photos at the size that they are localized at, and their boxes."""
    samples = tuple(one.sample for one in corrected)
    model, device = localizer.model.eval(), next(localizer.model.parameters()).device
    dataset = Dataset(samples[0].path, localizer.classes, samples)
    features, boxes = [], torch.zeros(len(samples), max(1, *(len(one.boxes) for one in corrected)), 4)
    masked = [one.mask is not None for one in corrected]
    for batch in evaluation_loader(dataset, partial(whole_view, size=localizer.sides[0]), BATCH):
        images = standardize(batch.images.to(device), *model.normalization)
        with precision():
            both = [
                model.encode(view.contiguous(memory_format=torch.channels_last)).features for view in _mirrored(images)
            ]
        features.append(torch.stack(both, dim=1).half())
        for place, (height, width) in zip(batch.index.tolist(), batch.size.tolist(), strict=True):
            for number, box in enumerate(corrected[place].boxes):
                boxes[place, number] = torch.tensor(box) / torch.tensor([width, height, width, height])
    both = torch.cat(features)
    height, width = both.shape[3:]
    masks = np.zeros((len(samples), height, width), np.float32)
    for place, one in enumerate(corrected):
        if one.mask is not None:
            pixels = coco_mask.decode(one.mask).astype(np.float32)  # pyright: ignore[reportArgumentType]
            masks[place] = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return TrainingPairs(
        both,
        torch.tensor([one.label for one in corrected], device=device),
        boxes.to(device),
        torch.from_numpy(masks).to(device),
        torch.tensor(masked, device=device),
    )


def _mirrored(images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B 3 H W"]]:
    return images, images.flip(3)


def learned(localizer: Localizer, given: TrainingPairs, fill: float = 0.0, seed: int = 0) -> Localizer:
    """The same with a generator that has learned from corrections; the given one stays as it is.

    Each step takes up to :data:`BATCH` of them, half of the times mirrored, and lowers by Adam :func:`mask_loss` of
    those whose mask is known, :func:`box_loss` of the others.
    """
    model = copy.deepcopy(localizer.model)
    assert isinstance(model, BAS)
    generator = model.generator.requires_grad_(True)
    generator.share_gradients(SHARING)
    # A logarithm's gradient needs no help at 0 and 1; of a model that was just trained the slope is not 0.
    generator.slope = 0.0
    optimizer = torch.optim.Adam(generator.parameters(), lr=RATE)
    rng = np.random.default_rng(seed)
    draws = [(rng.permutation(len(given.label))[:BATCH], bool(rng.random() < 0.5)) for _ in range(STEPS)]
    order = torch.from_numpy(np.stack([rows for rows, _ in draws])).to(given.label.device)
    for rows, (_, mirrored) in zip(order, draws, strict=True):
        some = given.some(rows)
        maps = generator.of(some.features[:, int(mirrored)].float(), some.label[:, None])[:, 0]
        maps = maps.flip(2) if mirrored else maps
        losses = torch.where(some.masked, mask_loss(maps, some.masks), box_loss(maps, some.boxes, fill))
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
    return replace(localizer, model=model.eval())


def box_loss(maps: Float[Tensor, "B h w"], boxes: Float[Tensor, "B M 4"], fill: float = 0.0) -> Float[Tensor, " B"]:
    """How far maps are from boxes: outside of all of them a map is 0; inside of each some place of every row and of
    every column is 1, so that it reaches all four sides (the projections of Tian et al. 2021, BoxInst).

    The mean of -log(1 - M) over the places outside, and of -log of the largest M in a row or column over those of a
    box; a place belongs to a box that its middle lies in, and a box without any has the one that its middle lies in.

    Args:
        fill: share of the second term that asks for all of the inside instead: the mean of -log M there.
    """
    maps = maps.clamp(LEAST, 1 - LEAST)
    rows = _places(boxes[:, :, 1], boxes[:, :, 3], maps.shape[1])
    columns = _places(boxes[:, :, 0], boxes[:, :, 2], maps.shape[2])
    inside = rows[:, :, :, None] & columns[:, :, None, :]
    within = torch.where(inside, maps[:, None], LEAST)
    full = [
        (-(within.amax(dim=dim).log()) * places).sum(dim=2) / places.sum(dim=2).clamp(min=1)
        for dim, places in ((3, rows), (2, columns))
    ]
    there = rows.any(dim=2)
    reached = (sum(full) / 2 * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
    covered, outside = _inside_and_outside(maps, inside.any(dim=1).float())
    return outside + (1 - fill) * reached + fill * covered


def mask_loss(maps: Float[Tensor, "B h w"], masks: Float[Tensor, "B h w"]) -> Float[Tensor, " B"]:
    """Cross entropy between maps and masks, in [0, 1], whose inside and outside weigh the same, however large."""
    return sum(_inside_and_outside(maps.clamp(LEAST, 1 - LEAST), masks))  # pyright: ignore[reportReturnType]


def _inside_and_outside(
    maps: Float[Tensor, "B h w"], masks: Float[Tensor, "B h w"]
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """Mean of -log M inside of a mask and of -log(1 - M) outside; 0 where there is no such place."""
    terms = ((-maps.log(), masks), (-(1 - maps).log(), 1 - masks))
    inside, outside = (
        (value * share).sum(dim=(1, 2)) / share.sum(dim=(1, 2)).clamp(min=LEAST) for value, share in terms
    )
    return inside, outside


def _places(low: Float[Tensor, "B M"], high: Float[Tensor, "B M"], count: int) -> Bool[Tensor, "B M n"]:
    """Rows or columns of a grid that belong to a box, by its first and last edge; none where it is empty."""
    middles = (torch.arange(count, device=low.device) + 0.5) / count
    found = (middles >= low[..., None]) & (middles < high[..., None])
    nearest = ((low + high) / 2 * count).long().clamp(max=count - 1)
    single = torch.nn.functional.one_hot(nearest, count).bool()
    return torch.where(found.any(dim=2, keepdim=True), found, single) & (high > low)[..., None]
