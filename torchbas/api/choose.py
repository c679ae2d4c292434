"""How a generator learns from corrections, and how its maps are read: chosen on corrections that were left out."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torchvision.ops import box_iou

from ..inference.boxes import largest_box
from ..inference.localizer import Localizer, silent
from ..localization import Localization
from ..structures import Box, Dataset
from ..training.corrections import Corrected, TrainingPairs, learned
from .own_tags import first_of_each
from .things import things

FOLDS = 5
MARGIN = 0.35
"""By how much another way must be better than the usual one, times the square root of the number of corrections: two of
twenty, four of a hundred (docs/correct.md)."""
FILLS = (0.0, 0.5, None)
"""Shares of the loss that ask for all of a box's inside, see :func:`~torchbas.training.corrections.box_loss`; None:
nothing is learned, only the size and the threshold are chosen."""
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
USUAL = 0.3
"""Threshold of maps that have learned, unless another is better."""
TELLING = 20
"""Corrections from which on another way than the usual one is tried: the best of many on ten of them is mostly luck."""
NEAR = (0.25, 0.5, 0.25)
"""Weights by which a threshold's count is averaged with those of its neighbors."""
SIDE = 256
"""Side of the grid that boxes are drawn on to compare thresholds, squeezed like the photo."""

Turns = Callable[[Iterable[int], int], Iterable[int]]
"""Passes turns on, whose number it is told, e.g. with a progress bar."""


class Choice(NamedTuple):
    """What was best on the corrections that were left out."""

    fill: float | None
    """See :data:`FILLS`."""
    inference: Mapping[str, Any]
    """Settings of :class:`~torchbas.config.Inference`: the size, the threshold, the refiners; where all things are
    wanted, how small they may be and whether those that touch are told apart."""
    correct: int
    """Corrections with a box whose IoU with a true one is at least .5."""
    by_half: int
    """The same of a generator that has learned from half as many; 0 where nothing is learned."""


class _Fold(NamedTuple):
    asked: Dataset
    """Photos that were left out, with the tags that have a corrected box."""
    boxes: dict[tuple[str, str], tuple[Box, ...]]
    """Their boxes, by photo and tag."""
    rest: Int[Tensor, " R"]
    """Rows of the others among all that is learned from."""


