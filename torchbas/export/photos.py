"""Photos beside their labels, for formats that need them there."""

import os
import re
import shutil
from collections import defaultdict
from contextlib import suppress
from pathlib import Path, PurePosixPath

from ..errors import InputError
from ..io import output_paths, write_error
from ..localization import Localization
from .results import Results

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")


def by_photo(results: Results) -> dict[str, list[Localization]]:
    """The detections of every photo that has some, in the order of the photos."""
    found = defaultdict(list)
    for one in results.detections:
        found[one.name].append(one)
    return {name: found[name] for name in results.sizes if name in found}


def photo_paths(results: Results) -> dict[str, PurePosixPath]:
    """Relative path of the copy of each photo, with the photo's own suffix; no two differ in nothing but that."""
    return {
        name: path.with_name(path.stem + (suffix if _SUFFIX.fullmatch(suffix := Path(name).suffix) else ""))
        for name, path in output_paths(results.sizes, ".txt").items()
    }


def place(one: Localization, target: Path) -> None:
    """Put a photo at ``target``: a second name of the same file, or a copy where the file system has no such thing.

    Not a symbolic link, which would break when either folder is moved.

    Args:
        one: an object in the photo.
        target: of a photo that is no file, a PNG.

    Raises:
        InputError: the photo is not there any more, or the disk refuses.
    """
    source = one.image
    if one.photo is None and not source.is_file():
        raise InputError(f"{source} was deleted meanwhile: put it back, or run the same command without it.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if one.photo is not None:
            one.photo.save(target)
            return
        with suppress(OSError):
            os.link(os.path.realpath(source), target)
            return
        shutil.copyfile(source, target)
    except OSError as error:
        raise write_error(target, error) from error
