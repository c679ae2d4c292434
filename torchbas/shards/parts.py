"""The Parquet file of a shard, a row an object: written aside, and there only when it is whole."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from ..data.parts import COUNTS, FACTS, SCHEMA, TOGETHER
from ..errors import InputError, one_line
from ..io import MANIFEST, atomic_write, write_manifest
from .sources import Shard, is_address


class Counts(NamedTuple):
    """What a part holds."""

    photos: int
    errors: int
    """Photos that could not be read."""
    objects: dict[str, int]
    """Objects per tag."""


@dataclass(frozen=True)
class Parts:
    """Parts of one work in one folder.

    Args:
        place: a folder, or an address of fsspec.
        facts: what all parts have in common, for JSON, such as the classes and the settings.
        work: fingerprint of all that the content of a part depends on beside its shard.
    """

    place: str
    facts: Mapping[str, Any]
    work: str

    def path_of(self, shard: Shard) -> str:
        """Where the part of a shard is, or will be."""
        return f"{self.place.rstrip('/')}/part-{shard.number:05}.parquet"

    def counts(self, shard: Shard) -> Counts | None:
        """What the finished part of a shard holds; None where there is none, or a damaged one.

        Raises:
            InputError: it is there, but of another work.
        """
        path = self.path_of(shard)
        found = metadata_of(path)
        if found is None:
            return None
        facts = json.loads(found.get(FACTS, b"{}"))
        if facts.get("work") != self.work or facts.get("shard") != list(shard):
            differs = "of other photos or in another number of shards, or by another model or with other settings"
            raise InputError(f"{path} was made {differs}: choose another --out, or add --overwrite.")
        return Counts(**json.loads(found[COUNTS]))

    def write(self, shard: Shard, rows: Iterable[Mapping[str, Any]]) -> Counts:
        """Write the part of a shard: aside, and renamed (on a store: put at once) when it is whole.

        Raises:
            InputError: the disk or the store refuses.
        """
        facts = {**self.facts, "work": self.work, "shard": list(shard)}
        schema = SCHEMA.with_metadata({FACTS: json.dumps(facts, sort_keys=True)})
        photos, errors, objects, last = 0, 0, Counter[str](), None
        rows = iter(rows)
        with _aside(self.path_of(shard)) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            while some := list(islice(rows, TOGETHER)):
                writer.write_batch(pa.RecordBatch.from_pylist(some, schema))
                for row in some:
                    photos += row["key"] != last
                    last = row["key"]
                    errors += row["error"] is not None
                    objects.update([row["label"]] if row["label"] is not None else ())
            counts = Counts(photos, errors, dict(sorted(objects.items())))
            writer.add_key_value_metadata({COUNTS: json.dumps(counts._asdict())})
        return counts


def conclude(place: str, content: Mapping[str, Any]) -> None:
    """Write ``run.json`` into a folder or to an address."""
    if not is_address(place):
        write_manifest(Path(place), content)
        return
    with tempfile.TemporaryDirectory() as folder, _aside(f"{place.rstrip('/')}/{MANIFEST}") as partial:
        partial.write_bytes(write_manifest(Path(folder), content).read_bytes())


def number_in(place: str) -> int:
    """How many parts there are in a folder or at an address."""
    system, inside = url_to_fs(place)
    return len(system.glob(f"{inside.rstrip('/')}/part-*.parquet"))


def metadata_of(path: str) -> dict[bytes, bytes] | None:
    """Metadata of a Parquet file; None where there is none, or a damaged one."""
    try:
        system, inside = url_to_fs(path)
        with system.open(inside, "rb") as file:
            return pq.read_metadata(file).metadata or {}
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{path} cannot be read ({one_line(error)}): check the path.") from error


@contextmanager
def _aside(path: str) -> Iterator[Path]:
    """A file to write, which becomes ``path`` in one step when the block ends well."""
    system, inside = url_to_fs(path)
    if isinstance(system, LocalFileSystem):
        with atomic_write(Path(inside)) as partial:
            yield partial
        return
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder, "part")
        yield partial
        try:
            system.put_file(str(partial), inside)
        except Exception as error:  # each store has errors of its own
            raise InputError(f"{path} cannot be written ({one_line(error)}): check the address.") from error
