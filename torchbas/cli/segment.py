"""``bas segment``: tags to pseudo masks to a segmenter."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .. import recipes
from ..cards import recipe_of
from ..config import Precision, Seed, Segmentation, Training
from ..errors import InputError
from ..export import check_formats
from ..io import MANIFEST
from .common import Common, Data, Formats, alone, chosen, weights_of, with_defaults
from .common import parse as read
from .folder import OutputFolder

DEFAULT = "voc_resnet50"


@dataclass
class Segment(Common):
    """Seeds from trained models, refined to pseudo masks, and a segmenter trained on them.

    Every stage is kept in --out: the same command goes on where it was stopped, and other settings are refused.
    """

    data: Data = field(kw_only=True)
    out: Path = field(kw_only=True)
    """Folder of the stages: seeds, ir_labels, irn, masks, segmenter, predictions."""
    model: tuple[str, ...] = ()
    """Folders of runs (bas train) whose seeds are added."""
    foreground: str | None = None
    """Folder of a class-agnostic run (bas train --class-agnostic), which weakens the seeds."""
    threshold_model: str | None = None
    """Folder of a BAS run that chooses thresholds for --cam-eval-thres image_specific, where no --model is one."""
    seeds: tuple[Path, ...] = ()
    """Folders of seeds (.npz, or IRN's .npy) that are added, too."""
    objects: Literal["semantic", "instances"] = "semantic"
    """instances: after the masks also those of single objects, as COCO, for which --refine irn has learned."""
    until: Literal["seed", "refine", "segmenter"] = "segmenter"
    """The last stage to do."""
    format: Formats = ("coco", "gallery")
    images: Path | None = None
    """Folder that the lists' paths are relative to, where the format expects the photos elsewhere."""
    masks: Path | None = None
    """The same for ground-truth masks, by which stages are scored; nothing learns from them."""
    irn_weights: str = "auto"
    """ImageNet weights of irn: auto fetches them, a FILE is read, none starts from nothing."""
    segmenter_weights: str = "auto"
    """The same for the segmenter."""
    segmenter_initialization: Literal["imagenet", "coco_segmentation", "none"] = "imagenet"
    """What a FILE of --segmenter-weights has learned from; every result names it."""
    recipe: str = DEFAULT
    """Whose settings of the stages are the defaults (bas recipes lists them), or your own FILE.py, which is run; when
    not given, the recipe that the first --model was trained by."""
    seed: Seed | None = None
    """Seed of order and augmentation in both trainings, which have seeds of their own."""
    precision: Precision = "auto"
    """auto: bf16 where the hardware multiplies it faster, else fp32."""
    overwrite: bool = False
    """Make stages of other settings again, with all that follows from them."""
    settings: Annotated[Segmentation, tyro.conf.arg(name="")] = field(default_factory=Segmentation)

    def run(self) -> dict[str, Any]:
        """Every stage up to ``until``."""
        from .. import api, data
        from ..api.segment import InitialWeights, check_runs, localizations, segment
        from ..io import write_manifest
        from .job import Job
        from .progress import Reporter, table

        alone("segment")
        if not (self.model or self.seeds):
            raise InputError(f"give --model, a run of: bas train {self.data} --recipe quick_segment --out RUN")
        recipe = replace(recipes.load(self.recipe), segmentation=self.settings)
        runs = {"foreground": self.foreground, "threshold_model": self.threshold_model}
        check_runs(recipe, self.model, **runs)
        irn = weights_of(self.irn_weights, "--irn-weights")
        segmenter = weights_of(self.segmenter_weights, "--segmenter-weights")
        dataset = data.read(self.data, images=self.images, masks=self.masks)
        check_formats(self.format, dataset.classes)
        if (self.out / "model.json").is_file():
            raise InputError(f"{self.out} holds a model: choose another --out.")
        self.folder = OutputFolder(self.out, self.data, overwrite=False, resume=True)
        reporter = Reporter(self.quiet)
        compute = api.Compute(self.device, self.workers, self.precision)
        job = Job(self.out, reporter, compute)
        checked = job.check(dataset)
        scores = segment(
            checked,
            self.out,
            self.model,
            recipe=recipe,
            **runs,
            seeds=self.seeds,
            objects=self.objects,
            until=self.until,
            weights=InitialWeights(irn, segmenter, self.segmenter_initialization if segmenter else "none"),
            seed=self.seed,
            overwrite=self.overwrite,
            compute=compute,
            progress=job.timed,
            begin=partial(self.folder.begin, MANIFEST),
        )
        answer = {"command": "segment", "words": chosen(self), "scores": scores}
        if objects := self.until != "seed" and bool(self.model):
            localizer = api.load(self.model[0])
            learned = checked.only("train", "")
            with job.timed("finding objects", "batches") as stage:
                watch = api.Watch(batches=stage.each)
                found = [
                    *localizations(learned, self.out, localizer, objects=self.objects, compute=compute, watch=watch)
                ]
            formats = [name for name in self.format if name != "voc"]  # which is what the stage masks has made
            answer = job.write(found, learned, localizer, formats, answer, job.report(found, learned, localizer))
        else:
            answer |= {"problems": checked.problems, "seconds": job.seconds}
            write_manifest(self.out, answer)
        known = {name: score for name, score in scores.items() if score}
        if known and not self.json:
            table("mIoU, percent", ["stage", "mIoU"], [[name, score["miou"]] for name, score in known.items()])
        reporter.say(f"All of it is in {self.out}, described in {self.out / MANIFEST}.")
        if objects and "gallery" in self.format:
            reporter.say(f"{answer['objects']} objects in the photos learned from. {job.pointer(self.format)}")
        for sentence in self._results({sample.split for sample in checked.samples}):
            reporter.say(sentence)
        return answer

    def _results(self, splits: set[str]) -> list[str]:
        """Where the results are, and the next command."""
        if self.until == "seed":
            return ["Next: the same command with --until refine"]
        results = [f"Label maps of the photos learned from: {self.out / 'masks'}"]
        if self.objects == "instances":
            results.append(f"Their single objects: {self.out / 'instances/instances.coco.json'}")
        if self.until == "refine":
            return [*results, "Next: the same command with --until segmenter"]
        if splits & {"val", "test"}:
            results.append(f"Label maps of the others, by the segmenter: {self.out / 'predictions'}")
        else:
            place = self.out / "segmenter"
            results.append(f"Nothing is predicted without a split val or test; the segmenter is in {place}")
        if "test" in splits and (self.out / "submission").is_dir():
            results.append(f"For VOC's server: {self.out / 'submission/results.tar.gz'}")
        return results


@dataclass
class Length:
    """Flags of a training that replace each other."""

    epochs: int | None = None
    steps: int | None = None

    def of(self, training: Training) -> Training:
        """The training; epochs that were given without steps count."""
        return training if self.epochs is None or self.steps is not None else replace(training, steps=None)


@dataclass
class Choice:
    """Flags that decide on the defaults of others."""

    recipe: str = ""
    model: tuple[str, ...] = ()
    irn: Length = field(default_factory=Length)
    segmenter: Length = field(default_factory=Length)


def parse(words: Sequence[str]) -> Segment:
    """The command from its words."""
    given, _ = tyro.cli(Choice, args=words, return_unknown_args=True, add_help=False)
    name = given.recipe or _trained_by(given.model)
    settings = recipes.load(name).segmentation
    settings = replace(settings, irn=given.irn.of(settings.irn), segmenter=given.segmenter.of(settings.segmenter))
    defaults = {"recipe": (str, name), "settings": (Annotated[Segmentation, tyro.conf.arg(name="")], settings)}
    return read(with_defaults(Segment, defaults), words, prefixes=True)


def _trained_by(models: Sequence[str]) -> str:
    """The built-in recipe that the first run's card names, so that its stages follow; VOC's where it names none."""
    name = recipe_of(models[0]) if models else None
    return name if name in recipes.built_in() else DEFAULT
