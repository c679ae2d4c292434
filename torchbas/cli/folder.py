"""The folder that a command writes into, for one command at a time or many that make shards; nothing changes before the
work begins."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError
from ..io import MANIFEST, is_partial, write_error

MARK = ".torchbas"
"""Empty file in every folder that a command has made; the command that works there holds a lock on it."""


class OutputFolder:
    """``--out`` of a command, planned when it is made: it may be used, but nothing is written yet.

    Only a folder that an earlier command has made and marked is written over, and a link inside one is never followed.
    Of several processes the first one looks after the folder.

    Args:
        source: the command's input, which the folder must not lie in.
        overwrite: replace what an earlier command has left.
        resume: go on with it; None where the command has no such flag.

    Raises:
        InputError: a folder that may not be used, with the reason and the next move.
    """

    def __init__(self, path: Path, source: Path | None = None, *, overwrite: bool, resume: bool | None = None) -> None:
        self.path, self.overwrite, self.resume = path, overwrite, resume
        self.begun = False
        self._made: list[Path] = []
        self._lock: BinaryIO | None = None
        if source is not None and _real(path).is_relative_to(_real(source)) and source.is_dir():
            reason = "so its pictures would be read as photos"
            raise InputError(f"{path} lies inside {source}, {reason}: choose another --out.")
        if first_process():
            try:
                self._plan()
            except InputError:
                self.close()
                raise

    def begin(self, *replaced: str) -> None:
        """Make the folder and remove what is ``replaced`` (names or patterns): everything given was found to be good.

        To be called before the first file is written; a later call looks whether the folder is still there. Where the
        earlier work goes on only ``run.json`` is removed. So is what killed processes have left half written.

        Raises:
            InputError: another command has come first; the disk refuses; somebody has deleted the folder meanwhile.
        """
        if not first_process():
            return
        if self.begun:
            if not (self.path / MARK).is_file():
                raise InputError(f"{self.path} was deleted while this command wrote to it: run it again.")
            return
        try:
            self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            self._plan()
            self._lock = self._lock or _locked(self.path)
            self.begun = True
            leftovers = [Path(entry.path) for entry in _entries(self.path) if is_partial(entry.name)]
            patterns = [one for one in replaced if one == MANIFEST or not self.resume]
            for place in [*leftovers, *(place for pattern in patterns for place in self.path.glob(pattern))]:
                shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        except OSError as error:
            raise write_error(self.path, error) from error

    def close(self) -> None:
        """Give the lock back; what is still empty of what :meth:`begin` has made is removed."""
        with suppress(OSError):  # the folder may be gone
            if self.begun and not self.kept:
                empty = [Path(entry.path) for entry in _entries(self.path) if entry.is_dir()]
                (self.path / MARK).unlink()
                for folder in (*reversed(empty), *self._made):
                    folder.rmdir()
        if self._lock:
            self._lock.close()
            self._lock = None

    @property
    def kept(self) -> bool:
        """Whether there are files in it since it was begun: something to go on with."""
        try:
            return self.begun and any(entry.is_file() and entry.name != MARK for entry in _entries(self.path))
        except OSError:  # somebody has deleted it
            return False

    def _plan(self) -> None:
        out = self.path
        try:
            nearest = next((place for place in (out, *out.parents) if place.exists()), out)
            if not nearest.is_dir():
                raise InputError(f"{out} cannot be written, for {nearest} is a file: choose another --out.")
            used = out.is_dir() and any(place.name != MARK for place in out.iterdir())
            mark = out / MARK
            if used and not mark.exists():
                raise InputError(f"{out} holds files that are not of torchbas: choose another --out.")
            if self._lock is None and mark.is_file() and not mark.is_symlink():
                self._lock = _locked(out)
            for entry in _entries(out) if out.is_dir() else ():
                if entry.is_symlink():
                    raise InputError(f"{entry.path} is a link, and links in --out are not followed: remove it.")
        except OSError as error:
            raise write_error(out, error) from error
        if used and not (self.overwrite or self.resume):
            state = "holds a finished run" if (out / MANIFEST).exists() else "holds a run that was stopped"
            flags = "--overwrite" if self.resume is None else "--overwrite or --resume"
            raise InputError(f"{out} {state}: choose another --out, or add {flags}.")


@dataclass
class ShardFolder:
    """``--out`` of many processes: it holds nothing but parts, and whoever comes last writes ``run.json``.

    Raises:
        InputError: it holds other files.
    """

    path: Path | None
    """None: an address of a store."""
    overwrite: bool
    resume = True

    def begin(self, numbers: set[int], of: int) -> None:
        """Make it; where parts are to be replaced, remove these and those of more shards than there are."""
        if self.path is None:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            others = (one.name for one in self.path.iterdir() if not _is_ours(one.name))
            if (other := next(others, None)) is not None:
                raise InputError(f"{self.path} holds other files than parts ({other}): choose another --out.")
            (self.path / MARK).touch()
            for part in self.path.glob("part-*.parquet") if self.overwrite else ():
                number = int(part.stem.partition("-")[2])
                if number in numbers or number >= of:
                    part.unlink(missing_ok=True)
                    (self.path / MANIFEST).unlink(missing_ok=True)
        except OSError as error:
            raise write_error(self.path, error) from error

    def tidy(self) -> None:
        """Remove what killed processes have left half written, when all parts are there."""
        for one in [] if self.path is None else self.path.iterdir():
            if is_partial(one.name):
                with suppress(OSError):
                    one.unlink()

    @property
    def kept(self) -> bool:
        """Whether there are parts to go on with."""
        return self.path is None or any(self.path.glob("part-*.parquet"))

    def close(self) -> None:
        """Nothing is held."""


def _is_ours(name: str) -> bool:
    return name in (MARK, MANIFEST) or is_partial(name) or re.fullmatch(r"part-\d{5,}\.parquet", name) is not None


def first_process() -> bool:
    """Whether this process writes: the first of torchrun's, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """All that lies in a folder, at any depth, without following links."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)


def _locked(folder: Path) -> BinaryIO:
    """The folder's mark, made where needed, locked until it is closed or the process ends, however that happens."""
    stream = (folder / MARK).open("ab")
    try:
        _lock(stream)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            stream.close()
            raise InputError(
                f"{folder} is in use by another command: wait for its end, or choose another --out."
            ) from None
        # A file system without locks: as good as it gets.
    return stream


if os.name == "nt":
    import msvcrt

    def _lock(stream: BinaryIO) -> None:
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(stream: BinaryIO) -> None:
        # Of the process, unlike flock, which workers would inherit and keep after its death.
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
