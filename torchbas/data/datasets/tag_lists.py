"""Tags from a list: CSV with the columns ``file,tags[,split]``, or JSON."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import InputError
from ...inputs import open_text, read_json
from ...structures import Problem
from .reading import (
    SPLITS,
    Entry,
    Places,
    Reading,
    dataset_of,
    exists,
    folder_name,
    missing_photo,
    normalize_tag,
    normalized,
    tags_of,
)

_JSON_FORMS = '{"img/1.jpg": ["cat", "dog"]} or [{"file": "img/1.jpg", "tags": ["cat"], "split": "train"}]'


class Row(NamedTuple):
    """One line or entry of a list."""

    where: str
    """The list's name and the number of the line or entry."""
    file: str
    tags: list[str]
    split: str = ""


def read_csv(source: Path, places: Places) -> Reading:
    """``file,tags`` with ``;`` between the tags and an optional ``split``; further columns are ignored."""
    try:
        with open_text(source, newline="") as stream:
            return _merged(_csv_rows(source.name, csv.reader(stream, strict=True)), source, places)
    except csv.Error as error:
        raise InputError(f"{source} is not a CSV file that can be read ({error}). Save it as CSV once more.") from error


def read_json_list(source: Path, places: Places) -> Reading:
    """An object from file to tags, or a list of objects with ``file``, ``tags`` and an optional ``split``."""
    return _merged(_json_rows(source.name, read_json(source)), source, places)


def _csv_rows(name: str, lines: Any) -> Iterator[Row]:
    header = [title.strip().lower() for title in next(lines, [])]
    if not {"file", "tags"} <= set(header):
        raise InputError(
            f'{name} has no column "{"tags" if "file" in header else "file"}". '
            "Its first line must name the columns, with commas between: file,tags or file,tags,split."
        )
    for line in lines:
        if any(cell.strip() for cell in line):
            cells = dict(zip(header, line + [""] * len(header), strict=False))
            tags = cells["tags"].split(";") if cells["tags"].strip() else []
            yield Row(f"{name} line {lines.line_num}", cells["file"].strip(), tags, cells.get("split", ""))


def _json_rows(name: str, content: Any) -> Iterator[Row]:
    if isinstance(content, dict):
        content = [{"file": file, "tags": tags} for file, tags in content.items()]
    if not isinstance(content, list):
        raise InputError(f"{name} is no list of photos. It must look like {_JSON_FORMS}.")
    for number, entry in enumerate(content, start=1):
        match entry:
            case {"file": str(file), **rest}:
                tags, split = rest.get("tags", []), rest.get("split") or ""
                tags = [tags] if isinstance(tags, str) else tags
                if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) and isinstance(split, str):
                    yield Row(f"{name} entry {number}", file, tags, split)
                    continue
        raise InputError(f"{name} entry {number} is not understood. The file must look like {_JSON_FORMS}.")


def _merged(rows: Iterator[Row], source: Path, places: Places) -> Reading:
    """The rows as a dataset, those of one photo merged; rows that cannot be used are faults."""
    images = places.images or source.parent
    base = "the folder given as images" if places.images else f"the {source.suffix[1:].upper()}"
    folder = normalized(images)
    entries: dict[Path, Entry] = {}
    faults: list[Problem] = []
    notes: list[Problem] = []
    for row in rows:
        path, split = normalized(folder / row.file), row.split.strip().lower()
        before = entries.get(path, Entry(path, split=split))
        if not row.file or not path.name:
            faults.append(Problem(row.where, f"{row.where} names no file. Complete the line or delete it."))
        elif places.need_images and not exists(path):
            faults.append(missing_photo(row.where, row.file, images, base))
        elif split not in ("", *SPLITS):
            reason = f'{row.where}: the split "{row.split}" is unknown. Write one of {", ".join(SPLITS)}, or nothing.'
            faults.append(Problem(row.file, reason))
        elif before.split != split:
            reason = f'{row.where}: "{row.file}" is in "{before.split}" already, now in "{split}". Keep one of them.'
            faults.append(Problem(row.file, reason))
        else:
            if path in entries:
                notes.append(Problem(row.file, f"{row.where}: listed before; the tags of both lines are merged."))
            if not all(map(normalize_tag, row.tags)):
                notes.append(Problem(row.file, f"{row.where}: an empty tag is ignored."))
            entries[path] = Entry(path, before.tags | tags_of(row.tags), split)
    if not entries and not faults:
        raise InputError(f"{source} lists no photos. Add one line for each photo in {folder_name(images)}.")
    # Names must stay inside the root, or files named after them would land outside the output folder.
    root = Path(os.path.commonpath([folder, *(path.parent for path in entries)]))
    return Reading(dataset_of(root, entries.values(), notes), faults)
