"""Damaged and malicious bytes, drawn from a generator: the same seed gives the same bytes."""

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Rng = np.random.Generator
Mutate = Callable[[Rng, bytes], bytes]

NUMBERS = (
    b"1e999",
    b"-1e999",
    b"NaN",
    b"Infinity",
    b"-1",
    b"0",
    b"1e308",
    b"0.5",
    b"4294967296",
    b"9" * 400,
    b"1e-400",
)
WORDS = (
    b"",
    b"/",
    b"//",
    b"..",
    b"../../x.jpg",
    b"/etc/passwd",
    b"x" * 300,
    b"\xc3\xa9",
    b"\xff",
    b"_background",
    b"{",
)
VALUES: tuple[Any, ...] = (None, True, -1, 0, 10**40, 1e308, float("nan"), "", "x", "../x", "\ud800", [], {}, [[]])
ENDS = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x00",
    b"\x00\x00\x00\x80",
    b"\x01",
)
LARGEST = 4 << 20
"""Bytes of what comes out: more are cut."""


SEARCHED = 1 << 14
"""Bytes in which numbers and words are looked for."""


def _span(rng: Rng, data: bytes) -> tuple[int, int]:
    """Start and end of a piece, most often a short one."""
    start = int(rng.integers(len(data) + 1))
    return start, min(len(data), start + int(rng.integers(1, 5 if rng.random() < 0.5 else max(6, len(data) // 2))))


def flip(rng: Rng, data: bytes) -> bytes:
    """Some bits turned."""
    changed = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 9)) if data else ():
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def delete(rng: Rng, data: bytes) -> bytes:
    """A piece taken out."""
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def duplicate(rng: Rng, data: bytes) -> bytes:
    """A piece twice or more often."""
    start, end = _span(rng, data)
    return data[:end] + data[start:end] * int(rng.integers(1, 20)) + data[end:]


def insert(rng: Rng, data: bytes) -> bytes:
    """Random bytes put in."""
    start, _ = _span(rng, data)
    return data[:start] + rng.bytes(int(rng.integers(1, 40))) + data[start:]


def truncate(rng: Rng, data: bytes) -> bytes:
    """The beginning alone."""
    return data[: int(rng.integers(len(data) + 1))]


def overwrite(rng: Rng, data: bytes) -> bytes:
    """The largest and smallest whole numbers over some bytes; half of the times in the first hundred, the header."""
    start = int(rng.integers(1 + (min(len(data), 100) if rng.random() < 0.5 else len(data))))
    end = ENDS[rng.integers(len(ENDS))]
    return data[:start] + end + data[start + len(end) :]


def numbers(rng: Rng, data: bytes) -> bytes:
    """A number of a text replaced by one that is none, or too large."""
    return _replaced(rng, data, rb"-?\d+(?:\.\d+)?", NUMBERS)


def words(rng: Rng, data: bytes) -> bytes:
    """A word of a text replaced, by a path elsewhere for example."""
    return _replaced(rng, data, rb"[\w./\\-]+", WORDS)


def _replaced(rng: Rng, data: bytes, pattern: bytes, by: tuple[bytes, ...]) -> bytes:
    found = list(re.finditer(pattern, data[:SEARCHED]))
    if not found:
        return insert(rng, data)
    one, new = found[rng.integers(len(found))], by[rng.integers(len(by))]
    return data[: one.start()] + new + data[one.end() :]


def lines(rng: Rng, data: bytes) -> bytes:
    """Lines of a text in another order, some twice and some not at all."""
    parts = data.splitlines(keepends=True)
    return b"".join(parts[place] for place in rng.integers(len(parts), size=len(parts) + 1)) if parts else data


def nest(rng: Rng, data: bytes) -> bytes:
    """Brackets thousands deep, around everything or in a place."""
    depth = int(rng.choice([50, 500, 20_000]))
    opening, closing = ((b"[", b"]"), (b'{"a":', b"}"), (b"<a>", b"</a>"))[rng.integers(3)]
    start, end = (0, len(data)) if rng.random() < 0.5 else _span(rng, data)
    return data[:start] + opening * depth + (data[start:end] or b"1") + closing * depth + data[end:]


def encode(rng: Rng, data: bytes) -> bytes:
    """Another encoding, NUL inside, a byte order mark, nothing at all, or blanks."""
    text = data.decode("utf-8", "replace")
    start, _ = _span(rng, data)
    ways = (text.encode("utf-16"), text.encode("utf-32"), data[:start] + b"\0" + data[start:], b"\xef\xbb\xbf" + data)
    return (*ways, b"", b"\n" * 100, data.replace(b"\n", b"\r"))[rng.integers(len(ways) + 3)]


def values(rng: Rng, data: bytes) -> bytes:
    """A value of a JSON replaced by one of another type, exchanged with another, or taken out."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return numbers(rng, data)
    places = list(_places(content))
    place, other = (places[rng.integers(len(places))] for _ in range(2))
    way = rng.integers(3)
    new = _at(content, other) if way == 0 else VALUES[rng.integers(len(VALUES))]
    return json.dumps(_put(content, place, new, gone=way == 1)).encode()


def _places(value: Any, here: tuple = ()) -> Iterator[tuple]:
    yield here
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(below, (*here, key))


def _at(value: Any, place: tuple) -> Any:
    for key in place:
        value = value[key]
    return value


def _put(value: Any, place: tuple, new: Any, *, gone: bool) -> Any:
    if not place:
        return new
    copy = value.copy()
    if gone and len(place) == 1:
        del copy[place[0]]
    else:
        copy[place[0]] = _put(value[place[0]], place[1:], new, gone=gone)
    return copy


def repack(rng: Rng, data: bytes) -> bytes:
    """A member of a zip file mutated, with a check sum that fits, so that what lies behind that is reached."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
            if not members:
                raise ValueError("empty")
    except Exception:  # no zip file, or one that a mutation before this one has broken or emptied
        return flip(rng, data)
    name = sorted(members)[rng.integers(len(members))]
    members[name] = BYTES[rng.integers(len(BYTES))](rng, members[name])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.5 else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content[:LARGEST])
    return packed.getvalue()


def reseal(rng: Rng, data: bytes) -> bytes:
    """A part of a PNG, or the header of a safetensors file, mutated, with check sum and length that fit."""
    if data.startswith(b"\x89PNG"):
        chunks, place = [], 8
        while place + 12 <= len(data):
            length = int.from_bytes(data[place : place + 4], "big")
            chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
            place += 12 + length
        changed = int(rng.integers(max(1, len(chunks))))
        sealed = b""
        for number, (kind, content) in enumerate(chunks):
            body = BYTES[rng.integers(len(BYTES))](rng, content) if number == changed else content
            sealed += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        return data[:8] + sealed
    length = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and length < len(data):
        header = (values, numbers, words)[rng.integers(3)](rng, data[8 : 8 + length])
        return struct.pack("<Q", len(header)) + header + data[8 + length :]
    return overwrite(rng, data)


BYTES: tuple[Mutate, ...] = (flip, delete, duplicate, insert, truncate, overwrite, numbers)
TEXT: tuple[Mutate, ...] = (numbers, words, lines, nest, encode, values)
ALL: tuple[Mutate, ...] = (*BYTES, *TEXT, repack, repack, repack, reseal, reseal)


def mutated(rng: Rng, data: bytes, other: bytes = b"") -> bytes:
    """The bytes after one to three mutations; ``other`` is a file whose end may be put in place of the own one."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if rng.random() < 0.04:
            data = data[: rng.integers(len(data) + 1)] + other[rng.integers(len(other) + 1) :]
        else:
            data = ALL[rng.integers(len(ALL))](rng, data)[:LARGEST]
    return data
