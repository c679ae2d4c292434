"""Boxes and masks beside tags in folders, a CSV or a JSON: ``truth.json``."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...inputs import number, read_json
from ...structures import Dataset, Problem
from .reading import GroundTruth, ends_before_it_begins, normalized

_FORM = '{"cat/1.jpg": {"boxes": [[x0, y0, x1, y1]], "mask": "masks/1.png"}}'


def read_ground_truth(file: Path) -> dict[str, GroundTruth]:
    """Ground truth of a folder of tags, a CSV or a JSON, by photo: the content of ``truth.json`` beside them.

    ``{"cat/1.jpg": {"boxes": [[x0, y0, x1, y1]], "mask": "masks/1.png"}}``, boxes in pixels of the original photo with
    exclusive ends; both entries are optional, paths are relative to the file. In a mask 0 is background; for semantic
    metrics n is class n - 1 and 255 is ignored. Empty where the file is absent.

    Raises:
        InputError: a file of another form, or a box that is not finite or ends before it begins, by file and photo.
    """
    if not file.is_file():
        return {}
    content = read_json(file)
    if not isinstance(content, dict):
        raise InputError(f"{file} is not understood. It must look like {_FORM}.")
    return {name: _ground_truth(f'{file}: "{name}"', entry, file.parent) for name, entry in content.items()}


def with_ground_truth(dataset: Dataset, ground_truth: Mapping[str, GroundTruth], folder: Path) -> Dataset:
    """The dataset with boxes and masks; names in ``ground_truth`` are relative to ``folder``."""
    if not ground_truth:
        return dataset
    by_path = {normalized(folder / name): (name, entry) for name, entry in ground_truth.items()}
    samples = []
    for sample in dataset.samples:
        _, entry = by_path.pop(normalized(sample.path), ("", GroundTruth(sample.boxes, sample.mask)))
        samples.append(replace(sample, boxes=entry.boxes, mask=entry.mask))
    unmatched = (Problem(name, "truth.json knows this photo, but it is not there.") for name, _ in by_path.values())
    return replace(dataset, samples=tuple(samples), problems=(*dataset.problems, *unmatched))


def _ground_truth(where: str, entry: Any, folder: Path) -> GroundTruth:
    try:
        rows, mask = entry.get("boxes") or (), entry.get("mask") or ""
        boxes = tuple((number(x0), number(y0), number(x1), number(y1)) for x0, y0, x1, y1 in rows)
        ground_truth = GroundTruth(boxes, folder / mask if mask else None)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{where} is not understood ({error}). It must look like {_FORM}.") from error
    if any(map(ends_before_it_begins, boxes)):
        raise InputError(f"{where} has a box that ends before it begins. Correct that box.")
    return ground_truth
