"""From tags to a segmenter: seed, refine, segmenter. Each stage is a folder that is kept, continued and never mixed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from ..config import Segmentation
from ..data import read_mask
from ..data.datasets.voc_tags import VOC
from ..errors import InputError
from ..export.voc import write_labels, write_submission
from ..structures import IGNORE_INDEX, Dataset, Sample
from ..training.loop import Hooks
from .cache import SampleFiles, Stage, Work, fingerprint, for_each, in_flight, sample_paths
from .cache_keys import CacheKeys, Parts
from .irn.instances import InstanceWriter
from .irn.network import BACKBONE, Boundaries, IRNet, boundaries_of
from .irn.train import load_irnet, train_irnet
from .refine import Binarize, IRLabels, LabelMaps, RandomWalk
from .scores import Report, check_ground_truth, image_threshold_score, mask_score, seed_score
from .seeds.combine import Seeds
from .seeds.files import write_seed
from .seeds.multi_scale import make_seeds
from .seeds.sources import SeedFolder, SeedNetwork, SeedSource
from .seeds.thresholds import Thresholds, seed_thresholds
from .segmenter.network import Segmenter
from .segmenter.predict import predict
from .segmenter.train import load_segmenter, train_segmenter
from .setup import IMAGENET, ComputeOptions, InitialWeights

Until = Literal["seed", "refine", "segmenter"]
Objects = Literal["semantic", "instances"]


@dataclass
class Pipeline:
    """One run of ``bas segment``.

    Args:
        dataset: samples with tags; the splits ``train`` and none are learned from, ``val`` and ``test`` predicted.
        sources: networks and folders whose seeds are added.
        foreground: a class-agnostic network that weakens them.
        threshold_model: the BAS network that chooses image-specific thresholds; the first among the sources if not
            given.
        objects: what to refine to: a label map of each sample, or the masks of single objects as well.

    Raises:
        InputError: anything that is missing, or was made with other settings.
        Interrupted: stopped by the user; the same call goes on.
    """

    dataset: Dataset
    out: Path
    sources: Sequence[SeedSource]
    settings: Segmentation = field(default_factory=Segmentation)
    foreground: SeedNetwork | None = None
    threshold_model: SeedNetwork | None = None
    weights: InitialWeights = IMAGENET
    compute: ComputeOptions = field(default_factory=ComputeOptions)
    objects: Objects = "semantic"
    overwrite: bool = False

    def run(self, until: Until = "segmenter", begin: Callable[[], None] = lambda: None) -> dict[str, Report | None]:
        """Every stage up to ``until``; the scores by name, None where no sample has ground truth.

        ``begin`` is called when all that was given is found to be good, before anything is written.
        """
        self._check(until)
        begin()
        scores = {"seed": self.make_seeds()}
        if self._image_specific:
            scores["image_threshold"] = self.choose_thresholds()
        if until != "seed":
            scores["masks"] = self.refine()
        if until != "seed" and self.objects == "instances":
            self.find_instances()
        if until == "segmenter":
            self.train_segmenter()
            scores |= {f"segmenter_{split}": self.predict(split) for split in self.held_out}
        return scores

    def make_seeds(self) -> Report | None:
        """Seeds of every training sample by every source, each in its folder; their score together."""
        for source in (*self.sources, *([self.foreground] if self.foreground else [])):
            self._once(f"seeds/{source.name}", self._keys.source(source), partial(self._make_seeds, source))
        return self._score("seed", self._keys.seeds, self.samples, lambda: seed_score(self.samples, self.seeds))

    def choose_thresholds(self) -> Report | None:
        """Image-specific thresholds of each training sample's seeds (Table 15)."""
        self._once("thresholds", self._keys.thresholds, lambda _: self._choose_thresholds())
        score = partial(image_threshold_score, self.samples, self.seeds, self._thresholds)
        return self._score("image_threshold", self._keys.thresholds, self.samples, score)

    def refine(self) -> Report | None:
        """A pseudo mask of every training sample."""
        if self.settings.refine == "irn":
            self._once("ir_labels", self._keys.ir_labels, lambda _: self._write_ir_labels())
            self._once("irn", self._keys.irn, self._train_irnet)
        self._once("masks", self._keys.masks, lambda _: self._write_masks())
        return self._score("masks", self._keys.masks, self.samples, lambda: mask_score(self.samples, self.masks.path))

    def find_instances(self) -> None:
        """The masks of single objects in every training sample: ``instances/instances.coco.json``."""
        self._once("instances", self._keys.masks, self._find_instances)

    def train_segmenter(self) -> None:
        """A segmenter trained on the pseudo masks, in the folder ``segmenter``."""
        self._once("segmenter", self._keys.segmenter, self._train_segmenter)

    def predict(self, split: str) -> Report | None:
        """Label maps of a split by the segmenter, which needs no tags.

        Of VOC's test split also what its server takes: ``submission/results.tar.gz``.
        """
        held_out = self._split(split)
        labels = LabelMaps(self.out / "predictions" / split, sample_paths(held_out.samples, ".png"))
        parts = self._keys.predictions
        self._once(f"predictions/{split}", parts, lambda _: self._predict(held_out, labels), held_out)
        if split == "test" and held_out.classes == VOC:
            predicted = ((sample.name, read_mask(labels.path(sample))) for sample in held_out.samples)
            self._once("submission", parts, lambda folder: write_submission(predicted, folder), held_out)
        score = self._score(f"segmenter_{split}", parts, held_out, lambda: mask_score(held_out, labels.path))
        return score and score | {"initialization": self.weights.initialization}

    @property
    def held_out(self) -> list[str]:
        """The splits that are predicted."""
        return [split for split in ("val", "test") if any(sample.split == split for sample in self.dataset.samples)]

    @cached_property
    def samples(self) -> Dataset:
        """The training samples."""
        return self.dataset.only("train", "")

    @cached_property
    def seeds(self) -> Seeds:
        """The sources' seeds, combined."""
        folders = tuple(self.out / "seeds" / source.name for source in self.sources)
        weaker = self.out / "seeds" / self.foreground.name if self.foreground else None
        return Seeds(folders, sample_paths(self.samples.samples, ".npz"), weaker, self.settings.strategy)

    @cached_property
    def masks(self) -> LabelMaps:
        """The pseudo masks."""
        return LabelMaps(self.out / "masks", sample_paths(self.samples.samples, ".png"))

    @cached_property
    def _ir_labels(self) -> LabelMaps:
        return LabelMaps(self.out / "ir_labels", self.masks.paths)

    @cached_property
    def _thresholds(self) -> Thresholds:
        return Thresholds(self.out / "thresholds", sample_paths(self.samples.samples, ".json"))

    def _make_seeds(self, source: SeedSource, folder: Path) -> None:
        paths, classes = self.seeds.paths, self.samples.classes
        missing = tuple(sample for sample in self.samples.samples if not (folder / paths[sample.name]).is_file())
        if isinstance(source, SeedFolder):
            what = f"reading {source.name}"
            found = ((sample, source.read(sample, paths[sample.name], classes)) for sample in missing)
        else:
            what, method = f"seeds of {source.name}", source.method
            todo, scales = replace(self.samples, samples=missing), self.settings.scales
            found = make_seeds(method.seed_maps, todo, method.normalization, scales=scales, **self._inference)
        for sample, seed in self._each(what, found, len(missing)):
            write_seed(folder / paths[sample.name], seed)

    def _choose_thresholds(self) -> None:
        method = self._threshold_models[0].method
        missing = tuple(self._missing(self._thresholds))
        todo = replace(self.samples, samples=missing)
        found = seed_thresholds(method, todo, self.seeds, method.normalization, **self._inference)
        for sample, thresholds in self._each("choosing thresholds", found, len(missing)):
            self._thresholds.write(sample, thresholds)

    def _write_ir_labels(self) -> None:
        work = IRLabels(self.seeds, self._ir_labels, self.settings)
        self._write_missing(work, self._ir_labels, "finding confident labels")

    def _train_irnet(self, folder: Path) -> None:
        with self.compute.progress("learning boundaries") as bar:
            train_irnet(
                self._pairs(self._ir_labels),
                self.settings.irn,
                folder,
                backbone=BACKBONE,
                weights=self.weights.irn,
                device=self.compute.device,
                workers=self.compute.workers,
                resume=True,
                made_of=self._keys.ir_labels,
                hooks=lambda _: Hooks(on_step=bar.step),
            )

    def _write_masks(self) -> None:
        settings = self.settings
        if settings.refine == "irn":
            work = RandomWalk(self.seeds, self.masks, settings)
            self._between_boundaries("walking at random", work, self._missing(self.masks))
        else:
            thresholds = self._thresholds if self._image_specific else None
            self._write_missing(Binarize(self.seeds, self.masks, settings, thresholds), self.masks, "binarizing seeds")

    def _find_instances(self, folder: Path) -> None:
        paths = sample_paths(self.samples.samples, ".json")
        writer = InstanceWriter(folder, paths, self.seeds, self.settings.cam_power)
        self._between_boundaries("separating objects", writer, self._missing(writer))
        writer.collect(self.samples.samples, self.samples.classes, folder / "instances.coco.json")

    def _between_boundaries(self, what: str, work: Callable[[Sample, Boundaries], None], missing: list[Sample]) -> None:
        """Do ``work`` for samples and their boundaries."""
        found = boundaries_of(
            load_irnet(self.out / "irn").model.to(self.compute.inference_device),
            [sample.path for sample in missing],
            batch_size=self.compute.batch_size,
            workers=self.compute.workers,
            precision=self.compute.precision,
        )
        threads = max(1, self.compute.workers)
        with ThreadPoolExecutor(threads) as pool:  # the walk is compiled and lets other threads run
            done = in_flight(pool, work, zip(missing, found, strict=True), 4 * threads)
            for _ in self._each(what, done, len(missing)):
                pass

    def _train_segmenter(self, folder: Path) -> None:
        with self.compute.progress("training the segmenter") as bar:
            train_segmenter(
                self._pairs(self.masks),
                self.dataset.classes,
                self.settings.segmenter,
                folder,
                initialization=self.weights.initialization,
                network=self.settings.segmenter_network,
                weights=self.weights.segmenter,
                device=self.compute.device,
                workers=self.compute.workers,
                resume=True,
                hooks=lambda _: Hooks(on_step=bar.step),
            )

    def _predict(self, samples: Dataset, labels: LabelMaps) -> None:
        todo = {sample.path: sample for sample in samples.samples if not labels.path(sample).is_file()}
        found = predict(
            load_segmenter(self.out / "segmenter").model.to(self.compute.inference_device),
            list(todo),
            crf=self.settings.segmenter_crf,
            workers=self.compute.workers,
            precision=self.compute.precision,
        )
        for one in self._each("labeling with the segmenter", found, len(todo)):
            write_labels(labels.path(todo[one.path]), one.labels)

    def _check(self, until: Until) -> None:
        """Refuse what only a late stage would miss."""
        if not self.sources:
            raise InputError("there is nothing to make seeds with: give a model, or a folder of seeds.")
        root = self.dataset.root
        if not any(sample.labels for sample in self.samples.samples):
            raise InputError(f"{root} has no tagged photos to learn from; run bas check {root}.")
        if until != "seed" and (count := len(self.dataset.classes)) >= IGNORE_INDEX:
            raise InputError(
                f"a label map holds {IGNORE_INDEX - 1} classes, but {root} has {count}: use fewer tags, or --until seed"
            )
        first = self.samples.samples[0]
        for source in (one for one in self.sources if isinstance(one, SeedFolder)):
            if source.folder.resolve().is_relative_to(self.out.resolve()):
                raise InputError(f"--seeds {source.folder} lies in {self.out}, where stages are made: choose another.")
            source.check(first, self.seeds.paths[first.name], self.samples.classes)
        if self._image_specific and not self._threshold_models:
            raise InputError(
                "--cam-eval-thres image_specific needs a BAS model: give one as --threshold-model, or a number."
            )
        learns = self.settings.refine == "irn" and until != "seed"
        if self.objects == "instances" and not learns:
            raise InputError("--objects instances needs IRN: give --refine irn, and --until past the seed.")
        check_ground_truth(self.dataset)
        if not self.overwrite:
            for name, parts in self._keys.by_stage(until, instances=self.objects == "instances"):
                self._stage(name, parts).refuse_other()
            for split in self.held_out if until == "segmenter" else ():
                self._stage(f"predictions/{split}", self._keys.predictions, self._split(split)).refuse_other()
        if learns and not self._stage("irn", self._keys.irn).complete:
            IRNet.initialized(BACKBONE, self.weights.irn)
        if until == "segmenter" and not self._stage("segmenter", self._keys.segmenter).complete:
            network, start = self.settings.segmenter_network, self.weights
            Segmenter.initialized(network, len(self.dataset.classes), start.initialization, start.segmenter)

    def _split(self, split: str) -> Dataset:
        return replace(self.dataset, samples=tuple(p for p in self.dataset.samples if p.split == split))

    def _pairs(self, maps: LabelMaps) -> list[tuple[Path, Path]]:
        """Training pairs: photos and their label maps; not of those without tags, for they may show anything."""
        return [(sample.path, maps.path(sample)) for sample in self.samples.samples if sample.labels]

    @property
    def _image_specific(self) -> bool:
        return self.settings.cam_eval_thres == "image_specific"

    @property
    def _threshold_models(self) -> list[SeedNetwork]:
        """The networks that may choose thresholds; any has an S_b, but the paper's is that of BAS."""
        known = [self.threshold_model] if self.threshold_model else self.sources
        return [source for source in known if isinstance(source, SeedNetwork) and source.method.name == "bas"]

    def _missing(self, files: SampleFiles) -> list[Sample]:
        return [sample for sample in self.samples.samples if not files.path(sample).is_file()]

    def _write_missing(self, work: Work, maps: LabelMaps, what: str) -> None:
        with self.compute.progress(what) as bar:
            for_each(work, self._missing(maps), self.compute.workers, bar)

    @property
    def _inference(self) -> dict[str, Any]:
        compute = self.compute
        return {
            "batch_size": compute.batch_size,
            "device": compute.inference_device,
            "workers": compute.workers,
            "precision": compute.precision,
        }

    @property
    def _keys(self) -> CacheKeys:
        threshold_model = next(iter(self._threshold_models), None)
        return CacheKeys(self.sources, self.foreground, threshold_model, self.settings, self.weights)

    def _each(self, what: str, items: Iterable[Any], total: int) -> Iterator[Any]:
        with self.compute.progress(what) as bar:
            yield from bar.each(items, total)

    def _once(self, name: str, parts: Parts, make: Callable[[Path], object], samples: Dataset | None = None) -> None:
        """Do a stage, unless it is done."""
        stage = self._stage(name, parts, samples)
        if not stage.begin(overwrite=self.overwrite):
            make(stage.folder)
            stage.finish(None)

    def _score(self, name: str, parts: Parts, samples: Dataset, score: Callable[[], Report | None]) -> Report | None:
        """The score of a result; computed again when the result or its ground truth is another."""
        ground_truth = [(sample.name, sample.mask.stat().st_mtime_ns) for sample in samples.samples if sample.mask]
        stage = self._stage(f"scores/{name}", (*parts, ground_truth), samples)
        if not stage.begin(overwrite=True):
            stage.finish(score())
        return stage.result

    def _stage(self, name: str, parts: Parts, samples: Dataset | None = None) -> Stage:
        return Stage(self.out / name, fingerprint(samples or self.samples, name, *parts))
