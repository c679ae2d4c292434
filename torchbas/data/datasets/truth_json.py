"""Boxes and masks beside tags in folders, a CSV or a JSON: ``truth.json``."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...structures import Dataset, Problem
from .reading import GroundTruth


def read_ground_truth(file: Path) -> dict[str, GroundTruth]:
    """Ground truth of a folder of tags, a CSV or a JSON, by photo: the content of ``truth.json`` beside them.

    ``{"cat/1.jpg": {"boxes": [[x0, y0, x1, y1]], "mask": "masks/1.png"}}``, boxes in pixels of the original photo with
    exclusive ends; both entries are optional, paths are relative to the file. In a mask 0 is background; for semantic
    metrics n is class n - 1 and 255 is ignored. Empty where the file is absent.

    Raises:
        InputError: a file of another form.
    """
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        return {name: _ground_truth(entry, file.parent) for name, entry in content.items()}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        example = '{"cat/1.jpg": {"boxes": [[x0, y0, x1, y1]], "mask": "masks/1.png"}}'
        raise InputError(f"{file} is not understood ({error}). It must look like {example}.") from error


def with_ground_truth(dataset: Dataset, ground_truth: Mapping[str, GroundTruth], folder: Path) -> Dataset:
    """The dataset with boxes and masks; names in ``ground_truth`` are relative to ``folder``."""
    if not ground_truth:
        return dataset
    by_path = {_normalized(folder / name): (name, entry) for name, entry in ground_truth.items()}
    samples = []
    for sample in dataset.samples:
        _, entry = by_path.pop(_normalized(sample.path), ("", GroundTruth(sample.boxes, sample.mask)))
        samples.append(replace(sample, boxes=entry.boxes, mask=entry.mask))
    unmatched = (Problem(name, "truth.json knows this photo, but it is not there.") for name, _ in by_path.values())
    return replace(dataset, samples=tuple(samples), problems=(*dataset.problems, *unmatched))


def _ground_truth(entry: dict[str, Any], folder: Path) -> GroundTruth:
    boxes = tuple((float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in entry.get("boxes", ()))
    return GroundTruth(boxes, folder / entry["mask"] if entry.get("mask") else None)


def _normalized(path: Path) -> str:
    return os.path.normpath(path.absolute())
