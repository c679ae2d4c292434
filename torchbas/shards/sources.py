"""Photos of a shard: of a folder, of a list, or of WebDataset tars; on this machine or wherever fsspec reaches."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from ..data import read_untagged
from ..data.images import LARGEST_FILE, SUFFIXES
from ..errors import InputError, one_line
from ..inputs import regular
from ..structures import Dataset, Problem, Sample

Item = TypeVar("Item")
AT_ONCE = 256
"""Photos whose files are in memory at once, and the same number that is fetched meanwhile."""
FETCHING = 16
"""Files that are fetched at once."""
REACHED = frozenset("file http https s3 s3a gs gcs az abfs abfss hdfs webhdfs sftp ssh smb oci hf memory".split())  # noqa: SIM905
"""Protocols of addresses; fsspec knows others, such as archives, caches and references, that a list must not name."""


class Shard(NamedTuple):
    """One of the equal parts of a source."""

    number: int
    """From 0."""
    of: int
    """How many there are."""

    def share(self, items: Sequence[Any]) -> Sequence[Any]:
        """Its part of all items, in their order; the parts differ by one item at most."""
        first, last = (len(items) * end // self.of for end in (self.number, self.number + 1))
        return items[first:last]


class Some(NamedTuple):
    """Photos that are localized together."""

    photos: Dataset
    """Without tags."""
    problems: Sequence[Problem] = ()
    """Photos of the same part of the source that could not be had."""


@runtime_checkable
class Source(Protocol):
    """Photos in shards."""

    def photos_in(self, shard: Shard) -> int | None:
        """Number of photos in a shard; None where only reading it tells."""
        ...

    def names(self, shard: Shard) -> list[str]:
        """What a shard consists of: names of photos, or of tars with their sizes."""
        ...

    def read(self, shard: Shard) -> Iterator[Some]:
        """The photos of a shard, in order."""
        ...


def open_source(place: str) -> Source:
    """The photos at a place.

    Args:
        place: a folder or list as for ``bas predict``; a text file (``.txt``) with a path or an address a line; a tar,
            or several as ``photos-{00000..00039}.tar`` or ``photos-*.tar``. Folders, lists and tars may have addresses
            of fsspec, as ``s3://bucket/photos/``.

    Raises:
        InputError: nothing there, or an address that cannot be reached.
    """
    if place.endswith(".tar"):
        return Tars(_expanded(place))
    if place.endswith(".txt"):
        return Addresses(_lines(place))
    return Addresses(_found_in(place)) if is_address(place) else Files(read_untagged(Path(place)))


def is_address(place: str) -> bool:
    """Whether that is an address and no path.

    Raises:
        InputError: one of a protocol that is not among :data:`REACHED`.
    """
    protocol, found, _ = place.partition("://")
    if found and ("::" in place or protocol not in REACHED):
        raise InputError(f"{place[:200]} is no address that is read: give a path, or one that begins as s3:// does.")
    return bool(found)


@dataclass(frozen=True)
class Files:
    """Photos that are files on this machine."""

    dataset: Dataset

    def photos_in(self, shard: Shard) -> int:
        """Number of photos in a shard."""
        return len(shard.share(self.dataset.samples))

    def names(self, shard: Shard) -> list[str]:
        """Names of its photos."""
        return [sample.name for sample in shard.share(self.dataset.samples)]

    def read(self, shard: Shard) -> Iterator[Some]:
        """All of its photos, which are opened as they are localized."""
        yield Some(Dataset(self.dataset.root, (), tuple(shard.share(self.dataset.samples))))


@dataclass(frozen=True)
class Addresses:
    """Photos at paths and addresses, by name, which are fetched some at a time."""

    places: dict[str, str]

    @cached_property
    def _all(self) -> list[tuple[str, str]]:
        return list(self.places.items())

    def photos_in(self, shard: Shard) -> int:
        """Number of photos in a shard."""
        return len(shard.share(self._all))

    def names(self, shard: Shard) -> list[str]:
        """Names of its photos."""
        return [name for name, _ in shard.share(self._all)]

    def read(self, shard: Shard) -> Iterator[Some]:
        """Its photos, in memory; the next ones are fetched meanwhile."""
        with ThreadPoolExecutor(FETCHING) as pool:
            yield from _ahead(_fetched(some, pool) for some in _batched(shard.share(self._all)))


@dataclass(frozen=True)
class Tars:
    """Photos in tars as WebDataset has them; of each sample the first photo; tar and key are its name."""

    places: list[str]

    def photos_in(self, shard: Shard) -> None:  # noqa: ARG002
        """Nobody knows before reading them."""
        return

    def names(self, shard: Shard) -> list[str]:
        """Its tars, with their sizes in bytes."""
        if shard.of > len(self.places):
            raise InputError(f"There are {len(self.places)} tars for {shard.of} shards: give a number up to that.")
        return [f"{place} {_size(place)}" for place in shard.share(self.places)]

    def read(self, shard: Shard) -> Iterator[Some]:
        """Its photos, in memory; the next ones are read meanwhile."""
        for place in shard.share(self.places):
            yield from _ahead(_in_tar(place))


def _batched(items: Iterable[Item]) -> Iterator[tuple[Item, ...]]:
    items = iter(items)
    while some := tuple(islice(items, AT_ONCE)):
        yield some


def _ahead(items: Iterator[Some]) -> Iterator[Some]:
    """The same, of which the next one is made while the last one is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _in_tar(place: str) -> Iterator[Some]:
    from webdataset.tariterators import group_by_keys, tar_file_expander

    name, faults, some = PurePosixPath(place).name, list[Problem](), list[Sample]()
    try:
        with _opened(place) as stream:
            for one in group_by_keys(tar_file_expander([{"url": place, "stream": stream}])):
                some += _photos(name, one)
                if len(some) >= AT_ONCE:
                    yield _together(some)
                    some = []
    except Exception as error:  # whatever a damaged archive raises in its reader, and a store that cannot be reached
        faults.append(Problem(name, f"{place} is damaged from here on ({one_line(error)}). Copy it again."))
    yield _together(some, faults)


