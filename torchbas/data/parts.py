"""The Parquet files that ``bas predict --shard`` writes: their columns, and how they are read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import InputError, one_line
from ..io import MANIFEST

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("label", pa.string()),
        pa.field("score", pa.float32()),
        pa.field("confidence", pa.float32()),
        pa.field("bas_ratio", pa.float32()),
        pa.field("method", pa.string()),
        pa.field("xyxy", pa.list_(pa.float32())),
        pa.field("mask", pa.string()),
        pa.field("model", pa.string(), nullable=False),
        pa.field("error", pa.string()),
    ]
)
"""A row an object. A photo in which nothing was found has one row without a label, one that could not be read a row
with an error. ``mask`` is the counts of COCO's run-length encoding, whose size is that of the photo."""
FACTS, COUNTS = b"torchbas", b"torchbas_counts"
"""Keys in a file's metadata, both JSON: what it is of, and what it holds."""
TOGETHER = 1024
"""Rows that are read or written at once."""


def parts_in(folder: Path) -> list[Path]:
    """The parts in a folder, in order."""
    return sorted(folder.glob("part-*.parquet"))


def classes_of(folder: Path) -> tuple[str, ...]:
    """All tags of the model that has made the parts in a folder.

    Raises:
        InputError: some are missing, or were not made by ``bas predict``.
    """
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} has no {MANIFEST}, for some shards are missing: run those first.")
    path = parts_in(folder)[0]
    try:
        return tuple(map(str, json.loads((pq.read_metadata(path).metadata or {})[FACTS])["classes"]))
    except (OSError, pa.ArrowException, LookupError, ValueError, TypeError) as error:
        raise InputError(f"{path} was not made by bas predict ({one_line(error)}): choose another folder.") from error


def rows_in(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of all parts in a folder, in constant memory.

    Raises:
        InputError: a damaged part, or one with other columns.
    """
    for path in parts_in(folder):
        try:
            with pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(SCHEMA):
                    raise InputError(f"{path} has other columns than bas predict writes: choose another folder.")
                for batch in file.iter_batches(TOGETHER):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path} is damaged ({one_line(error)}): remove it and run its command again.") from error
