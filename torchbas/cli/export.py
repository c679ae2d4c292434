"""``bas export``: a model for other programs, or the results of an earlier command in other formats."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..bounds import Bound
from ..cards import CARD, run_folder
from ..config import Side
from ..deploy import MODEL_FORMATS
from ..errors import InputError
from ..export import FORMATS, VAL_SPLIT, check_formats, outputs
from ..io import MANIFEST, write_manifest
from .common import Common, chosen
from .common import parse as read
from .folder import OutputFolder

ALL = {name: f"{one.about} (of a model)" for name, one in MODEL_FORMATS.items()}
ALL |= {name: one.about for name, one in FORMATS.items()}
Format = Annotated[str, tyro.conf.arg(constructor_factory=lambda: tyro.extras.literal_type_from_choices(ALL))]
Formats = Annotated[
    tuple[Format, ...],
    tyro.conf.arg(help="What to write:\n" + "\n".join(f"{name}: {about}" for name, about in ALL.items())),
]


@dataclass
class Export(Common):
    """A model as a graph or for the Hub, or results of bas label, predict or segment for other tools.

    The format says which of the two. How to use what is written: docs/deploy.md, docs/export.md.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="M|RESULTS")] = field(kw_only=True)
    """A model as for bas predict; or the folder of a command, written with the format coco, or a COCO file."""
    format: Formats = field(kw_only=True)
    out: Path = field(kw_only=True)
    """Folder to write into."""
    imgsz: Side | None = None
    """onnx, openvino: side of the square that photos are squeezed to; the model's own when not given."""
    dynamic: bool = False
    """onnx, openvino: free sides, which localizing at twice the size needs; the number of photos always is free."""
    half: bool = False
    """onnx, openvino: weights in half precision."""
    opset: Annotated[int, Bound(18, 20)] = 18
    """onnx, openvino: version of ONNX's operators."""
    push: str | None = None
    """hub: repository user/name to push to; without it nothing leaves this machine."""
    photos: Path | None = None
    """Folder that the photos' names are relative to, where run.json does not lead to it."""
    val_split: Annotated[float, Bound(0, 0.9)] = VAL_SPLIT
    """Share of the photos in the split val of yolo, by a hash of their names."""
    overwrite: bool = False
    """Replace an earlier run in --out."""

    def run(self) -> dict[str, Any]:
        """Read, check, write."""
        self._refuse_together()
        if not self.format:
            raise InputError(f"--format names no format: give one or more of {', '.join(ALL)}.")
        of_model = [name for name in self.format if name in MODEL_FORMATS]
        if of_model and len(of_model) < len(self.format):
            other = next(name for name in self.format if name in FORMATS)
            raise InputError(
                f"{of_model[0]} is a format of a model, {other} one of results: run bas export once for each."
            )
        return self._export_model() if of_model else self._export_results()

    def _export_model(self) -> dict[str, Any]:
        """Write a model."""
        place = Path(self.source).expanduser()
        if place.is_dir() and not (run_folder(place) / CARD).is_file():
            raise InputError(
                f"{place} holds no model, of which {self.format[0]} is a format: give the folder of bas label or train."
            )
        if self.push and "hub" not in self.format:
            raise InputError("--push sends what --format hub writes: add it.")
        from .. import api
        from ..deploy.hub import check_name
        from ..deploy.onnx import GraphSettings, require
        from .progress import Reporter

        require(self.format)
        if self.push:
            check_name(self.push)
        self.folder = OutputFolder(self.out, overwrite=self.overwrite)
        localizer = api.load(self.source)
        self.folder.begin(MANIFEST, *outputs(), *(name for one in MODEL_FORMATS.values() for name in one.outputs))
        say = Reporter(self.quiet).say
        settings = GraphSettings(self.imgsz, self.dynamic, self.half, self.opset)
        left_out = api.export_model(localizer, self.out, self.format, settings, run=self.source)
        answer = {"command": "export", "words": chosen(self), "classes": len(localizer.classes), "left_out": left_out}
        write_manifest(self.out, answer)
        for sentence in left_out:
            say(f"  {sentence}")
        say(f"The model is in {self.out}. How to use it: docs/deploy.md")
        if self.push:
            answer["pushed"] = localizer.push_to_hub(self.push, self.source)
            write_manifest(self.out, answer)
            say(f"Pushed: {answer['pushed']}")
        return answer

    def _export_results(self) -> dict[str, Any]:
        """Write results."""
        flags = {"--imgsz": self.imgsz, "--dynamic": self.dynamic, "--half": self.half, "--push": self.push}
        if given := [flag for flag, value in flags.items() if value]:
            raise InputError(f"{given[0]} is of models, but {self.format[0]} is a format of results: leave it out.")
        from ..data.results import folder_of, photo_folder, read_results, require_photos
        from ..export.results import save
        from .progress import Reporter

        if self.photos is not None and not self.photos.is_dir():
            raise InputError(
                f"--photos {self.photos} is no folder: give the one that the photos' names are relative to."
            )
        results = replace(read_results(self.source, self.photos), val_split=self.val_split)
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
        out, source = (Path(os.path.realpath(place)) for place in (self.out, self.source))
        if source.is_relative_to(out) or (source.is_dir() and out.is_relative_to(source)):
            raise InputError(f"{self.out} and {self.source} lie one inside the other: choose another --out.")


def parse(words: Sequence[str]) -> Export:
    """The command from its words."""
    return read(Export, words)
