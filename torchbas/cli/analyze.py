"""``bas analyze``: the paper's figures from one's own runs."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from ..errors import InputError
from .common import Common, Data, alone, chosen
from .folder import OutputFolder
from .help import spelled_out

Files = tyro.conf.Positional[tuple[Path, ...]]
FIGURES = {
    "sweep": ("sweep.csv", "statistics.png", "statistics.csv", "photo.png", "photo.csv"),
    "iou": ("iou.png", "iou.csv"),
    "thresholds": ("thresholds.png", "thresholds.csv"),
    "size": ("size.png", "size.csv", "size_bins.csv"),
    "terms": ("terms.png", "terms.csv"),
    "seeds": ("seeds.png", "seeds.csv"),
    "masks": ("masks.png", "masks.csv"),
    "image-thresholds": ("image_thresholds.png", "image_thresholds.csv", "process.png", "process.csv"),
    "weights": ("weights.png", "weights.csv"),
}
"""Output files of each figure."""


@dataclass
class Analysis(Common):
    """Flags of every figure."""

    figure: ClassVar[str]
    """A key of :data:`FIGURES`."""
    draws: ClassVar[str] = ""
    """The function of :mod:`torchbas.analysis` that reads and draws."""
    reads: ClassVar[str] = "files"
    """The flag of what it reads."""
    passes: ClassVar[tuple[str, ...]] = ()
    """Flags that it takes."""
    out: Path = field(kw_only=True)
    """Folder to write into."""
    overwrite: bool = False
    """Replace an earlier analysis in --out."""

    def run(self) -> dict[str, Any]:
        """Read and draw."""
        from .. import analysis

        sources = getattr(self, self.reads)
        with self.writing(sources) as (answer, place):
            flags = {name: getattr(self, name) for name in self.passes}
            answer["files"] = getattr(analysis, self.draws)(sources, place, **flags)
        return answer

    @contextmanager
    def writing(self, sources: Sequence[Path], data: Path | None = None) -> Iterator[tuple[dict[str, Any], Path]]:
        """Plan the folder; the block draws into a hidden one and puts its ``files`` into the answer.

        What was drawn takes the place of an earlier analysis when the block ends well; then ``run.json`` is written.
        """
        from ..io import MANIFEST, partial_of, write_error, write_manifest
        from .progress import Reporter

        figure = self.figure
        if not sources:
            raise InputError(f"bas analyze {figure} needs something to read; bas analyze {figure} --help says what.")
        if self.out.resolve() in {(place.parent if place.is_file() else place).resolve() for place in sources}:
            raise InputError(f"{self.out} is where the input lies: choose another --out.")
        self.folder = OutputFolder(self.out, data, overwrite=self.overwrite)
        answer: dict[str, Any] = {"command": f"analyze {figure}", "words": chosen(self)}
        self.folder.begin()
        drawn = partial_of(self.out / "figure")
        try:
            drawn.mkdir()
            yield answer, drawn
            for place in (self.out / name for name in (MANIFEST, *FIGURES[figure])):
                place.unlink(missing_ok=True)
            answer["files"] = [file.replace(self.out / file.name) for file in answer["files"]]
        except OSError as error:
            raise write_error(self.out, error) from error
        finally:
            shutil.rmtree(drawn, ignore_errors=True)
        write_manifest(self.out, answer)
        shown = next(file for file in answer["files"] if file.suffix == ".png")
        Reporter(self.quiet).say(f"{len(answer['files'])} files in {self.out}. Next: open {shown}")


@dataclass
class Sweep(Analysis):
    """Scores of a trained classifier under eroded and dilated ground-truth masks (Sec. 3.5; Figs. 1, 6 and 7).

    The mask, or the filled box, is eroded and dilated by squares of 5n x 5n pixels. Where there is a split test, its
    photos are used, else those of val.
    """

    figure = "sweep"
    data: Data = field(kw_only=True)
    model: str = field(kw_only=True)
    """Folder of a run, Hub repository user/name, or the authors' .pth.tar."""
    reach: int = 20
    """n goes from -REACH to REACH."""
    every: int = 1
    """Use every EVERY-th photo."""
    photo: str = ""
    """Name of the photo to draw by itself; the first one classified correctly when not given."""

    def run(self) -> dict[str, Any]:
        """Load, compute the scores of every photo under every mask, draw."""
        from .. import analysis, api, data
        from ..api.scores import held_out
        from .job import Job
        from .progress import Reporter

        if self.reach < 1 or self.every < 1:
            raise InputError("--reach and --every must be at least 1.")
        alone("analyze")
        reporter, compute = Reporter(self.quiet), api.Compute(self.device, self.workers)
        dataset = data.read(self.data)
        dataset = dataset.only(held_out(dataset))
        with self.writing((self.data, Path(self.model)), self.data) as (answer, place):
            localizer = api.load(self.model)
            localizer.model.to(compute.place())
            some = replace(dataset, samples=dataset.samples[:: self.every])
            checked = Job(self.out, reporter, compute).check(some)
            with reporter.stage("sweeping masks", "batches") as stage:
                curves = analysis.sweep_masks(
                    localizer, checked, reach=self.reach, workers=self.workers, progress=stage.each
                )
                answer["files"] = analysis.draw_sweep(curves, place, example=self.photo)
            answer["problems"] = checked.problems
        return answer


