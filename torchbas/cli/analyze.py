"""``bas analyze``: the paper's figures from one's own runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..errors import InputError
from .common import Common, Data, alone, chosen, prepare

Files = tyro.conf.Positional[tuple[Path, ...]]
FIGURES = {
    "sweep": ("sweep.csv", "statistics.png", "statistics.csv", "photo.png", "photo.csv"),
    "iou": ("iou.png", "iou.csv"),
    "thresholds": ("thresholds.png", "thresholds.csv"),
    "size": ("size.png", "size.csv", "size_bins.csv"),
    "terms": ("terms.png", "terms.csv"),
    "seeds": ("seeds.png", "seeds.csv"),
    "masks": ("masks.png", "masks.csv"),
    "cuts": ("cuts.png", "cuts.csv", "process.png", "process.csv"),
    "weights": ("weights.png", "weights.csv"),
}
"""What each writes into its folder."""


@dataclass
class Analysis(Common):
    """What all figures share."""

    out: Path = field(kw_only=True)
    """Folder to write into."""
    overwrite: bool = False
    """Replace an earlier analysis in --out."""

    @contextmanager
    def writing(self, sources: Sequence[Path], photos: Path | None = None) -> Iterator[dict[str, Any]]:
        """Prepare the folder; the block draws and leaves its ``files`` in the answer; then write ``run.json``."""
        from ..formats import write_manifest
        from ..formats.files import refusal
        from .progress import Reporter

        figure = type(self).__name__.lower()
        if not sources:
            raise InputError(f"bas analyze {figure} needs something to read; bas analyze {figure} --help says what.")
        if self.out.resolve() in {(place.parent if place.is_file() else place).resolve() for place in sources}:
            raise InputError(f"{self.out} is where the input lies: choose another --out.")
        prepare(self.out, photos, FIGURES[figure], overwrite=self.overwrite)
        answer: dict[str, Any] = {"command": f"analyze {figure}", "words": chosen(self)}
        try:
            yield answer
        except OSError as error:
            raise refusal(self.out, error) from error
        write_manifest(self.out, answer)
        shown = next(file for file in answer["files"] if file.suffix == ".png")
        Reporter(self.quiet).say(f"{len(answer['files'])} files in {self.out}. Next: open {shown}")


@dataclass
class Sweep(Analysis):
    """What a trained classifier says while the true mask shrinks and grows (Sec. 3.5; Figs. 1, 6 and 7).

    The true mask, or the filled true box, is eroded and dilated by squares of 5n x 5n pixels. The split test is looked
    at where there is one.
    """

    data: Data = field(kw_only=True)
    model: str = field(kw_only=True)
    """Folder of a run, Hub repository user/name, or the authors' .pth.tar."""
    reach: int = 20
    """n goes from -REACH to REACH."""
    every: int = 1
    """Look at every EVERY-th photo."""
    photo: str = ""
    """Name of the photo to draw by itself; the first one classified right when not given."""

    def run(self) -> dict[str, Any]:
        """Load, look at every photo under every mask, draw."""
        from .. import analysis, api, data
        from .job import Job
        from .progress import Reporter

        if self.reach < 1 or self.every < 1:
            raise InputError("--reach and --every must be at least 1.")
        alone("analyze")
        reporter, compute = Reporter(self.quiet), api.Compute(self.device, self.workers)
        collection = data.read(self.data)
        held_out = "test" if any(photo.split == "test" for photo in collection.photos) else "val"
        collection = collection.only(held_out)
        with self.writing((self.data, Path(self.model)), self.data) as answer:
            localizer = api.load(self.model)
            localizer.model.to(compute.place())
            some = replace(collection, photos=collection.photos[:: self.every])
            checked = Job(self.out, reporter, compute).check(some)
            with reporter.stage("sweeping masks") as stage:
                curves = analysis.sweep(localizer, checked, reach=self.reach, workers=self.workers, progress=stage.each)
                answer["files"] = analysis.draw_sweep(curves, self.out, example=self.photo)
            answer["problems"] = checked.problems
        return answer


