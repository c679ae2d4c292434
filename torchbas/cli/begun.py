"""The photos that a stopped command began with: ``--resume`` goes on with them, though some are gone meanwhile."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..bounds import checked
from ..errors import InputError
from ..inputs import read_json
from ..io import atomic_write
from ..structures import Dataset, Problem, Sample

PHOTOS = "photos.json"
"""Names, tags and splits of all photos, in the folder of a command until it is done."""
GONE = "it could be read when this run began. Put it back to have it learned from."

Row = tuple[tuple[str, ...], str]
"""Tags and split of a photo."""


def write_photos(folder: Path, dataset: Dataset) -> None:
    """Keep which photos a command began with."""
    content = {"classes": dataset.classes, "photos": _rows(dataset)}
    with atomic_write(folder / PHOTOS) as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def with_gone(dataset: Dataset, folder: Path) -> tuple[Dataset, list[Problem]]:
    """The dataset with the photos that a stopped run there began with and that are gone or broken; these as problems.

    Photos that are there but were not, or have other tags now, are other data: nothing is put back then.

    Raises:
        InputError: the list of the photos is damaged.
    """
    file = folder / PHOTOS
    if not file.is_file():
        return dataset, []
    classes, rows = _read(file)
    now = _rows(dataset)
    gone = [name for name in rows if name not in now]
    if any(rows.get(name) != row for name, row in now.items()) or any(_there(dataset, name) for name in gone):
        return dataset, []
    samples = {
        name: Sample(dataset.root / name, name, tuple(map(classes.index, tags)), split)
        for name, (tags, split) in rows.items()
    }
    samples |= {one.name: one for one in dataset.relabeled(classes).samples}
    problems = tuple(problem for problem in dataset.problems if problem.name not in rows)
    whole = replace(dataset, classes=classes, samples=tuple(samples.values()), problems=problems)
    return whole, [Problem(name, GONE) for name in gone]


def _rows(dataset: Dataset) -> dict[str, Row]:
    return {one.name: (tuple(dataset.classes[label] for label in one.labels), one.split) for one in dataset.samples}


def _there(dataset: Dataset, name: str) -> bool:
    """Whether a photo is not gone but left out by its list."""
    folder = dataset.root if dataset.root.is_dir() else dataset.root.parent
    return (folder / name).is_file() and all(problem.name != name for problem in dataset.problems)


def _read(file: Path) -> tuple[tuple[str, ...], dict[str, Row]]:
    try:
        content = checked(dict[str, Any], read_json(file), "content")
        classes = checked(tuple[str, ...], content.get("classes"), "classes")
        photos = checked(dict[str, Any], content.get("photos"), "photos")
        rows = {name: checked(Row, row, "photos") for name, row in photos.items()}
        if not {tag for tags, _ in rows.values() for tag in tags} <= {*classes}:
            raise ValueError("a tag that is no class")
    except ValueError as error:
        raise InputError(f"{file} is damaged: bring back a copy of it, or start again with --overwrite.") from error
    return classes, rows
