"""Output files: atomic writes, portable names, ``run.json``, and the stable hash that ties results to settings."""

import dataclasses
import hashlib
import json
import re
import secrets
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from . import __version__
from .errors import InputError
from .inputs import regular

MANIFEST = "run.json"
"""What a command did; it is written last, so a folder that has one is complete."""

_FORBIDDEN = str.maketrans({**dict.fromkeys(map(chr, range(32)), "_"), **dict.fromkeys('<>:"|?*', "_"), "\\": "/"})
_LONGEST_NAME, _LONGEST_PATH = 255, 2048
"""Bytes: what Linux, macOS and Windows take as a name; half of what Linux takes as a path, for the folder before it."""
_OURS = {"classes.json", "instances.coco.json", "stage.json"}
"""Files that are written beside those of the samples."""
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which replaces ``path`` in one step when the block ends well and is removed otherwise.

    The folder is made where needed. The yielded path lies in the same folder, is hidden (``.NAME.RANDOM.partial``) and
    no two calls share one, so that any number of processes and threads may write side by side.

    Raises:
        InputError: the disk refuses; the sentence names ``path``.
    """
    partial = partial_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those around it, where needed. Raises :class:`InputError` where the disk refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error


def partial_of(path: Path) -> Path:
    """Another hidden path beside ``path`` at each call, for what is to become ``path``."""
    start = path.name.encode("utf-8", "ignore")[:60].decode("utf-8", "ignore")  # file systems limit bytes, not letters
    return path.with_name(f".{start}.{secrets.token_hex(8)}.partial")


def is_partial(name: str) -> bool:
    """Whether a name is one of :func:`partial_of`; where no process writes any more, it may be removed."""
    return re.fullmatch(r"\..*\.[0-9a-f]{16}\.partial", name, re.DOTALL) is not None


def write_error(path: Path, error: OSError) -> InputError:
    """The error that says why ``path`` could not be written, and the next move."""
    move = "Free some space there or choose another folder, then run the same command again."
    return InputError(f"{path} cannot be written ({error.strerror or error}). {move}")


def output_paths(names: Iterable[str], suffix: str) -> dict[str, PurePosixPath]:
    """Relative path of the output file of each sample, by its name: the same name with ``suffix`` (``.png``).

    The paths stay inside the folder they are joined to, are free of what Windows reserves, and differ even where
    capitals do not count: samples that differ in nothing but their suffix keep it (``a.jpg.png``). Names that file
    systems would refuse for their length are cut, and end in a hash of the whole.
    No path is that of a file which we write beside them, such as ``classes.json``.
    """
    safe = {name: _safe(name) for name in names}
    wishes = Counter(_key(_ending(path, path.stem, suffix)) for path in safe.values())
    taken = _OURS | {_key(folder) for path in safe.values() for folder in path.parents}
    paths: dict[str, PurePosixPath] = {}
    for name, path in safe.items():
        short = _ending(path, path.stem, suffix)
        wished = [short] if wishes[_key(short)] == 1 else []
        longer = (_ending(path, path.name, f"{extra}{suffix}") for extra in chain([""], map(".{}".format, count(2))))
        paths[name] = next(one for one in chain(wished, longer) if _key(one) not in taken)
        taken.add(_key(paths[name]))
    return paths


def write_manifest(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write ``content`` and the version of torchbas to ``folder/run.json``, atomically, and return its path.

    Dataclasses, paths, tuples, sets and numpy values are fine; numbers that JSON does not know (NaN, infinity) become
    null.

    Raises:
        InputError: the disk refuses.
    """
    path = folder / MANIFEST
    text = json.dumps(_plain({"torchbas": __version__, **content}))
    finite = json.loads(text, parse_constant=lambda _: None)
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(finite, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what :func:`write_manifest` wrote.

    Raises:
        InputError: ``run.json`` is missing, so the folder is incomplete, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(regular(path).read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{folder} has no readable {MANIFEST}: its command did not finish. Run it again.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}). Run the command that made it again.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no manifest of torchbas. Check the folder.")
    return content


def stable_hash(*parts: object) -> str:
    """SHA-256 (64 hexadecimal digits) of ``parts`` as canonical JSON; the same in every process, on every machine.

    Dataclasses count as dictionaries, tuples as lists, paths as text with forward slashes, numpy scalars and arrays as
    numbers and lists of numbers; neither the order of a dictionary nor that of a set matters.

    Raises:
        TypeError: a part that is none of these, and so has no stable form.
    """
    return hashlib.sha256(_canonical(_plain(parts)).encode("ascii")).hexdigest()


def _canonical(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(value: Any) -> Any:
    """``value`` in the types of JSON; whatever has none is left for :mod:`json` to refuse."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(_plain, value), key=_canonical)
    if isinstance(value, PurePath):
        return value.as_posix()
    tolist = getattr(value, "tolist", None)  # of numpy's scalars and arrays, without importing numpy
    return value if tolist is None else _plain(tolist())


def _safe(name: str) -> PurePosixPath:
    plain = name.translate(_FORBIDDEN)
    if len(_bytes(plain)) > _LONGEST_PATH:  # its folders are for order only
        plain = plain.replace("/", "_")
    parts = [_cut(_safe_part(part)) for part in plain.split("/") if part not in ("", ".")] or ["_"]
    if len(parts) > 1 and parts[0].casefold() in _OURS:
        parts[0] = f"_{parts[0]}"
    return PurePosixPath(*parts)


def _ending(path: PurePosixPath, name: str, ending: str) -> PurePosixPath:
    return path.with_name(_cut(name, ending))


def _cut(name: str, ending: str = "") -> str:
    """``name`` and ``ending`` in as many bytes as a file name may have."""
    if len(_bytes(name)) + len(_bytes(ending)) <= _LONGEST_NAME:
        return name + ending
    tail = f"~{hashlib.sha256(_bytes(name)).hexdigest()[:16]}{ending}"
    return _bytes(name)[: _LONGEST_NAME - len(_bytes(tail))].decode("utf-8", "ignore").rstrip(" .") + tail


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _safe_part(part: str) -> str:
    part = part.rstrip(" .") or "_"  # Windows drops dots and spaces at the end, and ".." must not climb.
    return f"_{part}" if part.split(".")[0].strip().casefold() in _DEVICES else part


def _key(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()
