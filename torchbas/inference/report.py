"""A report per tag, from its photos and what was found in them: whether its maps can be used, and where they fail."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from ..localization import Localization, NotFound, TagReport
from ..structures import Dataset, Sample


def report_per_tag(dataset: Dataset, found: Sequence[Localization]) -> list[TagReport]:
    """A :class:`~torchbas.localization.TagReport` for each tag in use, in the order of the class list.

    Args:
        dataset: photos and their tags; photos without one count nothing.
        found: what :func:`~torchbas.api.label`, or :func:`~torchbas.api.predict` of the known tags, finds in them,
            matched by the names of photo and tag. Objects of other tags than the photo's own count nothing.
    """
    objects_of: dict[tuple[str, str], list[Localization]] = defaultdict(list)
    for one in found:
        objects_of[one.name, one.label].append(one)
    samples_of: dict[int, list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        for label in sample.labels:
            samples_of[label].append(sample)
    return [_report(dataset.classes[label], samples_of[label], objects_of) for label in sorted(samples_of)]


def not_found(
    dataset: Dataset,
    found: Sequence[Localization],
    sizes: Mapping[str, tuple[int, int]],
    absent: Iterable[tuple[str, str]] = (),
    *,
    tags_known: bool = True,
) -> list[NotFound]:
    """The photos' own tags of which nothing was found, and tags that somebody has said are not there.

    Args:
        sizes: height and width of every photo, by name.
        absent: the latter, by the names of photo and tag.
        tags_known: whether photos without a tag show none; else those in which nothing was found are returned, too.
    """
    path = {one.name: one.path for one in dataset.samples}
    own = [(one.name, dataset.classes[label]) for one in dataset.samples for label in one.labels]
    there, reviewed = {(one.name, one.label) for one in found}, {key for key in absent if key[0] in path}
    missing = [key for key in dict.fromkeys((*own, *sorted(reviewed))) if key not in there]
    if not tags_known:
        some = {name for name, _ in (*there, *own, *reviewed)}
        missing += [(name, "") for name in path if name not in some]
    return [NotFound(path[name], name, sizes[name], tag, (name, tag) in reviewed) for name, tag in missing]


def _report(tag: str, samples: Sequence[Sample], objects_of: dict[tuple[str, str], list[Localization]]) -> TagReport:
    areas, ratios, known, nothing_found, method = [], [], 0, [], "bas"
    for sample in samples:
        objects = objects_of.get((sample.name, tag), [])
        if objects:
            method = objects[0].method.partition("+")[0]  # the refiner draws, and says nothing of the maps
            areas.append(_area(objects))
            ratios.append(objects[0].bas_ratio)  # of the whole map, so the same for all of its objects
            known += objects[0].confidence >= 0.5 / len(sample.labels)
        else:
            areas.append(0.0)
            ratios.append(1.0)
            nothing_found.append(sample.name)
    return TagReport(
        tag=tag,
        photos=len(samples),
        found=len(samples) - len(nothing_found),
        area=median(areas),
        evidence_left=median(ratios),
        known=known / len(samples),
        nothing_found=tuple(nothing_found),
        method=method,
    )


def _area(objects: Sequence[Localization]) -> float:
    """Share of a photo that the objects of one tag cover; components of one map do not overlap."""
    height, width = objects[0].size
    return sum(one.area for one in objects) / (height * width)
