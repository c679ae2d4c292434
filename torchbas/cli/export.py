"""``bas export``: the results of an earlier command in other formats."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..bounds import Bound
from ..errors import InputError
from ..export import FORMATS, VAL_SPLIT, check_formats, outputs
from ..io import MANIFEST, write_manifest
from .common import Common, Formats, chosen
from .common import parse as read
from .folder import OutputFolder


@dataclass
class Export(Common):
    """Results of bas label, predict or segment for other tools, without the model.

    How to import them there: docs/export.md.
    """

    results: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RESULTS")] = field(kw_only=True)
    """Folder of the command, written with the format coco, or a COCO file."""
    format: Formats = field(kw_only=True)
    out: Path = field(kw_only=True)
    """Folder to write into."""
    photos: Path | None = None
    """Folder that the photos' names are relative to, where run.json does not lead to it."""
    val_split: Annotated[float, Bound(0, 0.9)] = VAL_SPLIT
    """Share of the photos in the split val of yolo, by a hash of their names."""
    overwrite: bool = False
    """Replace an earlier run in --out."""

    def run(self) -> dict[str, Any]:
        """Read, check, write."""
        from ..data.results import folder_of, photo_folder, read_results, require_photos
        from ..export.results import save
        from .progress import Reporter

        self._refuse_together()
        if not self.format:
            raise InputError(f"--format names no format: give one or more of {', '.join(FORMATS)}.")
        if self.photos is not None and not self.photos.is_dir():
            raise InputError(
                f"--photos {self.photos} is no folder: give the one that the photos' names are relative to."
            )
        results = replace(read_results(self.results, self.photos), val_split=self.val_split)
        check_formats(self.format, results.classes)
        found, photos = results.detections, self.photos
        if found and any(FORMATS[name].photos for name in self.format):
            require_photos(results)
            photos = folder_of(found[0].image, found[0].name)
        self.folder = OutputFolder(self.out, photos, overwrite=self.overwrite)
        self.folder.begin(MANIFEST, *outputs())
        save(results, self.out, self.format)
        answer = {
            "command": "export",
            "words": chosen(self),
            "photos": len(results.sizes),
            **photo_folder(((one.image, one.name) for one in found), self.out),
            "objects": len(found),
            "objects_per_tag": dict(Counter(one.label for one in found)),
        }
        write_manifest(self.out, answer)
        Reporter(self.quiet).say(f"{len(found)} objects in {len(results.sizes)} photos. They are in {self.out}")
        return answer

    def _refuse_together(self) -> None:
        """What is written must not replace what is read, nor be in the way of the command that has made it."""
        out, source = (Path(os.path.realpath(place)) for place in (self.out, self.results))
        if source.is_relative_to(out) or (source.is_dir() and out.is_relative_to(source)):
            raise InputError(f"{self.out} and {self.results} lie one inside the other: choose another --out.")


def parse(words: Sequence[str]) -> Export:
    """The command from its words."""
    return read(Export, words)
