"""Where a photo has several things of a tag: how small they may be, and whether those that touch are told apart."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

from ..localization import Localization
from ..structures import Box

SMALLEST = (0.001, 0.003, 0.01, 0.03)
"""Shares of the photo to choose from; the first is the usual one."""
Boxes = Mapping[tuple[str, str], Sequence[Box]]
"""Boxes by photo and tag."""
Read = Callable[[Mapping[str, Any]], Iterable[Localization]]
"""All things that a model finds in photos that it has not learned from, with some settings of its inference."""


def things(asked: Iterable[tuple[Read, Boxes]], margin: float) -> dict[str, Any]:
    """Values of ``smallest`` and ``separate`` (:class:`~torchbas.config.Inference`) with the best F1 of the boxes, an
    IoU of .5 asked for: the usual ones, unless others are better by ``margin``.

    Args:
        asked: what finds them, with the true boxes of the same photos and tags.
    """
    counts: dict[tuple[bool, float], np.ndarray] = defaultdict(lambda: np.zeros(3))
    for read, true in asked:
        for separate in (True, False):
            found: dict[tuple[str, str], list[Localization]] = defaultdict(list)
            for one in read({"separate": separate, "smallest": SMALLEST[0]}):
                found[one.name, one.label].append(one)
            for smallest in SMALLEST:
                for key, boxes in true.items():
                    few = [one.xyxy for one in _large(found.get(key, []), smallest)]
                    counts[separate, smallest] += (matches(few, boxes), len(few), len(boxes))
    scores = {way: 2 * both / max(found + true, 1) for way, (both, found, true) in counts.items()}
    usual = (True, SMALLEST[0])
    separate, smallest = max(scores, key=lambda way: scores[way] - margin * (way != usual), default=usual)
    return {"separate": separate, "smallest": smallest}


def _large(found: Sequence[Localization], smallest: float) -> list[Localization]:
    """The largest thing, and the others that cover enough of the photo."""
    return [one for place, one in enumerate(found) if not place or one.area >= smallest * one.size[0] * one.size[1]]


def matches(found: Sequence[Box], true: Sequence[Box]) -> int:
    """Pairs of a found box and a true one with an IoU of at least .5, each box in one, the best pairs first."""
    if not found or not true:
        return 0
    overlap, count = box_iou(torch.tensor(found), torch.tensor(true)), 0
    while overlap.max() >= 0.5:
        row, column = divmod(int(overlap.argmax()), overlap.shape[1])
        overlap[row], overlap[:, column] = 0, 0
        count += 1
    return count
