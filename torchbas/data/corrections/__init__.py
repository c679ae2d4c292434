"""Boxes that somebody has corrected by hand, matched to the photos of a data set."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...errors import InputError, one_line
from ...inputs import content_hash
from ...io import stable_hash
from ...structures import Box, Dataset, Problem, Sample
from ..images import UnreadableImage, image_size
from .readers import BROKEN, Entry, Outline, read_entries

RLE = dict[str, Any]
"""COCO's run-length encoding."""
Known = tuple[Box, RLE | None]
"""A thing's box and its mask, where it was outlined, in pixels of the photo."""

OUTSIDE = 1.0
"""Pixels that a box may reach out of its photo; it is cut there."""


@dataclass(frozen=True)
class Corrections:
    """What is known of some tags in some photos."""

    boxes: dict[tuple[str, str], tuple[Box, ...]]
    """By the photo's name and the tag; none: the tag is not there."""
    masks: dict[tuple[str, str], tuple[RLE | None, ...]] = field(default_factory=dict)
    """Those of the boxes, in their order, where any was outlined, as COCO's run lengths; None of the others."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Names that photos had when they were corrected, where their content has another one now."""
    problems: tuple[Problem, ...] = ()
    """Corrections that match no photo, or not the photo of that name."""

    @classmethod
    def of(
        cls,
        known: Mapping[tuple[str, str], Sequence[Known]],
        renamed: Mapping[str, str] = MappingProxyType({}),
        problems: tuple[Problem, ...] = (),
    ) -> "Corrections":
        """From boxes and masks by photo and tag."""
        boxes = {key: tuple(box for box, _ in things) for key, things in known.items()}
        outlined = {key: tuple(mask for _, mask in things) for key, things in known.items()}
        masks = {key: each for key, each in outlined.items() if any(one is not None for one in each)}
        return cls(boxes, masks, dict(renamed), problems)

    def tagged(self, dataset: Dataset) -> Dataset:
        """The photos with the tags that the corrections leave them: one with a box is there, one without is not.

        Raises:
            InputError: a tag that the data set does not have.
        """
        number = {tag: index for index, tag in enumerate(dataset.classes)}
        for name, tag in self.boxes:
            if tag not in number:
                raise InputError(
                    f'The corrections of {name} have the tag "{tag}", which {dataset.root} has not: add it.'
                )
        there, gone = defaultdict(set), defaultdict(set)
        for (name, tag), boxes in self.boxes.items():
            (there if boxes else gone)[name].add(number[tag])
        samples = (
            replace(one, labels=tuple(sorted({*one.labels, *there[one.name]} - gone[one.name])))
            for one in dataset.samples
        )
        return replace(dataset, samples=tuple(samples))

    def mask_of(self, name: str, tag: str) -> RLE | None:
        """All that is of a tag in a photo; None where not all of it was outlined."""
        masks = self.masks.get((name, tag), ())
        if not masks or any(one is None for one in masks):
            return None
        from pycocotools import mask as coco_mask

        return dict(coco_mask.merge(list(masks)))  # pyright: ignore[reportArgumentType]

    @property
    def fingerprint(self) -> str:
        """Hash of boxes and masks."""
        masks = {key: [one and one["counts"].decode("ascii") for one in each] for key, each in self.masks.items()}
        return stable_hash(sorted((*key, *boxes, *masks.get(key, ())) for key, boxes in self.boxes.items()))

    @property
    def photos(self) -> list[str]:
        """Names of the photos, in order."""
        return list(dict.fromkeys(name for name, _ in self.boxes))

    @property
    def sentence(self) -> str:
        """How much it is, in words."""
        boxes = sum(map(len, self.boxes.values()))
        none = sum(not one for one in self.boxes.values())
        parts = [f"corrected by hand: {len(self.photos)} photos, {boxes} boxes"]
        if none:
            parts.append(f"{none} times nothing of a tag")
        return ", ".join(parts)


def read_corrections(paths: Iterable[Path], dataset: Dataset) -> Corrections:
    """The corrections in files of the gallery and of annotation tools, see :func:`~.readers.read_entries`.

    A photo is found by its name, or the end of its path, or its content, where the file says what it was. Of several
    corrections of a tag in a photo the last one counts.

    Raises:
        InputError: a file that is missing or is not understood; none of the photos of all files is there.
    """
    photos, paths = PhotoIndex(dataset), list(paths)
    known, renamed, problems = {}, {}, []
    for path in paths:
        entries = read_entries(path)
        if not entries:
            problems.append(Problem(path.name, f"{path.name} has no corrected photo"))
        for entry in entries:
            try:
                sample = photos.of(entry)
                found = in_pixels(entry, sample, dataset.classes)
            except NoMatch as fault:
                problems.append(Problem(entry.name, f"{path.name}: {fault}"))
                continue
            if sample.name != entry.name and entry.sha256:
                renamed[entry.name] = sample.name
            known |= {(sample.name, tag): things for tag, things in found.items()}
    if paths and not known:
        why = problems[0].reason if problems else f"{paths[0].name} has no corrected tag"
        what = f"{paths[0]} matches" if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more match"
        raise InputError(f"--corrected {what} no photo of {dataset.root} ({why}): give the photos it is of.")
    return Corrections.of(known, renamed, tuple(problems))


