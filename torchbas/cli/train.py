"""``bas train``: a model by a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError
from .common import Common, Data, Settings, chosen, first_process, prepare, settings_for, weights_of
from .common import parse as read

Compared = Literal["cam", "gradcam", "layercam", "has", "acol", "adl", "cutmix", "spg"]
Combined = Literal["irn", "recam", "advcam", "cda", "clims", "wood"]
OWN = {"bank": ("cda",), "ood": ("wood",), "clip_model": ("bas", "clims"), "prompts": ("bas", "clims")}
"""Which methods a flag is for."""


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
    method: Literal["bas", Compared, Combined] = "bas"
    """bas, or a method it is compared or combined with, trained the same way (where a recipe caches the
    stem's features, as quick does, with --stem frozen). recam, clims and wood go on from a run: give --weights RUN."""
    weights: str = "auto"
    """ImageNet weights: auto fetches them, a FILE is read, none starts from nothing; or the folder of any other RUN, to
    go on from its classifier."""
    bank: str | None = None
    """For cda: folder of masks of these photos from a first round."""
    ood: str | None = None
    """For wood: folder of photos without any of the classes."""
    clip_model: str | None = None
    """For clims, or for bas with its losses: NAME:FILE of open_clip, or a folder of transformers."""
    prompts: str | None = None
    """JSON with other words for CLIP."""
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

        weights, options = weights_of(self.weights), self.options()
        collection = data.read(self.data).only("train", "")
        prepare(self.out, self.data, MODEL, overwrite=self.overwrite, resume=self.resume)
        precision = self.settings.training.precision
        job = Job(
            self.out, Reporter(self.quiet or not first_process()), api.Compute(self.device, self.workers, precision)
        )
        checked = job.check(collection)
        recipe = self.settings.of(self.recipe)
        if self.method == "bas":
            job.train(checked, self.out, recipe, weights, resume=self.resume, **options)
        else:
            job.train_baseline(checked, self.out, recipe, self.method, weights, resume=self.resume, **options)
        answer = {"command": "train", "words": chosen(self), "problems": checked.problems, "seconds": job.seconds}
        if first_process():
            write_manifest(self.out, answer)
        job.reporter.say(f"The model is in {self.out}. Next: bas eval {self.data} --model {self.out}")
        return answer

    def options(self) -> dict[str, str]:
        """What the method itself is given. Raises :class:`InputError` for what it cannot use."""
        given = {name: getattr(self, name) for name in OWN if getattr(self, name) is not None}
        for name in given:
            if self.method not in OWN[name]:
                raise InputError(
                    f"--{name.replace('_', '-')} is for {' and '.join(OWN[name])}: give --method, or leave it out."
                )
        if given.keys() == {"prompts"}:
            raise InputError("--prompts are words for a CLIP: give it as --clip-model.")
        return given


def parse(words: Sequence[str]) -> Train:
    """The command from its words."""
    recipe, settings = settings_for(words, "quick")
    return read(Train, words, recipe=recipe, settings=settings)
