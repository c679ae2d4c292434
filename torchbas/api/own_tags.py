"""Localizations of the photos' own tags by the model that was trained on them, with a report on every tag's maps."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from statistics import mean, median
from typing import NamedTuple

import torch
from torchvision.ops import box_iou

from ..inference.localizer import Localizer
from ..inference.report import report_per_tag
from ..localization import CORRECTED, Localization, Shape, TagReport
from ..structures import Dataset

Localize = Callable[[Dataset, Localizer], Iterable[Localization]]
"""Localizations of the known tags of a dataset's photos."""


class OwnTags(NamedTuple):
    """What a model finds in the photos that it was trained on."""

    found: list[Localization]
    reports: list[TagReport]
    """On the maps of the model itself, also of tags whose boxes are Layer-CAM's."""
    localizer: Localizer
    """The model, with the tags to enlarge, those whose maps are empty or full and give way to Layer-CAM, and what the
    objects of each look like."""


TRIED = ((4, 0.85), (12, 1.0))
"""How many photos of a tag are tried at twice the size, and with what factor on what is demanded of its maps: a few
of every tag, and more of those that may hold."""
SURE = 1.4
"""How many times the threshold a place must have to be surely foreground."""
SMALL = 0.02
"""Median share of its photos, as drawn at twice the size, below which a tag's objects are small."""
LEFT = 0.35
"""Share of the surely foreground area that must be left at twice the size, of small objects. The bare smear around a
thing, which is as wide at either size, keeps a quarter; a thing keeps all of itself (docs/start.md)."""
SAME = 0.7
"""Mean IoU of a tag's boxes at both sizes from which the photo's own size is enough, unless they are small."""
SCORE = 0.9
"""Share of the boxes' mean score that must be left at twice the size, unless they are small."""
EVIDENCE = 0.75
"""Largest mean S_b / S of the maps at twice the size, unless they are small."""


def localize_own_tags(
    dataset: Dataset, localizer: Localizer, localize: Localize, enlarged: tuple[str, ...] | None = None
) -> OwnTags:
    """Localizations of the photos' own tags; at twice the size where maps hold, Layer-CAM's where dead.

    Of a model that goes on from another, what is known of the tags from there stands, and only new ones are tried.

    Args:
        localize: runs the model, with whatever progress and devices.
        enlarged: of a model that has learned from corrected boxes, the tags whose maps hold at twice the size. Its maps
            are judged by those boxes, so that Layer-CAM's stand in where they did before, for tags without corrections.
            Of another model some photos of each tag tell.
    """
    taught, before, known = enlarged is not None, localizer.inference, localizer.known
    held = () if taught else tuple(tag for tag in before.enlarged if tag in known)
    shapes = tuple(one for one in localizer.shapes if one[0] in known)
    stand_in = before.layercam if taught else ()
    localizer = replace(localizer.with_inference(layercam=stand_in, enlarged=held), shapes=shapes)
    own = localizer.with_own_classes(dataset)
    found = list(localize(own, localizer))
    enlarged = enlarged if taught else _better_enlarged(own, localizer, found, localize)
    if enlarged:
        localizer = localizer.with_inference(enlarged=(*held, *enlarged))
        found = _again(own, localizer, found, enlarged, localize)
    reports = report_per_tag(own, found)
    if taught:
        methods = ("layercam" if one.tag in stand_in else CORRECTED for one in reports)
        reports = [replace(one, method=method) for one, method in zip(reports, methods, strict=True)]
        return _with_shapes(found, reports, localizer)
    empty_or_full = (one.tag for one in reports if one.state in ("empty", "full") and one.tag not in known)
    dead = (*(tag for tag in before.layercam if tag in known), *empty_or_full)
    if not dead or localizer.model.name != "bas":
        return _with_shapes(found, reports, localizer)
    localizer = localizer.with_inference(layercam=dead)
    found = _again(own, localizer, found, dead, localize)
    missing = {report.tag: report.nothing_found for report in report_per_tag(own, found)}
    reports = [
        replace(one, method="layercam", nothing_found=missing[one.tag]) if one.tag in dead else one for one in reports
    ]
    return _with_shapes(found, reports, localizer)