class NoMatch(ValueError):
    """A correction that no photo of the data set is meant by, in words."""


class PhotoIndex:
    """Samples by name, by the end of the path, by path without suffix, and by content."""

    def __init__(self, dataset: Dataset) -> None:
        self.samples = dataset.samples
        self.by_name = {one.name: one for one in dataset.samples}
        self._ends: dict[bool, dict[str, list[Sample]]] = {}
        self._contents: dict[str, Sample] | None = None

    def of(self, entry: Entry) -> Sample:
        """The photo that an entry is of."""
        found = None if entry.folder else self.by_name.get(entry.name)
        if found is not None and (not entry.sha256 or _digest(found) == entry.sha256):
            return found
        if entry.sha256:
            if self._contents is None:
                self._contents = {_digest(one): one for one in self.samples}
            same = self._contents.get(entry.sha256)
            if same is None:
                raise NoMatch(
                    "no photo has this content any more" if found is None else "another photo has its name now"
                )
            return same
        ends = (entry.folder and self._ending(f"{entry.folder}/{entry.name}", entry.stem)) or []
        ends = ends or self._ending(entry.name, entry.stem)
        if len(ends) == 1:
            return ends[0]
        raise NoMatch("several photos could be meant" if ends else "there is no such photo")

    def _ending(self, name: str, stem: bool) -> list[Sample]:
        """Photos whose path ends in ``name``, else those whose path is the longest end of it."""
        if stem not in self._ends:
            self._ends[stem] = defaultdict(list)
            for one in self.samples:
                for end in _tails(_path(one, stem)):
                    self._ends[stem][end].append(one)
        found = self._ends[stem]
        if name in found:
            return found[name]
        wholes = ([one for one in found.get(end, ()) if _path(one, stem) == end] for end in _tails(name))
        return next(filter(None, wholes), [])


def _path(sample: Sample, stem: bool) -> str:
    """The sample's name, or that without its suffix."""
    return sample.name.rsplit(".", 1)[0] if stem else sample.name


def _tails(name: str) -> Iterator[str]:
    """The path, and what is left of it without its first folders, longest first."""
    parts = [part for part in name.split("/") if part]
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _digest(sample: Sample) -> str:
    """SHA-256 of the file; empty where it cannot be read."""
    try:
        return content_hash(sample.path)
    except (OSError, InputError):
        return ""


def in_pixels(entry: Entry, sample: Sample, classes: Iterable[str]) -> dict[str, list[Known]]:
    """Boxes and masks by tag, in pixels of the photo and inside it."""
    try:
        height, width = image_size(sample.path)
    except UnreadableImage as error:
        raise NoMatch(str(error)) from error
    if entry.size is not None and entry.size != (height, width):
        there = f"{entry.size[1]} x {entry.size[0]}"
        raise NoMatch(f"its boxes are of a photo of {there} pixels, but it has {width} x {height}")
    scale = (float(width), float(height)) if entry.relative else (1.0, 1.0)
    found = {
        tag: [(_cut(box, scale, width, height), _mask(outline, scale, width, height)) for box, outline in things]
        for tag, things in entry.things.items()
    }
    if entry.nothing:
        tags = list(classes)
        found |= {tags[label]: [] for label in sample.labels}
    return found


def _mask(outline: Outline, scale: tuple[float, float], width: int, height: int) -> RLE | None:
    """The outline filled, as run lengths; None where there is none, or nothing in it."""
    if not outline:
        return None
    import numpy as np
    from pycocotools import mask as coco_mask

    from .outlines import filled

    try:
        mask = filled(outline, scale, height, width)
    except BROKEN as error:
        raise NoMatch(f"it has an outline that cannot be filled ({one_line(error)})") from error
    return None if mask is None or not mask.any() else dict(coco_mask.encode(np.asfortranarray(mask, np.uint8)))


def _cut(box: Box, scale: tuple[float, float], width: int, height: int) -> Box:
    x0, y0, x1, y1 = (value * scale[axis % 2] for axis, value in enumerate(box))
    if min(x0, y0) < -OUTSIDE or x1 > width + OUTSIDE or y1 > height + OUTSIDE or x1 - x0 < 1 or y1 - y0 < 1:
        raise NoMatch(f"its box {x0:.0f} {y0:.0f} {x1:.0f} {y1:.0f} does not lie in {width} x {height} pixels")
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