def choose(
    localizer: Localizer,
    photos: Dataset,
    given: Sequence[Corrected],
    known: TrainingPairs,
    precision: Callable[[], Any] = nullcontext,
    turns: Turns = silent,
    objects: str = "largest",
) -> Choice:
    """The best way to learn, by letting a generator learn from four fifths of the corrections and asking for the rest.

    First the loss, the size and the threshold, without refiners; then whether these draw the masks to the edges. The
    usual way is by the projections, at the photo's own size and the usual threshold, without refiners; another must be
    better by :data:`MARGIN`, and is tried only from :data:`TELLING` corrections on. A threshold that differs from the
    recipe's was chosen by the user, and stays, as do ``refine``, ``smallest`` and ``separate``; where all things are
    wanted, :func:`~.things.things` chooses the last two in the end.

    Args:
        photos: those of the corrections, with the model's classes.
        given: the corrections.
        known: what is learned from them.
    """
    folds = list(_folds(photos, given))
    asked = sum(len(fold.boxes) for fold in folds)
    total = (4 if objects == "all" else 3) * len(folds)
    counter = iter(turns(range(total), total))
    fills, sizes, levels, refine = FILLS, _sizes(localizer), _levels(localizer), localizer.inference.refine
    stays = "refine" in localizer.changes
    if asked < TELLING:
        fills, sizes, levels = fills[:1], sizes[:1], (USUAL,) if USUAL in levels else levels
        refine = refine if stays else ()
    counts: dict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.zeros(len(levels)))

    def correct(learner: Localizer, settings: Mapping[str, Any], fold: _Fold) -> int:
        reading = learner.with_inference(**settings)
        return correct_boxes(reading.stream(fold.asked, precision=precision), fold.boxes)

    for fold, _ in zip(folds, counter, strict=False):
        for loss, fill in enumerate(fills):
            other = taught(localizer, known.some(fold.rest), fill)
            for size, settings in enumerate(sizes):
                reading = other.with_inference(refine=(), threshold=levels[0], **settings)
                counts[loss, size] += _correct_at(reading.stream(fold.asked, precision=precision), fold, levels)
    loss, size, level = _best(counts, asked, levels)
    fill, count = fills[loss], int(counts[loss, size][level])
    inference = {**sizes[size], "threshold": levels[level], "refine": ()}
    if (drawn := inference | {"refine": refine}) != inference:
        pairs = zip(folds, counter, strict=False)
        refined = sum(correct(taught(localizer, known.some(fold.rest), fill), drawn, fold) for fold, _ in pairs)
        if stays or refined > count + MARGIN * asked**0.5:
            inference, count = drawn, refined
    if objects == "all" and asked >= TELLING and not {"smallest", "separate"} & localizer.changes.keys():
        pairs = zip(folds, counter, strict=False)
        learners = (
            (taught(localizer, known.some(fold.rest), fill).with_inference(**inference), fold) for fold, _ in pairs
        )
        reads = ((partial(_all_things, one, fold.asked, precision), fold.boxes) for one, fold in learners)
        inference |= things(reads, MARGIN / asked**0.5)
    half = 0
    for fold, _ in zip(folds if fill is not None else (), counter, strict=False):
        fewer = fold.rest[: (len(fold.rest) + 1) // 2]
        half += correct(taught(localizer, known.some(fewer), fill), inference, fold)
    list(counter)  # what was not needed
    return Choice(fill, inference, count, half)


def _all_things(
    localizer: Localizer, photos: Dataset, precision: Callable[[], Any], settings: Mapping[str, Any]
) -> Iterable[Localization]:
    return localizer.with_inference(**settings).stream(photos, objects="all", precision=precision)


def taught(localizer: Localizer, pairs: TrainingPairs, fill: float | None) -> Localizer:
    """The model after it has learned, if it does."""
    return localizer if fill is None else learned(localizer, pairs, fill)


def _folds(photos: Dataset, given: Sequence[Corrected]) -> Iterable[_Fold]:
    """The corrections, each in one fold; those without a box are learned from, but not asked for."""
    order = np.random.default_rng(0).permutation(len(given))
    for start in range(FOLDS):
        out = set(order[start::FOLDS].tolist())
        asked = [given[row] for row in sorted(out) if given[row].boxes]
        if asked:
            rest = torch.tensor([row for row in order.tolist() if row not in out], dtype=torch.long)
            boxes = {(one.sample.name, photos.classes[one.label]): one.boxes for one in asked}
            yield _Fold(_only(photos, asked), boxes, rest)


def _only(photos: Dataset, asked: Sequence[Corrected]) -> Dataset:
    """The photos that are asked for, with the tags that are."""
    labels: dict[str, list[int]] = defaultdict(list)
    for one in asked:
        labels[one.sample.name].append(one.label)
    samples = {one.sample.name: one.sample for one in asked}
    few = (replace(one, labels=tuple(sorted(labels[name]))) for name, one in samples.items())
    return replace(photos, samples=tuple(few))


def _sizes(localizer: Localizer) -> list[dict[str, Any]]:
    """The photo's own size; where a model was tried at twice the size, the tags whose maps held there, and both."""
    now = localizer.inference
    if now.enlarge != "auto":
        return [{}]
    tags = [{"enlarged": now.enlarged}] if now.enlarged else []
    return [{"enlarged": ()}, *tags, {"enlarged": (), "enlarge": "mean"}]


def _levels(localizer: Localizer) -> tuple[float, ...]:
    """Thresholds to choose from."""
    own = localizer.changes.get("threshold")
    return THRESHOLDS if not isinstance(own, float) else (own,)


def _best(
    counts: Mapping[tuple[int, int], np.ndarray], asked: int, levels: Sequence[float] = THRESHOLDS
) -> tuple[int, int, int]:
    """Loss, size and threshold with the most correct, the neighboring thresholds counted too."""
    usual, scores = (0, 0, levels.index(USUAL) if USUAL in levels else 0), {}
    for (loss, size), each in counts.items():
        smooth = np.convolve(np.pad(each, 1, mode="edge"), NEAR, "valid")
        scores |= {(loss, size, level): value for level, value in enumerate(smooth)}
    return max(scores, key=lambda way: scores[way] - (0 if way == usual else MARGIN * asked**0.5))


def correct_boxes(found: Iterable[Localization], true: Mapping[tuple[str, str], Sequence[Box]]) -> int:
    """How many tags in photos have a first box whose IoU with one of the true boxes is at least .5."""
    firsts = first_of_each(found)
    both = ((firsts[key].xyxy, boxes) for key, boxes in true.items() if key in firsts)
    return sum(_meets(box, boxes) for box, boxes in both)


def _correct_at(found: Iterable[Localization], fold: _Fold, levels: Sequence[float] = THRESHOLDS) -> np.ndarray:
    """The same at each of several thresholds, from maps that were read at the lowest."""
    result = np.zeros(len(levels))
    for (name, tag), one in first_of_each(found).items():
        large = cv2.resize(one.grid, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        height, width = (side / SIDE for side in one.size)
        for level, threshold in enumerate(levels):
            if large.max() > threshold:
                x0, y0, x1, y1 = largest_box(large, threshold)
                box = (x0 * width, y0 * height, x1 * width, y1 * height)
                result[level] += _meets(box, fold.boxes[name, tag])
    return result


def _meets(box: Box, true: Sequence[Box]) -> bool:
    return bool(box_iou(torch.tensor([box]), torch.tensor(true)).max() >= 0.5)
