"""``bas predict``: localize with a trained model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..bounds import NonNegative, Positive, Share
from ..config import LEAST_CERTAINTY, Refiner, Side
from ..errors import InputError
from ..export import check_formats
from .common import Background, Common, Formats, Objects, alone, chosen
from .common import parse as read
from .folder import OutputFolder
from .shards import READING, run_shards


@dataclass
class Predict(Common):
    """Boxes and masks in photos by a trained model, BAS or any other method.

    DATA is a photo, a folder of photos, or tagged photos as for bas label. With --shard also WebDataset tars, a text
    file with a path or address a line, or an address such as s3://bucket/photos/.
    """

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")] = field(kw_only=True)
    model: str = field(kw_only=True)
    """Folder of a run, Hub repository user/name, or the authors' .pth.tar."""
    out: str = field(kw_only=True)
    """Folder to write into."""
    shard: str | None = None
    """Number of a part of the photos, and of how many, as 3/40 or 0-19/40: written as Parquet files, for any number of
    processes in the same --out; a killed one is started again (docs/scale.md)."""
    engine: Literal["process", "ray"] = "process"
    """With --shard: process does one after the other, ray several at once, on this machine or a cluster."""
    ray_address: str | None = None
    """Of a Ray cluster; without it Ray runs on this machine alone."""
    processes: Positive[int] | None = None
    """How many processes Ray uses; one for each GPU, or else CPU, when not given."""
    tags: tuple[str, ...] = ("predicted",)
    """predicted (the most probable), known (the photos' own tags), or names of tags to localize in every photo."""
    background: Background = ()
    """With --tags known, tags that were background when the model was trained."""
    objects: Objects = "largest"
    """The largest component of each heatmap, or all."""
    threshold: Share | Literal["auto", "image_specific"] | None = None
    """Heatmap value above which a pixel is foreground; auto and image_specific choose per image; the model's own when
    not given."""
    top_k: NonNegative[int] | None = None
    """k: how many classes' maps to average (0: all); the model's own when not given."""
    input_size: Side | None = None
    """Both sides that photos are squeezed to, such as twice those of the training; the model's own when not given."""
    refine: tuple[Refiner, ...] = ()
    """Stages that draw masks and boxes to the photo's edges, one or more, in their order (docs/refine.md); the model's
    own when not given. shift: a finer map, of shifted photos. crf: a dense CRF. sam2: SAM 2's decoder."""
    refiner_weights: str = ""
    """Of sam2: a name on the Hugging Face Hub, or a folder; facebook/sam2.1-hiera-tiny when not given."""
    min_score: Share = LEAST_CERTAINTY
    """Lowest certainty where tags are predicted, so that photos of something else get no object; 0 keeps all. With a
    model of bas label, .05 leaves out some 5 to 10 % of the photos that are like those it was trained on."""
    format: Formats = ("coco", "voc", "gallery")
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """auto: bf16 where the hardware multiplies it faster, else fp32."""
    overwrite: bool = False
    """Replace an earlier run in --out."""

    def run(self) -> dict[str, Any]:
        """Load, check, localize, write."""
        from .. import api, data
        from ..refiners import stages
        from .job import OUTPUTS, Job
        from .progress import Reporter

        alone("predict")
        if self.shard is not None:
            return run_shards(self)
        if self.engine == "ray":
            raise InputError("--engine ray does shards: add --shard 0-39/40, or another number.")
        known, source, out = self.tags == ("known",), Path(self.data), Path(self.out)
        dataset = data.read(source).with_background(*self.background) if known else data.read_untagged(source)
        self.folder = OutputFolder(out, source, overwrite=self.overwrite)
        localizer = api.load(self.model)
        check_formats(self.format, localizer.classes)
        localizer = localizer.with_inference(**{name: getattr(self, name) for name in READING})
        localizer = localizer.with_refine(self.refine or None, self.refiner_weights)
        stages(localizer.inference)  # whose weights may be missing
        job = Job(out, Reporter(self.quiet), api.Compute(self.device, self.workers, self.precision))
        checked = job.check(dataset)
        tags = self.tags[0] if self.tags in (("known",), ("predicted",)) else self.tags
        found = job.localize(checked, localizer, tags, self.objects, self.min_score if tags == "predicted" else 0.0)
        words = {"command": "predict", "words": chosen(self)}
        reports = job.report(found, checked, localizer) if known else []
        self.folder.begin(*OUTPUTS)
        answer = job.write(found, checked, localizer, self.format, words, reports)
        if tags == "predicted" and (none := len(checked.samples) - len({one.name for one in found})):
            job.reporter.say(
                f"none of the tags in {none} photos (no object with a certainty of {self.min_score:g} or more)"
            )
        job.conclude(
            answer, self.format, f"{len(found)} objects in {answer['photos']} photos. {job.pointer(self.format)}"
        )
        return answer


def parse(words: Sequence[str]) -> Predict:
    """The command from its words."""
    return read(Predict, words)
