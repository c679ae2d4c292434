"""``bas segment``: tags to pseudo masks to a segmenter."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .. import recipes
from ..config import Segmentation
from ..errors import InputError
from .common import MANIFEST, Common, Data, alone, chosen, flags, prepare, weights_of
from .common import parse as read

DEFAULT = "voc_resnet50"


@dataclass
class Segment(Common):
    """Seeds from trained models, refined to pseudo masks, and a segmenter trained on them.

    Every stage is kept in --out: the same command goes on where it was stopped, and other settings are refused.
    """

    data: Data = field(kw_only=True)
    out: Path = field(kw_only=True)
    """Folder of the stages: seeds, certain, irn, masks, student, predictions."""
    model: tuple[str, ...] = ()
    """Folders of runs (bas train) whose seeds are added; RUN:advcam reads a classifier by another method."""
    foreground: str | None = None
    """Folder of a class-agnostic run (bas train --agnostic), which weakens the seeds."""
    judge: str | None = None
    """Folder of a BAS run that judges thresholds for --cut image, where no --model is one."""
    seeds: tuple[Path, ...] = ()
    """Folders of seeds (.npz) that are added, too."""
    trust_pickle: bool = False
    """Also read IRN's .npy in --seeds. This runs whatever their writer put in."""
    objects: Literal["semantic", "instances"] = "semantic"
    """instances: after the masks also those of single objects, as COCO, for which --refine irn has learned."""
    until: Literal["seed", "refine", "student"] = "student"
    """The last stage to do."""
    images: Path | None = None
    """Folder that the lists' paths are relative to, where the format expects the photos elsewhere."""
    masks: Path | None = None
    """The same for true masks, by which stages are scored; nothing learns from them."""
    weights: str = "auto"
    """ImageNet weights of irn: auto fetches them, a FILE is read, none starts from nothing."""
    student_weights: str = "auto"
    """The same for the student."""
    student_initialisation: Literal["imagenet", "coco segmentation"] = "imagenet"
    """What a FILE of --student-weights has learned from; every result names it."""
    recipe: str = DEFAULT
    """Whose settings of the stages are the defaults (bas recipes lists them), or your own FILE.py; when not given, the
    recipe that the first --model was trained by."""
    seed: int = 0
    """Seed of order and augmentation."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """auto: bf16 where the hardware multiplies it faster, else fp32."""
    overwrite: bool = False
    """Make stages of other settings again, with all that follows from them."""
    settings: Segmentation = field(default_factory=Segmentation)

    def run(self) -> dict[str, Any]:
        """Every stage up to ``until``."""
        from .. import api, data
        from ..api.segment import Start, segment
        from ..formats import write_manifest
        from .job import Job
        from .progress import Reporter, table

        alone("segment")
        if not (self.model or self.seeds):
            raise InputError(f"give --model, a run of: bas train {self.data} --recipe quick_segment --out RUN")
        irn, student = weights_of(self.weights), weights_of(self.student_weights, "--student-weights")
        collection = data.read(self.data, images=self.images, masks=self.masks)
        if (self.out / "model.json").is_file():
            raise InputError(f"{self.out} holds a model: choose another --out.")
        prepare(self.out, self.data, (), overwrite=False, resume=True)
        reporter = Reporter(self.quiet)
        compute = api.Compute(self.device, self.workers, self.precision)
        job = Job(self.out, reporter, compute)
        checked = job.check(collection)
        scores = segment(
            checked,
            self.out,
            self.model,
            foreground=self.foreground,
            judge=self.judge,
            seeds=self.seeds,
            trust_pickle=self.trust_pickle,
            settings=self.settings,
            objects=self.objects,
            until=self.until,
            start=Start(irn, student, self.student_initialisation if student else "none"),
            seed=self.seed,
            overwrite=self.overwrite,
            compute=compute,
            follow=job.timed,
        )
        answer = {"command": "segment", "words": chosen(self), "scores": scores, "problems": checked.problems}
        write_manifest(self.out, answer | {"seconds": job.seconds})
        known = {name: score for name, score in scores.items() if score}
        if known and not self.json:
            table("mIoU, percent", ["stage", "mIoU"], [[name, score["miou"]] for name, score in known.items()])
        reporter.say(f"All of it is in {self.out}, described in {self.out / MANIFEST}.")
        for sentence in self._results({photo.split for photo in checked.photos}):
            reporter.say(sentence)
        return answer

    def _results(self, splits: set[str]) -> list[str]:
        """Where to look, and what comes next."""
        if self.until == "seed":
            return ["Next: the same command with --until refine"]
        results = [f"Label maps of the photos learned from: {self.out / 'masks'}"]
        if self.objects == "instances":
            results.append(f"Their single objects: {self.out / 'instances/instances.coco.json'}")
        if self.until == "refine":
            return [*results, "Next: the same command with --until student"]
        if splits & {"val", "test"}:
            results.append(f"Label maps of the others, by the student: {self.out / 'predictions'}")
        else:
            results.append(
                f"Nothing is predicted without a split val or test; the student is in {self.out / 'student'}"
            )
        if "test" in splits and (self.out / "submission").is_dir():
            results.append(f"For VOC's server: {self.out / 'submission/results.tar.gz'}")
        return results


def parse(words: Sequence[str]) -> Segment:
    """The command from its words."""
    given = flags(words)
    recipe = given.get("--recipe") or _trained_by(given.get("--model", ""))
    return read(Segment, words, recipe=recipe, settings=recipes.load(recipe).segmentation)


def _trained_by(model: str) -> str:
    """The recipe that a run says it was trained by, so that its stages follow; VOC's where it says nothing known."""
    try:
        name = json.loads((Path(model.partition(":")[0]) / "model.json").read_text("utf-8"))["recipe"]
        return recipes.load(name).name
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
        return DEFAULT