@dataclass
class Tables(Analysis):
    """Flags of the figures of IoU."""

    delta: float = 0.5
    """Least IoU of a correct box."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.delta < 1:
            raise InputError(f"--delta {self.delta:g} is no IoU that a box can beat: give 0 to 0.99.")


@dataclass
class Iou(Tables):
    """Distribution of the IoU of correct boxes, per method, with medians (Fig. 13)."""

    figure = "iou"
    draws = "draw_ious"
    passes = ("delta",)
    files: Files = field(kw_only=True)
    """images.csv of bas eval --out, or the folders that hold one."""


@dataclass
class Thresholds(Analysis):
    """Score against threshold, per method (Fig. 15 right)."""

    figure = "thresholds"
    draws = "draw_thresholds"
    files: Files = field(kw_only=True)
    """curve.csv of bas eval --out, or the folders that hold one."""


@dataclass
class Size(Tables):
    """IoU against the size of the object, per method, and the accuracy of every size (Fig. 21)."""

    figure = "size"
    draws = "draw_sizes"
    passes = ("delta",)
    files: Files = field(kw_only=True)
    """images.csv of bas eval --out, or the folders that hold one."""


@dataclass
class Terms(Analysis):
    """Terms of the objective while training, per run (Fig. 12a)."""

    figure = "terms"
    draws = "draw_terms"
    reads = "runs"
    passes = ("terms",)
    runs: Files = field(kw_only=True)
    """Folders of runs."""
    terms: tuple[str, ...] = ("suppress",)
    """Columns of log.csv: suppress, area, guide, classify, total."""


@dataclass
class Pictures(Analysis):
    """Flags of the figures of photos."""

    data: Data = field(kw_only=True)
    folders: Files = field(kw_only=True)
    """Of bas segment: of seeds (seeds/NAME), or of label maps for masks (masks, predictions/val)."""
    photos: tuple[str, ...] = ()
    """Names of the photos to draw; evenly spaced ones when not given."""
    count: int = 6
    """How many, when they are not named."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count < 1:
            raise InputError("--count must be at least 1.")

    def run(self) -> dict[str, Any]:
        """Read and draw."""
        from .. import analysis, data

        with self.writing(self.folders, self.data) as (answer, place):
            draw, dataset = getattr(analysis, self.draws), data.read(self.data)
            answer["files"] = draw(dataset, self.folders, place, samples=self.photos, count=self.count)
        return answer


@dataclass
class Seeds(Pictures):
    """Seeds of several methods beside photo and ground truth (Figs. 14, 17 and 20)."""

    figure = "seeds"
    draws = "draw_seeds"


@dataclass
class Masks(Pictures):
    """Label maps of several methods beside photo and ground truth (Figs. 16 and 19)."""

    figure = "masks"
    draws = "draw_masks"


@dataclass
class ImageThresholds(Pictures):
    """IoU, and L_bas + L_ac, of seeds against the threshold; and one photo binarized at several (Fig. 22)."""

    figure = "image-thresholds"
    model: str = field(kw_only=True)
    """Folder of a run, whose classifier computes L_bas."""
    count: int = 50
    """How many photos to average over, when they are not named; the first one is drawn."""

    def run(self) -> dict[str, Any]:
        """Load, binarize every map at every threshold, draw."""
        from .. import analysis, api, data
        from .progress import Reporter

        alone("analyze")
        compute, reporter = api.Compute(self.device, self.workers), Reporter(self.quiet)
        with self.writing((*self.folders, Path(self.model)), self.data) as (answer, place):
            localizer = api.load(self.model)
            localizer.model.to(compute.place())
            with reporter.stage("binarizing") as stage:
                dataset = data.read(self.data)
                curves = analysis.threshold_curves(
                    localizer, dataset, self.folders, samples=self.photos, count=self.count
                )
                followed = stage.each(curves, len(self.photos) or self.count)
                answer["files"] = analysis.draw_image_thresholds(followed, place)
        return answer


@dataclass
class Weights(Analysis):
    """mIoU of the seeds against alpha, beta and lambda, one at a time (Fig. 18)."""

    figure = "weights"
    draws = "draw_weights"
    reads = "folders"
    folders: Files = field(kw_only=True)
    """Folders of bas segment, each of one model that bas train made."""


Figure = (
    Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Iou, tyro.conf.subcommand("iou")]
    | Annotated[Thresholds, tyro.conf.subcommand("thresholds")]
    | Annotated[Size, tyro.conf.subcommand("size")]
    | Annotated[Terms, tyro.conf.subcommand("terms")]
    | Annotated[Seeds, tyro.conf.subcommand("seeds")]
    | Annotated[Masks, tyro.conf.subcommand("masks")]
    | Annotated[ImageThresholds, tyro.conf.subcommand("image-thresholds")]
    | Annotated[Weights, tyro.conf.subcommand("weights")]
)


def parse(words: Sequence[str]) -> Analysis:
    """The figure from the words."""
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
    return tyro.cli(Figure, prog="bas analyze", args=spelled_out(words), config=config)  # pyright: ignore[reportCallIssue, reportArgumentType]
