"""The check of a dataset: every photo decoded once, files compared, photos counted; without torch or arrays."""

import os
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..inputs import content_hash
from ..structures import Dataset, Problem, Sample
from .datasets.reading import BACKGROUND, SPLITS
from .images import open_label_map, verify


class _Fault(NamedTuple):
    """Sentences about a photo and its mask; empty where nothing is wrong."""

    photo: str = ""
    mask: str = ""


def inspect(dataset: Dataset, workers: int = 4, progress: Callable[[int, int], None] | None = None) -> Dataset:
    """The dataset without the photos that cannot be decoded, and a :class:`Problem` for each of them.

    A true mask that cannot be read, or has another size than its photo, is a problem of a photo that is kept. So are
    files with the same content under different tags or in different splits.

    Args:
        dataset: photos and tags as :func:`~torchbas.data.read` returns them.
        workers: threads that decode, see :func:`~torchbas.data.images.verify`.
        progress: called as ``progress(done, total)`` after every photo.
    """
    samples, kept, problems = dataset.samples, [], []
    with ThreadPoolExecutor(max(workers, 1)) as pool, _cancelled(pool):
        for done, (sample, fault) in enumerate(zip(samples, _faults(samples, pool), strict=True), start=1):
            if fault.photo or fault.mask:
                problems.append(Problem(sample.name, fault.photo or fault.mask))
            if not fault.photo:
                kept.append(sample)
            if progress:
                progress(done, len(samples))
    problems += _contradictions(kept, dataset.classes)
    return replace(dataset, samples=tuple(kept), problems=(*dataset.problems, *problems))


@contextmanager
def _cancelled(pool: Executor) -> Iterator[None]:
    """What is queued is not waited for when the block is left, by Ctrl-C for example."""
    try:
        yield
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def summary(dataset: Dataset) -> dict:
    """Numbers of photos per tag, split and kind of ground truth, and all problems, as plain values for JSON."""
    samples = dataset.samples
    per_tag = Counter(label for sample in samples for label in sample.labels)
    splits = Counter(sample.split for sample in samples)
    return {
        "photos": len(samples),
        "tags": {tag: per_tag[label] for label, tag in enumerate(dataset.classes)},
        "splits": {split: splits[split] for split in (*SPLITS, "") if splits[split]},
        "untagged": sum(not sample.labels for sample in samples),
        "several_tags": sum(len(sample.labels) > 1 for sample in samples),
        "with_boxes": sum(bool(sample.boxes) for sample in samples),
        "with_mask": sum(bool(sample.mask or sample.instances) for sample in samples),
        "problems": [{"name": problem.name, "reason": problem.reason} for problem in dataset.problems],
    }


MEANS_NONE = frozenset(
    ("good", "ok", "normal", "none", "nothing", "background", "defectfree", "nodefect", "negative", "other", "empty")
)
"""Names of tags that often mean: none of the others; without spaces, hyphens and underscores."""


def background_hints(dataset: Dataset) -> list[str]:
    """A sentence for each tag whose name suggests that its photos show none of the others."""
    alike = [tag for tag in dataset.classes if re.sub(r"[\s_-]", "", tag).lower() in MEANS_NONE]
    reason = "if its photos show none of the other tags, add --background"
    return [f'tag "{tag}": {reason} {shlex.quote(tag)}.' for tag in alike if len(dataset.classes) > 1]


def too_few_tags(dataset: Dataset, *, learns_background: bool = True) -> str:
    """Why photos of one tag cannot be trained on, and the next move; empty where they can, or none has a tag.

    Args:
        learns_background: the method also learns from photos without a tag.
    """
    samples = dataset.only("train", "").samples
    used = {label for sample in samples for label in sample.labels}
    if len(used) != 1 or (learns_background and not all(sample.labels for sample in samples)):
        return ""
    elsewhere = f"or in a folder named {BACKGROUND}" if learns_background else "e.g. a folder named other"
    return (
        f'{dataset.root} has one tag only ("{dataset.classes[used.pop()]}"), and BAS learns what a tag is from '
        f"photos without it: add some under another tag, {elsewhere}."
    )


def _faults(samples: tuple[Sample, ...], pool: Executor) -> Iterator[_Fault]:
    """Faults in the order of the samples; a thread takes 16 at a time, or queueing would cost as much as opening."""
    blocks = [samples[start : start + 16] for start in range(0, len(samples), 16)]
    for start in range(0, len(blocks), 256):  # a pool queues everything it is given at once
        for faults in pool.map(_block_faults, blocks[start : start + 256]):
            yield from faults


def _block_faults(samples: tuple[Sample, ...]) -> list[_Fault]:
    return [_fault(sample) for sample in samples]


def _fault(sample: Sample) -> _Fault:
    try:
        verify(sample.path)
    except InputError as error:
        return _Fault(photo=str(error))
    try:
        if sample.mask:
            open_label_map(sample)
    except InputError as error:
        return _Fault(mask=str(error))
    return _Fault()


def _contradictions(samples: list[Sample], classes: tuple[str, ...]) -> list[Problem]:
    """Photos with the same bytes but different tags or splits."""
    groups = [samples]
    for key in (_size, _ending, content_hash):  # the cheapest first: most files differ before their content is read
        groups = [alike for group in groups for alike in _alike(group, key)]
    problems = []
    for first, *others in groups:
        for other in others:
            if other.labels != first.labels:
                tags = [", ".join(classes[label] for label in sample.labels) or "none" for sample in (first, other)]
                reason = f"same content as {first.name}, other tags ({tags[1]}; {tags[0]}). Keep the right one."
                problems.append(Problem(other.name, reason))
            elif other.split != first.split:
                reason = f"same content as {first.name}, other split. Keep one of them, or scores will be too high."
                problems.append(Problem(other.name, reason))
    return problems


def _alike(samples: list[Sample], key: Callable[[Path], Hashable]) -> list[list[Sample]]:
    """Groups of two or more samples whose files have the same key."""
    groups = defaultdict(list)
    for sample in samples:
        groups[key(sample.path)].append(sample)
    return [group for group in groups.values() if len(group) > 1]


def _size(path: Path) -> int:
    return path.stat().st_size


def _ending(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 64))
        return file.read()
