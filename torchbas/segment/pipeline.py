"""From tags to a segmenter: seed, refine, student. Each stage is a folder that is kept, continued and never mixed."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from ..config import Segmentation, Training
from ..engine import Hooks
from ..errors import InputError
from ..formats.files import replacing
from ..formats.seeds import write_seed
from ..formats.voc import write_labels
from ..types import Collection, Photo
from .irn import edges_of, load_irn, train_irn
from .refine import Certain, Cut, LabelMaps, Seeds, Walk, places
from .score import Report, image_threshold_score, mask_score, seed_score
from .seed import make_seeds
from .segmenter import Initialisation, Student
from .sources import Method, Ready
from .stage import Bar, Silent, Stage, Work, for_each, identity, in_flight
from .student import TRAINING, predict, train_student
from .threshold import seed_thresholds

Until = Literal["seed", "refine", "student"]
Parts = tuple[object, ...]
Follow = Callable[[str], AbstractContextManager[Bar]]


@dataclass(frozen=True)
class Start:
    """Pretrained weights of IRN and the student."""

    irn: bool | Path = True
    """True fetches ImageNet weights by name, a path reads a local file, False starts from nothing."""
    student: bool | Path = True
    """The same for the student."""
    initialisation: Initialisation = "imagenet"
    """What the student's weights have learned from; it stands in every result."""


@dataclass(frozen=True)
class Machine:
    """Where and how to compute, and who is told."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N, for training."""
    place: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """For everything else."""
    workers: int = 0
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext
    batch_size: int = 8
    follow: Follow = lambda _: nullcontext(Silent())
    """A progress bar for a piece of work, by its name."""


