"""``bas train``: train a model by a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from ..methods import METHODS
from .common import (
    Background,
    Common,
    Data,
    Settings,
    chosen,
    read_with_recipe,
    weights_of,
    words_of,
)
from .folder import OutputFolder, first_process

if TYPE_CHECKING:
    Method = str
else:
    Method = tyro.extras.literal_type_from_choices(METHODS)


@dataclass
class Train(Common):
    """Train a model on tagged photos (the split train, where there are splits). Any value of the recipe is a flag.

    Several GPUs or machines: start the same command by torchrun.
    """

    data: Data = field(kw_only=True)
    out: Path = field(kw_only=True)
    """Folder of the run."""
    recipe: str = "quick"
    """Name of a recipe (bas recipes lists them), or your own FILE.py, which is run."""
    method: Method = "bas"
    """What is trained, by default the recipe's. Options of another one: bas train --method NAME --help-all."""
    weights: str = "auto"
    """ImageNet weights: auto fetches them, a FILE is read, none initializes at random; or the folder of any RUN,
    to start from its classifier."""
    background: Background = ()
    """Tags whose photos show none of the others (good, empty): their photos become background, learned as such."""
    feature_cache: Path | None = None
    """Folder where the features of a network that is not trained are kept for the next training on these photos."""
    overwrite: bool = False
    """Replace an earlier run in --out."""
    resume: bool = False
    """Go on with a stopped run in --out."""
    settings: Settings = field(default_factory=Settings)

    def run(self) -> dict[str, Any]:
        """Check, train, save."""
        from .. import api, data
        from ..io import write_manifest
        from ..training.recipe import check_needs
        from .begun import PHOTOS
        from .job import MODEL, Job
        from .progress import Reporter

        weights, recipe = weights_of(self.weights), self.settings.of(self.recipe, self.method)
        recipe = api.usable(recipe, weights)
        check_needs(recipe, recipe.options, weights)
        dataset = data.read(self.data).with_background(*self.background).only("train", "")
        self.folder = OutputFolder(self.out, self.data, overwrite=self.overwrite, resume=self.resume)
        begin = partial(self.folder.begin, *MODEL)
        compute = api.Compute(self.device, self.workers, recipe.training.precision, self.feature_cache)
        job = Job(self.out, Reporter(self.quiet or not first_process()), compute)
        checked = job.check(dataset, resume=self.resume)
        job.announce(checked, recipe, weights)
        job.train(checked, self.out, recipe, weights, resume=self.resume, begin=begin)
        begin()
        problems = job.readable(checked).problems
        answer = {"command": "train", "words": chosen(self), "problems": problems, "seconds": job.seconds}
        if first_process():
            write_manifest(self.out, answer)
            (self.out / PHOTOS).unlink(missing_ok=True)
        job.reporter.say(
            f"The model is in {self.out}. Next: bas eval {words_of(self.data, self.background)} --model {self.out}"
        )
        return answer


def parse(words: Sequence[str]) -> Train:
    """The command from its words."""
    return read_with_recipe(Train, words, "quick")
