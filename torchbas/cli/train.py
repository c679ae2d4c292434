"""``bas train``: a model by a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .common import Common, Data, Settings, chosen, first_process, prepare, settings_for, weights_of
from .common import parse as read


@dataclass
class Train(Common):
    """Train a model on tagged photos (the split train, where there are splits). Any value of the recipe is a flag.

    Several GPUs or machines: start the same command by torchrun.
    """

    data: Data = field(kw_only=True)
    out: Path = field(kw_only=True)
    """Folder of the run."""
    recipe: str = "quick"
    """Name of a recipe (bas recipes lists them), or your own FILE.py."""
    method: Literal["bas", "cam", "gradcam", "layercam", "has", "acol", "adl", "cutmix", "spg"] = "bas"
    """bas, or a method it is compared with, trained the same way (not by recipes that keep the stem, such as quick)."""
    weights: str = "auto"
    """ImageNet weights: auto fetches them, a FILE is read, none starts from nothing."""
    overwrite: bool = False
    """Replace an earlier run in --out."""
    resume: bool = False
    """Go on with a stopped run in --out."""
    settings: Settings = field(default_factory=Settings)

    def run(self) -> dict[str, Any]:
        """Check, train, save."""
        from .. import api, data
        from ..formats import write_manifest
        from .job import MODEL, Job
        from .progress import Reporter

        weights = weights_of(self.weights)
        collection = data.read(self.data).only("train", "")
        prepare(self.out, self.data, MODEL, overwrite=self.overwrite, resume=self.resume)
        precision = self.settings.training.precision
        job = Job(
            self.out, Reporter(self.quiet or not first_process()), api.Compute(self.device, self.workers, precision)
        )
        checked = job.check(collection)
        recipe = self.settings.of(self.recipe)
        if self.method == "bas":
            job.train(checked, self.out, recipe, weights, resume=self.resume)
        else:
            job.train_baseline(checked, self.out, recipe, self.method, weights, resume=self.resume)
        answer = {"command": "train", "words": chosen(self), "problems": checked.problems, "seconds": job.seconds}
        if first_process():
            write_manifest(self.out, answer)
        job.reporter.say(f"The model is in {self.out}. Next: bas eval {self.data} --model {self.out}")
        return answer


def parse(words: Sequence[str]) -> Train:
    """The command from its words."""
    recipe, settings = settings_for(words, "quick")
    return read(Train, words, recipe=recipe, settings=settings)
