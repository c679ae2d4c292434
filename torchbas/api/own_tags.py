"""Localizations of the photos' own tags by the model that was trained on them, with a report on every tag's maps."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from ..inference.localizer import Localizer
from ..inference.report import report_per_tag
from ..localization import Localization, TagReport
from ..structures import Dataset

Localize = Callable[[Dataset, Localizer], Iterable[Localization]]
"""Localizations of the known tags of a dataset's photos."""


class OwnTags(NamedTuple):
    """What a model finds in the photos that it was trained on."""

    found: list[Localization]
    reports: list[TagReport]
    """On the maps of the model itself, also of tags whose boxes are Layer-CAM's."""
    localizer: Localizer
    """The model, with the tags to enlarge, and those whose maps are empty or full and give way to Layer-CAM."""


TRIED = 6
"""Photos of each tag that are localized at both sizes, to see what is left of its maps at twice the size."""
SURE = 1.4
"""How many times the threshold a place must have to be surely foreground."""
SMALL = 0.25
"""Share of its photos below which a tag's maps are mostly smear."""
LEFT = {True: 0.35, False: 0.55}
"""Share of the surely foreground area that must be left at twice the size, of small maps and of others. The bare smear
around a thing, which is as wide at either size, keeps a quarter; a thing keeps all of itself (docs/start.md)."""


def localize_own_tags(dataset: Dataset, localizer: Localizer, localize: Localize) -> OwnTags:
    """Localizations of the photos' own tags; at twice the size where maps hold, Layer-CAM's where dead.

    Args:
        localize: runs the model, with whatever progress and devices.
    """
    localizer, own = _with(localizer, layercam=(), enlarged=()), localizer.with_own_classes(dataset)
    localizer = _with(localizer, enlarged=_better_enlarged(own, localizer, localize))
    found = list(localize(own, localizer))
    reports = report_per_tag(own, found)
    dead = tuple(report.tag for report in reports if report.state in ("empty", "full"))
    if not dead or localizer.model.name != "bas":
        return OwnTags(found, reports, localizer)
    localizer = _with(localizer, layercam=dead)
    found = _again(own, localizer, found, dead, localize)
    missing = {report.tag: report.nothing_found for report in report_per_tag(own, found)}
    reports = [
        replace(one, method="layercam", nothing_found=missing[one.tag]) if one.tag in dead else one for one in reports
    ]
    return OwnTags(found, reports, localizer)


def _better_enlarged(dataset: Dataset, localizer: Localizer, localize: Localize) -> tuple[str, ...]:
    """Tags whose maps hold at twice the size, by some photos of each."""
    if localizer.inference.enlarge != "auto":
        return ()
    labels = sorted({label for sample in dataset.samples for label in sample.labels})
    few, tags = _some_of(dataset, labels), tuple(dataset.classes[label] for label in labels)
    photos = Counter(dataset.classes[label] for sample in few.samples for label in sample.labels)
    maps_only = _with(localizer, refine="none")
    before, after = ([*localize(few, _with(maps_only, enlarged=some))] for some in ((), tags))
    areas, sure, left = _areas(before, 1.0), _areas(before, SURE), _areas(after, SURE)
    least = {tag: LEFT[areas[tag] < SMALL * photos[tag]] * sure[tag] for tag in tags}
    return tuple(tag for tag in tags if 0 < least[tag] <= left[tag])


def _some_of(dataset: Dataset, labels: Iterable[int]) -> Dataset:
    """The first :data:`TRIED` photos of each of some tags, with no other tags."""
    left, samples = dict.fromkeys(labels, TRIED), []
    for sample in dataset.samples:
        chosen = tuple(label for label in sample.labels if left.get(label))
        for label in chosen:
            left[label] -= 1
        if chosen:
            samples.append(replace(sample, labels=chosen))
    return replace(dataset, samples=tuple(samples))


def _areas(found: Iterable[Localization], times: float) -> defaultdict[str, float]:
    """Shares of the photos that are above ``times`` the threshold, added up by tag."""
    maps = {(one.name, one.label): one for one in found}  # that of several objects once
    areas = defaultdict(float)
    for one in maps.values():
        areas[one.label] += float((one.grid > times * one.threshold).mean())
    return areas


def _again(
    dataset: Dataset, localizer: Localizer, found: list[Localization], tags: tuple[str, ...], localize: Localize
) -> list[Localization]:
    """The localizations with those of some tags made again, photo by photo in order."""
    labels = {localizer.label_of(tag) for tag in tags}
    chosen = (replace(sample, labels=tuple(sorted(labels.intersection(sample.labels)))) for sample in dataset.samples)
    samples = tuple(sample for sample in chosen if sample.labels)
    both = [one for one in found if one.label not in tags]
    both += localize(replace(dataset, samples=samples), localizer)
    place = {sample.name: number for number, sample in enumerate(dataset.samples)}
    return sorted(both, key=lambda one: place[one.name])


def _with(localizer: Localizer, **changes: Any) -> Localizer:
    return replace(localizer, inference=replace(localizer.inference, **changes))