@dataclass
class Pipeline:
    """One run of ``bas segment``.

    Args:
        collection: photos with tags; the splits ``train`` and none are learned from, ``val`` and ``test`` predicted.
        sources: networks and folders whose seeds are added.
        foreground: a class-agnostic network that weakens them.

    Raises:
        InputError: anything that is missing, or was made with other settings.
        Interrupted: stopped by the user; the same call goes on.
    """

    collection: Collection
    out: Path
    sources: Sequence[Method | Ready]
    settings: Segmentation = field(default_factory=Segmentation)
    foreground: Method | None = None
    start: Start = field(default_factory=Start)
    machine: Machine = field(default_factory=Machine)
    seed: int = 0
    overwrite: bool = False

    def run(self, until: Until = "student") -> dict[str, Report | None]:
        """Every stage up to ``until``; how good each one's result is where there is truth, by name."""
        if not self.sources:
            raise InputError("there is nothing to make seeds with: give a model, or a folder of seeds.")
        scores = {"seed": self.make_seeds()}
        if self.settings.cut == "image":
            scores["image_threshold"] = self.choose_thresholds()
        if until != "seed":
            scores["masks"] = self.refine()
        if until == "student":
            self.train_student()
            held_out = {photo.split for photo in self.collection.photos} & {"val", "test"}
            scores |= {f"student_{split}": self.predict(split) for split in sorted(held_out, reverse=True)}
        return scores

    def make_seeds(self) -> Report | None:
        """Maps of every training photo by every source, each in its folder, and how good they are together."""
        for source in self._all_sources:
            make = partial(self._adopt, source) if isinstance(source, Ready) else partial(self._look, source)
            self._once(f"seeds/{source.name}", self._part_of(source), make)
        return self._once("scores", self._seeding, lambda _: seed_score(self.photos, self.seeds))

    def choose_thresholds(self) -> Report | None:
        """For each photo and tag the threshold that the first BAS network prefers (Table 15)."""
        judges = [source for source in self.sources if isinstance(source, Method) and source.judge]
        if not judges:
            raise InputError("--cut image needs a BAS model that judges thresholds: give one, or a number.")
        return self._once("thresholds", (*self._seeding, judges[0].identity), lambda _: self._choose(judges[0]))

    def refine(self) -> Report | None:
        """A pseudo mask for every training photo."""
        if self.settings.refine == "irn":
            self._once("certain", self._sure, lambda _: self._find_certain())
            self._once("irn", self._bounding, self._learn_boundaries)
        return self._once("masks", self._refining, lambda _: self._write_masks())

    def train_student(self) -> None:
        """A segmenter that learns from the masks, in the folder ``student``."""
        self._once("student", self._learning, self._learn)

    def predict(self, split: str) -> Report | None:
        """What the student says of photos that nobody has learned from; it needs no tags."""
        photos = tuple(photo for photo in self.collection.photos if photo.split == split)
        strange = replace(self.collection, photos=photos)
        labels = LabelMaps(self.out / "predictions" / split, places(photos, ".png"))
        parts = (*self._learning, self.settings.student_crf)
        return self._once(f"predictions/{split}", parts, lambda _: self._predict(strange, labels), strange)

    @property
    def photos(self) -> Collection:
        """What is learned from."""
        return self.collection.only("train", "")

    @property
    def seeds(self) -> Seeds:
        """The sources' seeds as one."""
        folders = tuple(self.out / "seeds" / source.name for source in self.sources)
        weaker = self.out / "seeds" / self.foreground.name if self.foreground else None
        return Seeds(folders, places(self.photos.photos, ".npz"), weaker, self.settings.strategy)

    @property
    def masks(self) -> LabelMaps:
        """The pseudo masks."""
        return LabelMaps(self.out / "masks", places(self.photos.photos, ".png"))

    def _look(self, method: Method, folder: Path) -> None:
        where = places(self.photos.photos, ".npz")
        missing = tuple(photo for photo in self.photos.photos if not (folder / where[photo.name]).is_file())
        todo = replace(self.photos, photos=missing)
        found = make_seeds(
            method.network.seed_maps, todo, method.normalisation, scales=self.settings.scales, **self._inference
        )
        for photo, seed in self._follow(f"seeds of {method.name}", found, len(missing)):
            write_seed(folder / where[photo.name], seed)

    def _adopt(self, ready: Ready, folder: Path) -> None:
        where = places(self.photos.photos, ".npz")
        for photo in self._follow(f"reading {ready.name}", self.photos.photos):
            write_seed(folder / where[photo.name], ready.read(photo, where[photo.name], self.photos.classes))

    def _choose(self, judge: Method) -> Report | None:
        found = seed_thresholds(judge.judge, self.photos, self.seeds, judge.normalisation, **self._inference)  # pyright: ignore[reportArgumentType]
        chosen = {photo.name: own for photo, own in self._follow("choosing thresholds", found)}
        with replacing(self._thresholds) as partial:
            partial.write_text(json.dumps(chosen), encoding="utf-8")
        return image_threshold_score(self.photos, self.seeds, chosen)

    def _find_certain(self) -> None:
        self._write_missing(Certain(self.seeds, self._certain, self.settings), self._certain, "finding what is certain")

    def _learn_boundaries(self, folder: Path) -> None:
        with self.machine.follow("learning boundaries") as bar:
            train_irn(
                [(photo.path, self._certain.path(photo)) for photo in self.photos.photos],
                irn_training(self.settings, self.seed),
                folder,
                weights=self.start.irn,
                device=self.machine.device,
                workers=self.machine.workers,
                resume=True,
                made_of=self._sure,
                hooks=lambda _: Hooks(on_step=bar.step),
            )

    def _write_masks(self) -> Report | None:
        settings = self.settings
        if settings.refine == "irn":
            self._walk()
        else:
            own = json.loads(self._thresholds.read_text("utf-8")) if settings.cut == "image" else None
            self._write_missing(Cut(self.seeds, self.masks, settings, own), self.masks, "cutting masks")
        return mask_score(self.photos, self.masks)

    def _walk(self) -> None:
        net = load_irn(self.out / "irn").to(self.machine.place)
        missing = self._missing(self.masks)
        grids = edges_of(
            net,
            [photo.path for photo in missing],
            batch_size=self.machine.batch_size,
            workers=self.machine.workers,
            forward=self.machine.precision,
        )
        walk, threads = Walk(self.seeds, self.masks, self.settings), max(1, self.machine.workers)
        with ThreadPoolExecutor(threads) as pool:  # the walk is compiled and lets other threads run
            walked = in_flight(pool, walk, zip(missing, grids, strict=True), 4 * threads)
            for _ in self._follow("walking", walked, len(missing)):
                pass

    def _learn(self, folder: Path) -> None:
        with self.machine.follow("training the student") as bar:
            train_student(
                [(photo.path, self.masks.path(photo)) for photo in self.photos.photos],
                self.collection.classes,
                student_training(self.settings, self.seed),
                folder,
                initialisation=self.start.initialisation,
                network=self.settings.student,
                weights=self.start.student,
                device=self.machine.device,
                workers=self.machine.workers,
                resume=True,
                hooks=lambda _: Hooks(on_step=bar.step),
            )

    def _predict(self, photos: Collection, labels: LabelMaps) -> Report | None:
        student = Student.load(self.out / "student").to(self.machine.place)
        todo = {photo.path: photo for photo in photos.photos if not labels.path(photo).is_file()}
        found = predict(
            student,
            list(todo),
            crf=self.settings.student_crf,
            workers=self.machine.workers,
            autocast=self.machine.precision,
        )
        for one in self._follow("labelling with the student", found, len(todo)):
            write_labels(labels.path(todo[one.path]), one.labels)
        return mask_score(photos, labels)

    @property
    def _certain(self) -> LabelMaps:
        return LabelMaps(self.out / "certain", self.masks.places)

    @property
    def _thresholds(self) -> Path:
        return self.out / "thresholds" / "thresholds.json"

    def _missing(self, maps: LabelMaps) -> list[Photo]:
        return [photo for photo in self.photos.photos if not maps.path(photo).is_file()]

    def _write_missing(self, work: Work, maps: LabelMaps, what: str) -> None:
        with self.machine.follow(what) as bar:
            for_each(work, self._missing(maps), self.machine.workers, bar)

    @property
    def _all_sources(self) -> list[Method | Ready]:
        return [*self.sources, *([self.foreground] if self.foreground else [])]

    @property
    def _inference(self) -> dict[str, Any]:
        here = self.machine
        return {
            "batch_size": here.batch_size,
            "device": here.place,
            "workers": here.workers,
            "precision": here.precision,
        }

    def _part_of(self, source: Method | Ready) -> Parts:
        return (source.identity,) if isinstance(source, Ready) else (source.identity, self.settings.scales)

    @property
    def _seeding(self) -> Parts:
        parts = tuple(part for source in self._all_sources for part in self._part_of(source))
        return (*parts, self.settings.strategy) if self.foreground else parts

    @property
    def _sure(self) -> Parts:
        return (*self._seeding, self.settings.certain, self.settings.doubtful)

    @property
    def _bounding(self) -> Parts:
        return (*self._sure, irn_training(self.settings, self.seed), self.start.irn)

    @property
    def _refining(self) -> Parts:
        settings = self.settings
        if settings.refine == "irn":
            return (*self._bounding, settings.power, settings.ground)
        return (*self._seeding, settings.refine, settings.cut)

    @property
    def _learning(self) -> Parts:
        start = self.start.student, self.start.initialisation
        return (*self._refining, self.settings.student, student_training(self.settings, self.seed), *start)

    def _follow(self, what: str, items: Iterable[Any], total: int | None = None) -> Iterator[Any]:
        with self.machine.follow(what) as bar:
            yield from bar.each(items, len(self.photos.photos) if total is None else total)

    def _once(
        self, name: str, parts: Parts, make: Callable[[Path], Report | None], photos: Collection | None = None
    ) -> Report | None:
        """Do a stage, unless it is done."""
        stage = Stage(self.out / name, identity(photos or self.photos, name, *parts))
        if not stage.begin(overwrite=self.overwrite):
            stage.finish(make(stage.folder))
        return stage.result


def irn_training(settings: Segmentation, seed: int) -> Training:
    """IRN's optimiser and schedule, and what the settings say."""
    return Training(
        epochs=settings.irn_epochs,
        steps=settings.irn_steps,
        batch_size=settings.irn_batch_size,
        lr=settings.irn_lr,
        bias_factor=1.0,
        momentum=0.0,  # IRN's optimiser takes its weight decay for a momentum, and so has next to none
        nesterov=False,
        weight_decay=1e-4,
        schedule="poly",
        resize=settings.irn_crop,
        crop=settings.irn_crop,
        seed=seed,
    )


def student_training(settings: Segmentation, seed: int) -> Training:
    """The student's optimiser and schedule, and what the settings say."""
    return replace(
        TRAINING,
        steps=settings.student_steps,
        batch_size=settings.student_batch_size,
        accumulate=1,
        lr=settings.student_lr,
        resize=settings.student_crop,
        crop=settings.student_crop,
        seed=seed,
    )