def _with_shapes(found: list[Localization], reports: list[TagReport], localizer: Localizer) -> OwnTags:
    """What was found, each object beside what those of its tag look like."""
    shapes: dict[str, list[Shape]] = defaultdict(list)
    for one in found:
        shapes[one.label].append(one.shape)
    typical = {tag: Shape(*map(median, zip(*each, strict=True))) for tag, each in shapes.items()}
    typical |= {tag: Shape(*shape) for tag, *shape in localizer.shapes}
    localizer = replace(localizer, shapes=tuple((tag, *shape) for tag, shape in typical.items()))
    return OwnTags([replace(one, typical=typical[one.label]) for one in found], reports, localizer)


def _better_enlarged(
    dataset: Dataset, localizer: Localizer, found: list[Localization], localize: Localize
) -> tuple[str, ...]:
    """Tags whose maps hold at twice the size, by some photos of each.

    Args:
        found: at the photos' own size.
    """
    if localizer.inference.enlarge != "auto":
        return ()
    plain = first_of_each(found)
    tags = tuple(report.tag for report in report_per_tag(dataset, found) if report.tag not in localizer.known)
    for count, share in TRIED:
        if not tags:
            break
        few = _some_of(dataset, tags, count)
        enlarged = list(localize(few, localizer.with_inference(enlarged=tags)))
        first, second = {key: plain[key] for key in _keys(few) if key in plain}, first_of_each(enlarged)
        small = {report.tag for report in report_per_tag(few, enlarged) if report.area < SMALL}
        tags = tuple(tag for tag in tags if _holds(_of(tag, first), _of(tag, second), share, small=tag in small))
    return tags


def _some_of(dataset: Dataset, tags: Iterable[str], count: int) -> Dataset:
    """The first ``count`` photos of each of some tags, with no other tags."""
    left, samples = {dataset.classes.index(tag): count for tag in tags}, []
    for sample in dataset.samples:
        chosen = tuple(label for label in sample.labels if left.get(label))
        for label in chosen:
            left[label] -= 1
        if chosen:
            samples.append(replace(sample, labels=chosen))
    return replace(dataset, samples=tuple(samples))


def _keys(dataset: Dataset) -> list[tuple[str, str]]:
    """Each photo with each of its tags."""
    return [(sample.name, dataset.classes[label]) for sample in dataset.samples for label in sample.labels]


Firsts = dict[tuple[str, str], Localization]
"""One object of each photo and tag, as the others share its map."""


def _of(tag: str, found: Firsts) -> dict[str, Localization]:
    """The localizations of a tag, by photo."""
    return {name: one for (name, label), one in found.items() if label == tag}


def _holds(plain: dict[str, Localization], enlarged: dict[str, Localization], share: float, *, small: bool) -> bool:
    """Whether a tag's maps hold at twice the size."""
    if not plain or not enlarged:
        return False
    if small:
        sure, left = (
            sum(float((one.grid > SURE * one.threshold).mean()) for one in by.values()) for by in (plain, enlarged)
        )
        return 0 < share * LEFT * sure <= left
    score, kept = (mean(one.score for one in by.values()) for by in (plain, enlarged))
    evidence = mean(one.bas_ratio for one in enlarged.values())
    overlap = _overlap(plain, enlarged)
    return share * overlap < SAME and share * SCORE * score <= kept and share * evidence <= EVIDENCE


def _overlap(first: dict[str, Localization], second: dict[str, Localization]) -> float:
    """Mean IoU of the boxes in two localizations of the same photos; 0 where only one has any."""
    pairs = [(first.get(name), second.get(name)) for name in first.keys() | second.keys()]
    return mean(box_iou(torch.tensor([a.xyxy]), torch.tensor([b.xyxy])).item() if a and b else 0.0 for a, b in pairs)


def first_of_each(found: Iterable[Localization]) -> Firsts:
    """The first object of each tag in each photo."""
    firsts: Firsts = {}
    for one in found:
        firsts.setdefault((one.name, one.label), one)
    return firsts


def _again(
    dataset: Dataset, localizer: Localizer, found: list[Localization], tags: tuple[str, ...], localize: Localize
) -> list[Localization]:
    """The localizations with those of some tags made again, photo by photo in order."""
    labels = {localizer.label_of(tag) for tag in tags}
    chosen = (replace(sample, labels=tuple(sorted(labels.intersection(sample.labels)))) for sample in dataset.samples)
    samples = tuple(sample for sample in chosen if sample.labels)
    if not samples:
        return found
    both = [one for one in found if one.label not in tags]
    both += localize(replace(dataset, samples=samples), localizer)
    place = {sample.name: number for number, sample in enumerate(dataset.samples)}
    return sorted(both, key=lambda one: (place[one.name], localizer.label_of(one.label)))
