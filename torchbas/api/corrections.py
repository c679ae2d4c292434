"""Corrected boxes put to use: the model learns from them where that helps, and they go out as they are."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.ops import box_iou

from ..data import image_size
from ..data.corrections import Corrections
from ..errors import InputError
from ..inference.localizer import Localizer
from ..io import stable_hash
from ..localization import CORRECTED, Localization
from ..structures import Box, Dataset, Sample
from ..training.corrections import Corrected, can_learn, learned, training_pairs
from .own_tags import Localize, OwnTags, first_of_each, localize_own_tags, with_inference

FOLDS = 5
ENOUGH = 5
"""Corrected boxes from which on the model learns: each fifth of them is left out once."""
SLACK = 0.1
"""Share of the corrected boxes by which one way must be better than another that is expected to be: a dozen of them
tell no finer (docs/correct.md)."""


class Learning(NamedTuple):
    """What the corrections have taught, measured on those that were left out."""

    fingerprint: str
    """Hash of the corrected boxes."""
    boxes: int
    """Tags in photos with corrected boxes."""
    before: float
    """Share of them where the model's box had an IoU of .5 with a corrected one, before it learned."""
    after: float
    """The same of a model that has learned from four fifths of the corrections, on the fifth."""

    @property
    def kept(self) -> bool:
        """Whether it has learned: where that is worse, by more than :data:`SLACK`, the model stays as it was."""
        return self.after >= self.before - SLACK

    @property
    def sentence(self) -> str:
        """Before and after, in words."""
        result = "" if self.kept else ", so the model stays as it was"
        return (
            f"of the {self.boxes} corrected by hand, left out five ways, a box was right (IoU of .5) in"
            f" {self.before:.0%} before and {self.after:.0%} after learning from the others{result}"
        )


def localize_corrected(
    dataset: Dataset,
    localizer: Localizer,
    corrections: Corrections,
    localize: Localize,
    precision: Callable[[], Any] = nullcontext,
) -> OwnTags:
    """Localizations of the photos' own tags by a model that has learned from the corrections, where that helps, and
    the corrected boxes as they are. What it has learned stands in the model's card.

    Args:
        dataset: photos whose tags are those of the corrections.
        localize: runs the model, with whatever progress and devices.
        precision: context manager of the forward pass.

    Raises:
        InputError: the model has learned from other corrections.
    """
    if not corrections.boxes:
        return localize_own_tags(dataset, localizer, localize)
    given = Learning(*localizer.corrections)
    hash_now = stable_hash(sorted((*key, *boxes) for key, boxes in corrections.boxes.items()))
    taught_before = given.boxes > 0 and given.kept
    if taught_before and given.fingerprint != hash_now:
        raise InputError("The model there has learned from other corrections: --overwrite, or give those.")
    if taught_before:  # a command that was stopped after it had learned
        own = localize_own_tags(dataset, localizer, localize, enlarged=localizer.inference.enlarged)
    else:
        own = localize_own_tags(dataset, localizer, localize)
        if (taught := learn(dataset, own, corrections, hash_now, localize, precision)) is not None:
            better, result = taught
            if result.kept:
                own = localize_own_tags(dataset, better, localize, enlarged=better.inference.enlarged)
            own = own._replace(localizer=replace(own.localizer, corrections=tuple(result)))
    return own._replace(found=with_corrections(own.found, dataset, corrections))


