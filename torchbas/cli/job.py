"""The stages that several commands go through: check, train, find, write."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import api, data
from ..config import Recipe
from ..engine import Hooks
from ..errors import InputError
from ..formats import write_manifest
from ..localize import Scores
from ..localize.localizer import Localizer
from ..types import Collection, Localization
from .progress import Reporter, Stage

for name in ("lightning.fabric", "lightning.pytorch"):  # the user did not ask for their news
    logging.getLogger(name).setLevel(logging.WARNING)

OUTPUTS = ("boxes.coco.json", "masks.coco.json", "outlines.coco.json", "masks", "index.html")
MODEL = (
    *("model", "model.json", "model.safetensors", "checkpoint.pt", "log.csv", "features.npy"),
    "events.out.tfevents.*",
)


@dataclass
class Job:
    """One command at work; remembers how long each stage took."""

    out: Path
    reporter: Reporter
    compute: api.Compute
    seconds: dict[str, float] = field(default_factory=dict)

    def check(self, collection: Collection) -> Collection:
        """Open every photo; say what is skipped."""
        with self.timed("checking photos") as stage:
            checked = api.check(collection, max(2, self.compute.workers), api.Watch(opened=stage.at))
        for problem in checked.problems[:10]:
            self.reporter.say(f"  {problem.name}: {problem.reason}")
        if len(checked.problems) > 10:
            self.reporter.say(f"  and {len(checked.problems) - 10} more, all of them in run.json")
        if not checked.photos:
            raise InputError(f"{collection.root} holds no photo that can be opened; run bas check {collection.root}.")
        return checked

    def train(
        self, collection: Collection, out: Path, recipe: Recipe, weights: bool | Path, *, resume: bool, **options: Any
    ) -> Localizer:
        """Train with a bar per stage."""
        with self.timed("computing features") as features, self.timed("training") as steps:
            watch = api.Watch(batches=features.each, hooks=lambda _: Hooks(on_step=steps.step))
            how = {"recipe": recipe, "weights": weights, "resume": resume, "compute": self.compute, "watch": watch}
            return api.train(collection, out, **how, **options)

    def train_baseline(
        self,
        collection: Collection,
        out: Path,
        recipe: Recipe,
        method: str,
        weights: bool | Path,
        *,
        resume: bool,
        **options: Any,
    ) -> None:
        """The same for a method that BAS is compared with."""
        with self.timed("training") as steps:
            hooks = Hooks(on_step=steps.step)
            api.train_baseline(
                collection,
                out,
                method,
                recipe=recipe,
                weights=weights,
                resume=resume,
                compute=self.compute,
                hooks=hooks,
                **options,
            )

    def score(self, collection: Collection, localizer: Localizer) -> Scores:
        """Compare with true boxes."""
        with self.timed("evaluating") as stage:
            watch = api.Watch(batches=stage.each)
            return api.evaluate(collection, localizer, ten_crop=False, compute=self.compute, watch=watch)

    def find(self, collection: Collection, localizer: Localizer, tags: Any, objects: Any) -> list[Localization]:
        """Look for the tags in every photo."""
        with self.timed("finding objects") as stage:
            watch = api.Watch(batches=stage.each)
            return api.predict(collection, localizer, tags=tags, objects=objects, compute=self.compute, watch=watch)

    def write(
        self,
        found: Sequence[Localization],
        collection: Collection,
        localizer: Localizer,
        formats: Sequence[str],
        content: dict[str, Any],
    ) -> dict[str, Any]:
        """Write the results and, last, ``run.json``."""
        sizes = {one.name: one.size for one in found}
        sizes |= {p.name: data.image_size(p.path) for p in collection.photos if p.name not in sizes}
        facts = {"model": f"{localizer.model.architecture.backbone}, recipe {localizer.recipe or 'unknown'}"}
        with self.timed("writing"):
            api.save(
                found,
                self.out,
                formats,
                classes=localizer.classes,
                images=sizes,
                problems=collection.problems,
                facts=facts,
            )
        manifest = {
            **content,
            "photos": len(collection.photos),
            "objects": len(found),
            "objects_per_tag": dict(Counter(one.label for one in found)),
            "problems": collection.problems,
            "seconds": {stage: round(seconds, 1) for stage, seconds in self.seconds.items()},
        }
        write_manifest(self.out, manifest)
        return manifest

    @contextmanager
    def timed(self, what: str) -> Iterator[Stage]:
        """A bar for a stage, whose seconds are remembered."""
        with self.reporter.stage(what) as stage:
            yield stage
        self.seconds[what] = stage.seconds