def _photos(tar: str, one: dict[str, Any]) -> list[Sample]:
    """The first photo of a sample of WebDataset, if it has one."""
    for ending, content in one.items():
        if ending.rpartition(".")[2].lower() in SUFFIXES:
            name = f"{tar}/{one['__key__']}.{ending}"
            return [Sample(Path(name), name, content=content)]
    return []


def _together(samples: Iterable[Sample], faults: Sequence[Problem] = ()) -> Some:
    return Some(Dataset(Path(), (), tuple(samples)), faults)


def _fetched(some: Sequence[tuple[str, str]], pool: ThreadPoolExecutor) -> Some:
    samples, faults = list[Sample](), list[Problem]()
    for (name, place), content in zip(some, pool.map(_content, (place for _, place in some)), strict=True):
        if isinstance(content, bytes):
            samples.append(Sample(Path(name), name, content=content))
        else:
            faults.append(Problem(name, f"{place} cannot be fetched ({one_line(content)}). Check it, or take it off."))
    return _together(samples, faults)


def _content(place: str) -> bytes | Exception:
    """All of a file, or why it cannot be had."""
    try:
        with _opened(place) as stream:
            content = stream.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ValueError(f"it is larger than {LARGEST_FILE >> 30} GiB")
    except Exception as error:  # each store has errors of its own
        return error
    return content


def _opened(place: str) -> Any:
    """A file on this machine or elsewhere, to read."""
    import fsspec

    if not is_address(place):
        return regular(Path(place)).open("rb")
    return fsspec.open(place, "rb")


@cache  # asked for with every fingerprint; on a store each answer is a request
def _size(place: str) -> int:
    try:
        if not is_address(place):
            return regular(Path(place)).stat().st_size
        system, path = _file_system(place)
        return system.size(path)
    except InputError:
        raise
    except Exception as error:  # each store has errors of its own
        raise InputError(f"{place} cannot be read ({one_line(error)}): check the path.") from error


def _expanded(place: str) -> list[str]:
    """Tars by braces and stars, in order."""
    from webdataset.shardlists import expand_urls

    places = list(expand_urls(place))
    if "*" in place:
        places = sorted(found for one in places for found in _matching(one))
    if not places:
        raise InputError(f"{place} matches no tar: check the path.")
    return places


def _matching(pattern: str) -> list[str]:
    if not is_address(pattern):
        return glob.glob(pattern)  # noqa: PTH207  # a root of its own
    system, path = _file_system(pattern)
    return [system.unstrip_protocol(one) for one in system.glob(path)]


def _file_system(place: str) -> tuple[Any, str]:
    """File system and path there of an address."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise InputError(f"{place} cannot be reached ({one_line(error)}).") from error


def _lines(place: str) -> dict[str, str]:
    """Photos by name: the lines of a list, paths relative to its folder."""
    content = _content(place)
    if not isinstance(content, bytes):
        raise InputError(f"{place} cannot be read ({one_line(content)}): check the path.") from content
    try:
        lines = [line for line in content.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{place} is no text in UTF-8 ({error}): save it as such.") from error
    if not lines:
        raise InputError(f"{place} has no line: give it a path or an address a line.")
    folder = place.rpartition("/")[0]
    places = {line: line if is_address(line) or Path(line).is_absolute() else _joined(folder, line) for line in lines}
    if len(places) < len(lines):
        raise InputError(f"{place} names a photo twice: leave one of the lines.")
    return places


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _found_in(place: str) -> dict[str, str]:
    """Photos below a folder with an address, by their path in it."""
    system, root = _file_system(place)
    try:
        found = sorted(system.find(root))
    except Exception as error:
        raise InputError(f"{place} cannot be listed ({one_line(error)}): check the address.") from error
    photos = [one for one in found if one.rpartition(".")[2].lower() in SUFFIXES]
    if not photos:
        raise InputError(f"{place} holds no photos: check the address.")
    return {os.path.relpath(one, root): system.unstrip_protocol(one) for one in photos}
