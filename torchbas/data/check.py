"""Open every photo once before hours are spent on them, and say what was found."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace

from ..errors import InputError
from ..types import Collection, Photo, Problem
from .images import decode
from .reading import SPLITS
from .truth import label_map


def inspect(collection: Collection, workers: int = 4, progress: Callable[[int, int], None] | None = None) -> Collection:
    """The collection without the photos that cannot be opened, and a :class:`Problem` for each of them.

    A true mask that cannot be read, or has another size than its photo, is a problem of a photo that is kept.
    Files with the same content under different tags or in different splits are kept, but are problems too. ``workers``
    threads decode, JPEGs at an eighth of their size; ``progress(done, total)`` is called after every photo.
    """
    photos, kept, problems = collection.photos, [], []
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for done, (photo, (fault, doubt)) in enumerate(zip(photos, _faults(photos, pool), strict=True), start=1):
            if fault or doubt:
                problems.append(Problem(photo.name, fault or doubt))
            if not fault:
                kept.append(photo)
            if progress:
                progress(done, len(photos))
    problems += _contradictions(kept, collection.classes)
    return replace(collection, photos=tuple(kept), problems=(*collection.problems, *problems))


def summary(collection: Collection) -> dict:
    """What was understood, as plain values for JSON: counts of photos, and all problems."""
    photos = collection.photos
    per_tag = Counter(label for photo in photos for label in photo.labels)
    splits = Counter(photo.split for photo in photos)
    return {
        "photos": len(photos),
        "tags": {tag: per_tag[label] for label, tag in enumerate(collection.classes)},
        "splits": {split: splits[split] for split in (*SPLITS, "") if splits[split]},
        "untagged": sum(not photo.labels for photo in photos),
        "several_tags": sum(len(photo.labels) > 1 for photo in photos),
        "with_boxes": sum(bool(photo.boxes) for photo in photos),
        "with_mask": sum(bool(photo.mask or photo.instances) for photo in photos),
        "problems": [{"name": problem.name, "reason": problem.reason} for problem in collection.problems],
    }


def _faults(photos: tuple[Photo, ...], pool: Executor) -> Iterator[tuple[str, str]]:
    for start in range(0, len(photos), 4096):  # a million waiting tasks would fill the memory
        yield from pool.map(_fault, photos[start : start + 4096])


def _fault(photo: Photo) -> tuple[str, str]:
    """What is wrong with the photo, and with its mask; nothing where it is empty."""
    try:
        decode(photo.path, at_least=1)
    except InputError as error:
        return str(error), ""
    try:
        if photo.mask:
            label_map(photo)
    except InputError as error:
        return "", str(error)
    return "", ""


def _contradictions(photos: list[Photo], classes: tuple[str, ...]) -> list[Problem]:
    """Photos with the same bytes that do not agree on their tags or their split."""
    by_size = defaultdict(list)
    for photo in photos:
        by_size[photo.path.stat().st_size].append(photo)
    by_content = defaultdict(list)
    for photo in (photo for same in by_size.values() if len(same) > 1 for photo in same):
        with photo.path.open("rb") as file:
            by_content[hashlib.file_digest(file, "sha256").digest()].append(photo)
    problems = []
    for first, *others in by_content.values():
        for other in others:
            if other.labels != first.labels:
                tags = [", ".join(classes[label] for label in photo.labels) or "none" for photo in (first, other)]
                reason = f"same content as {first.name}, other tags ({tags[1]}; {tags[0]}). Keep the right one."
                problems.append(Problem(other.name, reason))
            elif other.split != first.split:
                reason = f"same content as {first.name}, other split. Keep one of them, or the evaluation is too kind."
                problems.append(Problem(other.name, reason))
    return problems
