"""How results reach the disk: whole or not at all, under names that every file system takes."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path, PurePosixPath

from ..errors import InputError

_FORBIDDEN = str.maketrans({**dict.fromkeys(map(chr, range(32)), "_"), **dict.fromkeys('<>:"|?*', "_"), "\\": "/"})
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path to write to, which becomes ``path`` in one step when the block ends well and vanishes otherwise.

    Makes the folder where needed. Raises :class:`InputError` naming the file when the disk refuses it.
    """
    partial = path.with_name(f".{path.name[:60]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise refusal(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def refusal(path: Path, error: OSError) -> InputError:
    """Why the disk did not take ``path``, and the next move."""
    move = "Free some space there or choose another folder, then run the same command again."
    return InputError(f"{path} cannot be written ({error.strerror or error}). {move}")


def mirrored(names: Iterable[str], suffix: str) -> dict[str, PurePosixPath]:
    """Where the file that belongs to each photo goes: the photo's name with another suffix (``.png``).

    The paths are relative, stay inside the folder they are joined to, are free of what Windows reserves, and differ
    even where capitals do not count: photos that differ in nothing but their suffix keep it (``a.jpg.png``).
    """
    safe = {name: _safe(name) for name in names}
    wishes = Counter(_key(path.with_suffix(suffix)) for path in safe.values())
    taken = {_key(folder) for path in safe.values() for folder in path.parents}
    places: dict[str, PurePosixPath] = {}
    for name, path in safe.items():
        short = path.with_suffix(suffix)
        wished = [short] if wishes[_key(short)] == 1 else []
        longer = (path.with_name(f"{path.name}{extra}{suffix}") for extra in chain([""], map(".{}".format, count(2))))
        places[name] = next(place for place in chain(wished, longer) if _key(place) not in taken)
        taken.add(_key(places[name]))
    return places


def _safe(name: str) -> PurePosixPath:
    parts = [part for part in name.translate(_FORBIDDEN).split("/") if part not in ("", ".")]
    return PurePosixPath(*map(_safe_part, parts or ["_"]))


def _safe_part(part: str) -> str:
    part = part.rstrip(" .") or "_"  # Windows drops dots and spaces at the end, and ".." must not climb.
    return f"_{part}" if part.split(".")[0].strip().casefold() in _DEVICES else part


def _key(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()
