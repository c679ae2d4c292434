"""Localizations of the photos' own tags by the model that was trained on them, with a report on every tag's maps."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

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
    """The model, with Layer-CAM in place of the maps that are empty or full."""


def localize_own_tags(dataset: Dataset, localizer: Localizer, localize: Localize) -> OwnTags:
    """Localizations of the photos' own tags; where a tag's BAS maps are empty or full, Layer-CAM's.

    Args:
        localize: runs the model, with whatever progress and devices.
    """
    localizer = replace(localizer, inference=replace(localizer.inference, layercam=()))
    found, own = list(localize(dataset, localizer)), localizer.with_own_classes(dataset)
    reports = report_per_tag(own, found)
    dead = tuple(report.tag for report in reports if report.state in ("empty", "full"))
    if not dead or localizer.model.name != "bas":
        return OwnTags(found, reports, localizer)
    other = replace(localizer, inference=replace(localizer.inference, layercam=dead))
    labels = {other.label_of(tag) for tag in dead}
    again = (replace(sample, labels=tuple(labels.intersection(sample.labels))) for sample in own.samples)
    samples = tuple(sample for sample in again if sample.labels)
    both = [one for one in found if one.label not in dead]
    both += localize(replace(own, samples=samples), other)
    place = {sample.name: number for number, sample in enumerate(own.samples)}
    missing = {report.tag: report.nothing_found for report in report_per_tag(own, both)}
    reports = [
        replace(one, method="layercam", nothing_found=missing[one.tag]) if one.tag in dead else one for one in reports
    ]
    return OwnTags(sorted(both, key=lambda one: place[one.name]), reports, other)