def learn(
    dataset: Dataset,
    own: OwnTags,
    corrections: Corrections,
    fingerprint: str,
    localize: Localize,
    precision: Callable[[], Any] = nullcontext,
) -> tuple[Localizer, Learning] | None:
    """A model that has learned from corrected boxes; None where they are too few, or the method cannot.

    Tags that were localized at twice the size are so again, and masks are drawn to the photo's edges again, only where
    that is clearly better on the boxes that were left out: maps that were taught boxes need it less.

    Args:
        own: what the model found in the photos before.
        fingerprint: hash of the corrections.
    """
    localizer = own.localizer
    photos = localizer.with_own_classes(dataset)
    given = _given(photos, corrections)
    boxes = sum(bool(one.boxes) for one in given)
    if boxes < ENOUGH or not can_learn(localizer):
        return None
    known = training_pairs(localizer, given, precision)
    before = _correct(own.found, given, localizer)
    now = localizer.inference
    ways = [{"refine": refine, "enlarged": tags} for tags in ((), now.enlarged) for refine in ("none", now.refine)]
    correct = [0] * len(ways)
    order = np.random.default_rng(0).permutation(len(given))
    for fold in range(FOLDS):
        out = set(order[fold::FOLDS].tolist())
        asked = [given[row] for row in sorted(out) if given[row].boxes]
        if not asked:
            continue
        rest = torch.tensor([row for row in range(len(given)) if row not in out], device=known.label.device)
        other = learned(with_inference(localizer, layercam=()), known.some(rest))
        for number, way in enumerate(ways):
            if way not in ways[:number]:
                found = localize(_only(photos, asked), with_inference(other, **way))
                correct[number] += _correct(found, asked, localizer)
    best = max(range(len(ways)), key=lambda number: correct[number] - (SLACK * boxes if number else 0))
    result = Learning(fingerprint, boxes, round(before / boxes, 4), round(correct[best] / boxes, 4))
    if not result.kept:
        return localizer, result
    return with_inference(learned(with_inference(localizer, layercam=()), known), **ways[best]), result


def _given(dataset: Dataset, corrections: Corrections) -> list[Corrected]:
    """The corrections of photos that are there, in their order."""
    samples, number = {one.name: one for one in dataset.samples}, {tag: n for n, tag in enumerate(dataset.classes)}
    return [
        Corrected(replace(samples[name], labels=(number[tag],)), number[tag], boxes)
        for (name, tag), boxes in corrections.boxes.items()
        if name in samples
    ]


def _only(dataset: Dataset, asked: Sequence[Corrected]) -> Dataset:
    """The photos that are asked for, with the tags that are."""
    labels: dict[str, list[int]] = {}
    for one in asked:
        labels.setdefault(one.sample.name, []).append(one.label)
    samples = {one.sample.name: one.sample for one in asked}
    few = (replace(one, labels=tuple(sorted(labels[name]))) for name, one in samples.items())
    return replace(dataset, samples=tuple(few))


def _correct(found: Iterable[Localization], asked: Sequence[Corrected], localizer: Localizer) -> int:
    """How many have a first box that meets one of the corrected ones."""
    firsts = first_of_each(found)
    boxes = ((firsts.get((one.sample.name, localizer.classes[one.label])), one.boxes) for one in asked)
    both = ((one.xyxy, true) for one, true in boxes if one is not None and true)
    return sum(bool(box_iou(torch.tensor([box]), torch.tensor(true)).max() >= 0.5) for box, true in both)


def with_corrections(found: Sequence[Localization], dataset: Dataset, corrections: Corrections) -> list[Localization]:
    """The objects, with the corrected boxes in place of what was found of these tags in these photos.

    The mask of a corrected box is what was found of it inside, or the whole box where that is less than a quarter.
    """
    place = {one.name: number for number, one in enumerate(dataset.samples)}
    firsts = first_of_each(found)
    result = [one for one in found if (one.name, one.label) not in corrections.boxes]
    for (name, tag), boxes in corrections.boxes.items():
        if name in place and boxes:
            draft = firsts.get((name, tag)) or _without_draft(dataset.samples[place[name]], tag)
            result += [_corrected(draft, box) for box in boxes]
    return sorted(result, key=lambda one: place[one.name])


def _without_draft(sample: Sample, tag: str) -> Localization:
    """What a corrected box is put into where nothing was found."""
    size = image_size(sample.path)
    return Localization(
        image=sample.path,
        name=sample.name,
        size=size,
        label=tag,
        xyxy=(0.0, 0.0, 1.0, 1.0),
        rle=dict(coco_mask.encode(np.zeros(size, np.uint8, order="F"))),
        grid=np.zeros((1, 1), np.float32),
        confidence=1.0,
        bas_ratio=0.0,
        threshold=0.5,
    )


def _corrected(draft: Localization, box: Box) -> Localization:
    inside = np.zeros(draft.size, bool)
    x0, y0, x1, y1 = (round(value) for value in box)
    inside[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    mask = (draft.heatmap > draft.threshold) & inside
    if 4 * mask.sum() < inside.sum():
        mask = inside
    rle = dict(coco_mask.encode(np.asfortranarray(mask, np.uint8)))
    return replace(draft, xyxy=box, rle=rle, method=CORRECTED, typical=None)
