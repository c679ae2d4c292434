"""Corrected boxes put to use: the model learns from them where that helps, and they go out as they are."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from ..data import image_size
from ..data.corrections import RLE, Corrections
from ..errors import InputError
from ..inference.localizer import Localizer, silent
from ..localization import CORRECTED, Localization
from ..structures import Box, Dataset, Sample
from ..training.corrections import Corrected, can_learn, training_pairs
from .choose import Turns, choose, correct_boxes, taught
from .own_tags import Localize, OwnTags, first_of_each, localize_own_tags

ENOUGH = 5
"""Corrected boxes from which on the model learns: each fifth of them is left out once."""
SLACK = 0.1
"""Share of the corrected boxes by which learning must seem worse for the model to stay as it was: a dozen of them tell
no finer, and mostly it helps (docs/correct.md)."""
PAYS = 0.02
"""Share of the corrected boxes that twice as many corrections must have brought, for more of them to pay."""


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
    by_half: float
    """The same where it has learned from half of those."""

    @property
    def kept(self) -> bool:
        """Whether it has learned: where that is worse, by more than :data:`SLACK`, the model stays as it was."""
        return self.after >= self.before - SLACK

    @property
    def sentence(self) -> str:
        """Before and after, in words."""
        result = "" if self.kept else ", so the model stays as it was"
        return (
            f"of the {self.boxes} corrected by hand, left out five ways, a box was correct (IoU of .5) in"
            f" {self.before:.0%} before and {self.after:.0%} after learning from the others{result}"
        )

    @property
    def outlook(self) -> str:
        """Whether more corrections will pay, in words; empty where nothing was learned that tells."""
        if not (self.kept and self.by_half):
            return ""
        pays = self.after >= self.by_half + PAYS
        advice = "more corrections still pay" if pays else "more corrections have stopped paying"
        return f"learning from half as many: {self.by_half:.0%}, so {advice}"


def localize_corrected(
    dataset: Dataset,
    localizer: Localizer,
    corrections: Corrections,
    localize: Localize,
    precision: Callable[[], Any] = nullcontext,
    turns: Turns = silent,
    objects: str = "largest",
) -> OwnTags:
    """Localizations of the photos' own tags by a model that has learned from the corrections, where that helps, and
    the corrected boxes as they are. What it has learned stands in the model's card.

    Args:
        dataset: photos whose tags are those of the corrections.
        localize: runs the model, with whatever progress and devices.
        precision: context manager of the forward pass.
        turns: passes the turns of :func:`learn` on.
        objects: what ``localize`` makes of a map, see :meth:`~torchbas.inference.localizer.Localizer.stream`.

    Raises:
        InputError: the model has learned from other corrections.
    """
    if not corrections.boxes:
        return localize_own_tags(dataset, localizer, localize)
    given = Learning(*localizer.corrections)
    taught_before = given.boxes > 0 and given.kept
    if taught_before and given.fingerprint != corrections.fingerprint:
        raise InputError("The model there has learned from other corrections: --overwrite, or give those.")
    if taught_before:  # a command that was stopped after it had learned
        own = localize_own_tags(dataset, localizer, localize, enlarged=localizer.inference.enlarged)
    else:
        own = localize_own_tags(dataset, localizer, localize)
        if (taught := learn(dataset, own, corrections, precision, turns, objects)) is not None:
            better, result = taught
            if result.kept:
                own = localize_own_tags(dataset, better, localize, enlarged=better.inference.enlarged)
            own = own._replace(localizer=replace(own.localizer, corrections=tuple(result)))
    return own._replace(found=with_corrections(own.found, dataset, corrections))


def learn(
    dataset: Dataset,
    own: OwnTags,
    corrections: Corrections,
    precision: Callable[[], Any] = nullcontext,
    turns: Turns = silent,
    objects: str = "largest",
) -> tuple[Localizer, Learning] | None:
    """A model that has learned from corrections as :func:`~.choose.choose` says; None where they are too few, or the
    method cannot.

    Args:
        own: what the model found in the photos before.
        turns: passes the turns of choosing on.
        objects: see :func:`localize_corrected`.
    """
    localizer = own.localizer
    photos = localizer.with_own_classes(dataset)
    given = _given(photos, corrections)
    asked = {(one.sample.name, photos.classes[one.label]): one.boxes for one in given if one.boxes}
    if len(asked) < ENOUGH or not can_learn(localizer):
        return None
    plain = localizer.with_inference(layercam=())
    known = training_pairs(plain, given, precision)
    choice = choose(plain, photos, given, known, precision, turns, objects)
    counts = (correct_boxes(own.found, asked), choice.correct, choice.by_half)
    result = Learning(corrections.fingerprint, len(asked), *(round(count / len(asked), 4) for count in counts))
    if not result.kept:
        return localizer, result
    corrected = {tag for _, tag in corrections.boxes}
    stand_in = tuple(tag for tag in localizer.inference.layercam if tag not in corrected)
    return taught(plain, known, choice.fill).with_inference(layercam=stand_in, **choice.inference), result


def _given(dataset: Dataset, corrections: Corrections) -> list[Corrected]:
    """The corrections of photos that are there, in their order."""
    samples, number = {one.name: one for one in dataset.samples}, {tag: n for n, tag in enumerate(dataset.classes)}
    return [
        Corrected(replace(samples[name], labels=(number[tag],)), number[tag], boxes, corrections.mask_of(name, tag))
        for (name, tag), boxes in corrections.boxes.items()
        if name in samples
    ]


def with_corrections(found: Sequence[Localization], dataset: Dataset, corrections: Corrections) -> list[Localization]:
    """The objects, with the corrected boxes in place of what was found of these tags in these photos.

    The mask of a corrected box is the one that was drawn; else what was found of it inside, or the whole box where that
    is less than a quarter.
    """
    place = {one.name: number for number, one in enumerate(dataset.samples)}
    firsts = first_of_each(found)
    result = [one for one in found if (one.name, one.label) not in corrections.boxes]
    for (name, tag), boxes in corrections.boxes.items():
        if name in place and boxes:
            draft = firsts.get((name, tag)) or _without_draft(dataset.samples[place[name]], tag)
            masks = corrections.masks.get((name, tag), (None,) * len(boxes))
            result += [_corrected(draft, box, mask) for box, mask in zip(boxes, masks, strict=True)]
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


def _corrected(draft: Localization, box: Box, drawn: RLE | None) -> Localization:
    if drawn is not None:
        return replace(draft, xyxy=box, rle=drawn, method=CORRECTED, typical=None)
    inside = np.zeros(draft.size, bool)
    x0, y0, x1, y1 = (round(value) for value in box)
    inside[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    mask = (draft.heatmap > draft.threshold) & inside
    if 4 * mask.sum() < inside.sum():
        mask = inside
    rle = dict(coco_mask.encode(np.asfortranarray(mask, np.uint8)))
    return replace(draft, xyxy=box, rle=rle, method=CORRECTED, typical=None)
