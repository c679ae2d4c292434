"""From tags to a segmenter: seed, refine, student. Each stage is a folder that is kept, continued and never mixed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from ..config import Segmentation
from ..data import read_mask
from ..data.voctags import VOC
from ..engine import Hooks
from ..errors import InputError
from ..formats.seeds import write_seed
from ..formats.voc import write_labels, write_submission
from ..model.weights import normalisation
from ..types import Collection, Photo
from .instances import Separate
from .irn import BACKBONE, Grids, IRNet, edges_of, load_irn, train_irn
from .lineage import Lineage, Parts
from .refine import Certain, Cut, LabelMaps, Seeds, Thresholds, Walk, places
from .score import Report, check_truth, image_threshold_score, mask_score, seed_score
from .seed import make_seeds
from .segmenter import Student
from .setup import Machine, Start
from .sources import Method, Ready
from .stage import Stage, Work, for_each, identity, in_flight
from .student import predict, train_student
from .threshold import seed_thresholds

Until = Literal["seed", "refine", "student"]
Objects = Literal["semantic", "instances"]


@dataclass
class Pipeline:
    """One run of ``bas segment``.

    Args:
        collection: photos with tags; the splits ``train`` and none are learned from, ``val`` and ``test`` predicted.
        sources: networks and folders whose seeds are added.
        foreground: a class-agnostic network that weakens them.
        judge: the BAS network that judges thresholds, the first among the sources if not given.
        objects: what to refine to: a label map each photo, or the masks of single objects as well.

    Raises:
        InputError: anything that is missing, or was made with other settings.
        Interrupted: stopped by the user; the same call goes on.
    """

    collection: Collection
    out: Path
    sources: Sequence[Method | Ready]
    settings: Segmentation = field(default_factory=Segmentation)
    foreground: Method | None = None
    judge: Method | None = None
    start: Start = field(default_factory=Start)
    machine: Machine = field(default_factory=Machine)
    seed: int = 0
    objects: Objects = "semantic"
    overwrite: bool = False

    def run(self, until: Until = "student") -> dict[str, Report | None]:
        """Every stage up to ``until``; how good each one's result is where there is truth, by name."""
        self._check(until)
        scores = {"seed": self.make_seeds()}
        if self.settings.cut == "image":
            scores["image_threshold"] = self.choose_thresholds()
        if until != "seed":
            scores["masks"] = self.refine()
        if until != "seed" and self.objects == "instances":
            self.find_instances()
        if until == "student":
            self.train_student()
            scores |= {f"student_{split}": self.predict(split) for split in self.held_out}
        return scores

    def make_seeds(self) -> Report | None:
        """Maps of every training photo by every source, each in its folder, and how good they are together."""
        for source in self._all_sources:
            make = partial(self._adopt, source) if isinstance(source, Ready) else partial(self._look, source)
            self._once(f"seeds/{source.name}", self._from.source(source), make)
        return self._score("seed", self._from.seeds, self.photos, lambda: seed_score(self.photos, self.seeds))

    def choose_thresholds(self) -> Report | None:
        """For each photo and tag the threshold that a BAS network prefers (Table 15)."""
        parts = self._from.thresholds
        self._once("thresholds", parts, lambda _: self._choose(self._judges[0]))
        score = partial(image_threshold_score, self.photos, self.seeds, self._thresholds)
        return self._score("image_threshold", parts, self.photos, score)

    def refine(self) -> Report | None:
        """A pseudo mask for every training photo."""
        if self.settings.refine == "irn":
            self._once("certain", self._from.certain, lambda _: self._find_certain())
            self._once("irn", self._from.irn, self._learn_boundaries)
        self._once("masks", self._from.masks, lambda _: self._write_masks())
        return self._score("masks", self._from.masks, self.photos, lambda: mask_score(self.photos, self.masks.path))

    def find_instances(self) -> None:
        """The masks of single objects in every training photo: ``instances/instances.coco.json``."""
        self._once("instances", self._from.masks, self._separate)

    def train_student(self) -> None:
        """A segmenter that learns from the masks, in the folder ``student``."""
        self._once("student", self._from.student, self._learn)

    def predict(self, split: str) -> Report | None:
        """What the student says of photos that nobody has learned from; it needs no tags.

        Of VOC's test photos also what its server takes: ``submission/results.tar.gz``.
        """
        strange = replace(self.collection, photos=tuple(p for p in self.collection.photos if p.split == split))
        labels = LabelMaps(self.out / "predictions" / split, places(strange.photos, ".png"))
        parts = self._from.predictions
        self._once(f"predictions/{split}", parts, lambda _: self._predict(strange, labels), strange)
        if split == "test" and strange.classes == VOC:
            predicted = ((photo.name, read_mask(labels.path(photo))) for photo in strange.photos)
            self._once("submission", parts, lambda folder: write_submission(predicted, folder), strange)
        score = self._score(f"student_{split}", parts, strange, lambda: mask_score(strange, labels.path))
        return score and score | {"initialisation": self.start.initialisation}

    @property
    def held_out(self) -> list[str]:
        """The splits that are predicted."""
        return [split for split in ("val", "test") if any(photo.split == split for photo in self.collection.photos)]

    @cached_property
    def photos(self) -> Collection:
        """What is learned from."""
        return self.collection.only("train", "")

    @cached_property
    def seeds(self) -> Seeds:
        """The sources' seeds as one."""
        folders = tuple(self.out / "seeds" / source.name for source in self.sources)
        weaker = self.out / "seeds" / self.foreground.name if self.foreground else None
        return Seeds(folders, places(self.photos.photos, ".npz"), weaker, self.settings.strategy)

    @cached_property
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
        missing = [photo for photo in self.photos.photos if not (folder / where[photo.name]).is_file()]
        for photo in self._follow(f"reading {ready.name}", missing, len(missing)):
            write_seed(folder / where[photo.name], ready.read(photo, where[photo.name], self.photos.classes))

    def _choose(self, judge: Method) -> None:
        missing = tuple(self._missing(self._thresholds))
        todo = replace(self.photos, photos=missing)
        found = seed_thresholds(judge.judge, todo, self.seeds, judge.normalisation, **self._inference)  # pyright: ignore[reportArgumentType]
        for photo, own in self._follow("choosing thresholds", found, len(missing)):
            self._thresholds.write(photo, own)

    def _find_certain(self) -> None:
        self._write_missing(Certain(self.seeds, self._certain, self.settings), self._certain, "finding what is certain")

    def _learn_boundaries(self, folder: Path) -> None:
        with self.machine.follow("learning boundaries") as bar:
            train_irn(
                self._lessons(self._certain),
                self._from.irn_training,
                folder,
                backbone=BACKBONE,
                weights=self.start.irn,
                device=self.machine.device,
                workers=self.machine.workers,
                resume=True,
                made_of=self._from.certain,
                hooks=lambda _: Hooks(on_step=bar.step),
            )

    def _write_masks(self) -> None:
        settings = self.settings
        if settings.refine == "irn":
            self._between_boundaries("walking", Walk(self.seeds, self.masks, settings), self._missing(self.masks))
        else:
            own = self._thresholds if settings.cut == "image" else None
            self._write_missing(Cut(self.seeds, self.masks, settings, own), self.masks, "cutting masks")

    def _separate(self, folder: Path) -> None:
        separate = Separate(self.seeds, folder, places(self.photos.photos, ".json"), self.settings.power)
        self._between_boundaries("separating objects", separate, self._missing(separate))
        separate.collect(self.photos.photos, self.photos.classes, folder / "instances.coco.json")

    def _between_boundaries(self, what: str, work: Callable[[Photo, Grids], None], missing: list[Photo]) -> None:
        """Do ``work`` for photos and what IRN sees in them."""
        grids = edges_of(
            load_irn(self.out / "irn").to(self.machine.place),
            [photo.path for photo in missing],
            batch_size=self.machine.batch_size,
            workers=self.machine.workers,
            forward=self.machine.precision,
        )
        threads = max(1, self.machine.workers)
        with ThreadPoolExecutor(threads) as pool:  # the walk is compiled and lets other threads run
            done = in_flight(pool, work, zip(missing, grids, strict=True), 4 * threads)
            for _ in self._follow(what, done, len(missing)):
                pass

    def _learn(self, folder: Path) -> None:
        with self.machine.follow("training the student") as bar:
            train_student(
                self._lessons(self.masks),
                self.collection.classes,
                self._from.student_training,
                folder,
                initialisation=self.start.initialisation,
                network=self.settings.student,
                weights=self.start.student,
                device=self.machine.device,
                workers=self.machine.workers,
                resume=True,
                hooks=lambda _: Hooks(on_step=bar.step),
            )

    def _predict(self, photos: Collection, labels: LabelMaps) -> None:
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

    def _check(self, until: Until) -> None:
        """What only a late stage would miss is said before hours are spent."""
        if not self.sources:
            raise InputError("there is nothing to make seeds with: give a model, or a folder of seeds.")
        if not any(photo.labels for photo in self.photos.photos):
            root = self.collection.root
            raise InputError(f"{root} has no tagged photos to learn from; run bas check {root}.")
        for source in self.sources:
            if isinstance(source, Ready) and source.folder.resolve().is_relative_to(self.out.resolve()):
                raise InputError(f"--seeds {source.folder} lies in {self.out}, where stages are made: choose another.")
        if self.settings.cut == "image" and not self._judges:
            raise InputError("--cut image needs a BAS model to judge thresholds: give one as --judge, or a number.")
        learns = self.settings.refine == "irn" and until != "seed"
        if self.objects == "instances" and not learns:
            raise InputError(
                "--objects instances needs IRN's boundaries: give --refine irn, and --until past the seed."
            )
        check_truth(self.collection)
        if learns and not self._stage("irn", self._from.irn).complete:
            IRNet(BACKBONE, self.start.irn, normalisation(BACKBONE, self.start.irn))
        if until == "student" and not self._stage("student", self._from.student).complete:
            settings = self.settings
            Student.start(settings.student, self.collection.classes, self.start.initialisation, self.start.student)

    def _lessons(self, maps: LabelMaps) -> list[tuple[Path, Path]]:
        """Photos and their label maps; not of those without tags, for they may show anything."""
        return [(photo.path, maps.path(photo)) for photo in self.photos.photos if photo.labels]

    @property
    def _judges(self) -> list[Method]:
        known = [self.judge] if self.judge else self.sources
        return [source for source in known if isinstance(source, Method) and source.judge]

    @cached_property
    def _certain(self) -> LabelMaps:
        return LabelMaps(self.out / "certain", self.masks.places)

    @cached_property
    def _thresholds(self) -> Thresholds:
        return Thresholds(self.out / "thresholds", places(self.photos.photos, ".json"))

    def _missing(self, maps: LabelMaps | Thresholds | Separate) -> list[Photo]:
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

    @property
    def _from(self) -> Lineage:
        judge = next(iter(self._judges), None)
        return Lineage(
            self.sources, self.foreground, judge, self.settings, self.start, self.seed, self.machine.training
        )

    def _follow(self, what: str, items: Iterable[Any], total: int) -> Iterator[Any]:
        with self.machine.follow(what) as bar:
            yield from bar.each(items, total)

    def _once(self, name: str, parts: Parts, make: Callable[[Path], object], photos: Collection | None = None) -> None:
        """Do a stage, unless it is done."""
        stage = self._stage(name, parts, photos)
        if not stage.begin(overwrite=self.overwrite):
            make(stage.folder)
            stage.finish(None)

    def _score(self, name: str, parts: Parts, photos: Collection, judge: Callable[[], Report | None]) -> Report | None:
        """How good a result is; judged again when it or the truth is another, for nothing is lost by that."""
        truth = [(photo.name, photo.mask.stat().st_mtime_ns) for photo in photos.photos if photo.mask]
        stage = self._stage(f"scores/{name}", (*parts, truth), photos)
        if not stage.begin(overwrite=True):
            stage.finish(judge())
        return stage.result

    def _stage(self, name: str, parts: Parts, photos: Collection | None = None) -> Stage:
        return Stage(self.out / name, identity(photos or self.photos, name, *parts))
