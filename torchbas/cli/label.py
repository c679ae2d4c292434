"""``bas label``: tags in, boxes and masks out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..export import check_formats
from .common import (
    Background,
    Common,
    Data,
    Formats,
    Objects,
    Settings,
    alone,
    chosen,
    read_with_recipe,
    weights_of,
)
from .folder import OutputFolder


@dataclass
class Label(Common):
    """Tags in, boxes and masks out: train on your photos, localize every tag, write what annotation tools read.

    DATA is a folder with one folder per tag, a CSV "file,tags" or a JSON list. Any value of the recipe is a flag.
    """

    data: Data = field(kw_only=True)
    out: Path = field(kw_only=True)
    """Folder to write into."""
    recipe: str = "quick"
    """Name of a recipe (bas recipes lists them), or your own FILE.py, which is run."""
    weights: str = "auto"
    """ImageNet weights: auto fetches them, a FILE is read, none initializes at random."""
    model: Path | None = None
    """Folder of an earlier bas label, to go on with: what it knows stands, and only tags that are new are learned."""
    background: Background = ()
    """Tags whose photos show none of the others (good, empty): their photos become background, learned as such."""
    objects: Objects = "largest"
    """The largest component of each heatmap, or all."""
    corrected: tuple[Path, ...] = ()
    """Files with boxes corrected by hand, of the gallery or a tool: they are learned from, and written as they are."""
    format: Formats = ("coco", "voc", "gallery")
    feature_cache: Path | None = None
    """Folder where the features of a network that is not trained are kept for the next training on these photos."""
    overwrite: bool = False
    """Replace an earlier run in --out."""
    resume: bool = False
    """Go on with a stopped run in --out."""
    settings: Settings = field(default_factory=Settings)

    def run(self) -> dict[str, Any]:
        """Check, train, localize, write."""
        from .. import api, data
        from ..training.recipe import check_needs
        from .going_on import earlier_model
        from .job import MODEL, OUTPUTS, Job
        from .progress import Reporter

        alone("label")
        weights, recipe = weights_of(self.weights), self.settings.of(self.recipe)
        check_needs(recipe, recipe.options, weights)
        if not self.model:
            recipe = api.usable(recipe, weights)
        dataset, earlier = data.read(self.data).with_background(*self.background), None
        if self.model:
            earlier = earlier_model(self.model, self.out, self.weights, recipe, self.data, dataset, self.corrected)
            dataset, recipe = earlier.dataset, earlier.recipe
        check_formats(self.format, dataset.classes)
        corrections = data.read_corrections(self.corrected, dataset)
        dataset = corrections.tagged(dataset)
        self.folder = OutputFolder(self.out, self.data, overwrite=self.overwrite, resume=self.resume)
        begin = partial(self.folder.begin, *OUTPUTS, *MODEL)
        precision = recipe.training.precision
        job = Job(self.out, Reporter(self.quiet), api.Compute(self.device, self.workers, precision, self.feature_cache))
        checked = job.check(dataset, resume=self.resume)
        job.announce_corrections(corrections)
        words = {"command": "label", "words": chosen(self)}
        if earlier:
            job.reporter.say(earlier.sentence(corrected=bool(corrections.boxes)))
        if recipe.training.steps != 0:
            job.announce(checked, recipe, weights)
        start = earlier.model if earlier else None
        localizer = job.train(checked, self.out / "model", recipe, weights, start, resume=self.resume, begin=begin)
        begin()
        if earlier:
            words["went_on"] = earlier.result(localizer)
            if earlier.new:
                job.reporter.say(earlier.told_apart(localizer, corrected=bool(corrections.boxes)))
        found, reports = job.label(checked, localizer, self.objects, self.out / "model", corrections)
        answer = job.write(found, checked, localizer, self.format, words, reports, corrections)
        job.conclude(
            answer,
            self.format,
            f"{len(found)} objects in {answer['photos']} photos. {job.pointer(self.format)}",
            f"Next: bas predict NEW_PHOTOS --model {self.out} --tags predicted --out FOLDER",
        )
        return answer


def parse(words: Sequence[str]) -> Label:
    """The command from its words."""
    return read_with_recipe(Label, words, "quick")