@dataclass
class Tables(Analysis):
    """What the figures of IoU share."""

    delta: float = 0.5
    """IoU from which on a box is correct."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.delta < 1:
            raise InputError(f"--delta {self.delta:g} is no IoU that a box can beat: give 0 to 0.99.")


@dataclass
class Iou(Tables):
    """How well the correct boxes fit, per method, with medians (Fig. 13)."""

    files: Files = field(kw_only=True)
    """images.csv of bas eval --out, or the folders that hold one."""

    def run(self) -> dict[str, Any]:
        """Read and draw."""
        from ..analysis import draw_ious

        with self.writing(self.files) as answer:
            answer["files"] = draw_ious(self.files, self.out, delta=self.delta)
        return answer


@dataclass
class Thresholds(Analysis):
    """Score against threshold, per method (Fig. 15 right)."""

    files: Files = field(kw_only=True)
    """curve.csv of bas eval --out, or the folders that hold one."""

    def run(self) -> dict[str, Any]:
        """Read and draw."""
        from ..analysis import draw_thresholds

        with self.writing(self.files) as answer:
            answer["files"] = draw_thresholds(self.files, self.out)
        return answer


@dataclass
class Size(Tables):
    """IoU against the size of the object, per method, and the accuracy of every size (Fig. 21)."""

    files: Files = field(kw_only=True)
    """images.csv of bas eval --out, or the folders that hold one."""

    def run(self) -> dict[str, Any]:
        """Read and draw."""
        from ..analysis import draw_sizes

        with self.writing(self.files) as answer:
            answer["files"] = draw_sizes(self.files, self.out, delta=self.delta)
        return answer


@dataclass
class Terms(Analysis):
    """The terms of the objective while training, run beside run (Fig. 12a)."""

    runs: Files = field(kw_only=True)
    """Folders of runs."""
    terms: tuple[str, ...] = ("suppress",)
    """Columns of log.csv: suppress, area, guide, classify, total."""

    def run(self) -> dict[str, Any]:
        """Read and draw."""
        from ..analysis import draw_terms

        with self.writing(self.runs) as answer:
            answer["files"] = draw_terms(self.runs, self.out, terms=self.terms)
        return answer


@dataclass
class Pictures(Analysis):
    """What the figures of photos share."""

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


@dataclass
class Seeds(Pictures):
    """Seeds of several methods beside photo and truth (Figs. 14, 17 and 20)."""

    def run(self) -> dict[str, Any]:
        """Read and draw."""
        from .. import data
        from ..analysis import draw_seeds

        with self.writing(self.folders, self.data) as answer:
            collection = data.read(self.data)
            answer["files"] = draw_seeds(collection, self.folders, self.out, photos=self.photos, count=self.count)
        return answer


@dataclass
class Masks(Pictures):
    """Label maps of several methods beside photo and truth (Figs. 16 and 19)."""

    def run(self) -> dict[str, Any]:
        """Read and draw."""
        from .. import data
        from ..analysis import draw_masks

        with self.writing(self.folders, self.data) as answer:
            collection = data.read(self.data)
            answer["files"] = draw_masks(collection, self.folders, self.out, photos=self.photos, count=self.count)
        return answer


@dataclass
class Cuts(Pictures):
    """IoU, and L_bas + L_ac, against the threshold at which seeds are cut; and one photo cut at several (Fig. 22)."""

    model: str = field(kw_only=True)
    """Folder of a run of BAS, whose losses judge."""
    count: int = 50
    """How many photos count, when they are not named; the first one is drawn."""

    def run(self) -> dict[str, Any]:
        """Load, cut every map at every threshold, draw."""
        from .. import analysis, api, data
        from .progress import Reporter

        alone("analyze")
        compute, reporter = api.Compute(self.device, self.workers), Reporter(self.quiet)
        with self.writing((*self.folders, Path(self.model)), self.data) as answer:
            localizer = api.load(self.model)
            localizer.model.to(compute.place())
            chosen = {"photos": self.photos, "count": self.count}
            with reporter.stage("cutting") as stage:
                found = analysis.cut(localizer, data.read(self.data), self.folders, **chosen)
                followed = stage.each(found, len(self.photos) or self.count)
                answer["files"] = analysis.draw_cuts(followed, self.out)
        return answer


@dataclass
class Weights(Analysis):
    """mIoU of the seeds against alpha, beta and lambda, one at a time (Fig. 18)."""

    folders: Files = field(kw_only=True)
    """Folders of bas segment, each of one model that bas train made."""

    def run(self) -> dict[str, Any]:
        """Read and draw."""
        from ..analysis import draw_weights

        with self.writing(self.folders) as answer:
            answer["files"] = draw_weights(self.folders, self.out)
        return answer


Figure = (
    Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Iou, tyro.conf.subcommand("iou")]
    | Annotated[Thresholds, tyro.conf.subcommand("thresholds")]
    | Annotated[Size, tyro.conf.subcommand("size")]
    | Annotated[Terms, tyro.conf.subcommand("terms")]
    | Annotated[Seeds, tyro.conf.subcommand("seeds")]
    | Annotated[Masks, tyro.conf.subcommand("masks")]
    | Annotated[Cuts, tyro.conf.subcommand("cuts")]
    | Annotated[Weights, tyro.conf.subcommand("weights")]
)


def parse(words: Sequence[str]) -> Analysis:
    """The figure from the words."""
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
    return tyro.cli(Figure, prog="bas analyze", args=words, config=config)  # pyright: ignore[reportCallIssue, reportArgumentType]
