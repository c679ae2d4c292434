"""Stages that several commands share: check, train, evaluate, localize, write."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import analysis, api, data, methods, refiners
from ..api.corrections import Learning, localize_corrected
from ..config import Recipe
from ..data.corrections import Corrections
from ..data.results import photo_folder
from ..errors import InputError
from ..evaluation.accumulator import Scores
from ..export import outputs
from ..inference.localizer import Localizer
from ..inference.report import not_found, report_per_tag
from ..io import MANIFEST, write_manifest
from ..localization import Localization, TagReport
from ..structures import Dataset, Problem
from ..training.fabric import splits_batch_statistics
from ..training.loop import Hooks
from ..viz.gallery_page import ADVICE
from .begun import PHOTOS, with_gone, write_photos
from .folder import first_process
from .progress import Reporter, Stage

OUTPUTS = (MANIFEST, *outputs())
MODEL = (
    *(MANIFEST, PHOTOS, "model", "model.json", "model.safetensors", "checkpoint.pt", "log.csv", analysis.LOSSES),
    *("features.npy", "events.out.tfevents.*"),
)
SPLIT_BATCHES = (
    "Each process normalizes its own share of a batch (BatchNorm), so the network will differ from that of one process."
)
RANDOM = (
    "With --weights none this recipe's network stays random, for only a probe and the generator are trained: expect"
    " poor maps. Give --weights auto or a FILE, or --recipe small, which trains every layer."
)
LAST_WORD = {
    "empty": "Try a lower --threshold first, then train with more photos or with --area a third lower.",
    "full": "Train with photos without any of the tags in a folder _background, or with --area a third higher.",
    "unknown": "The classifier has not learned the tags: train with more photos, a lower --probe-decay,"
    " or pretrained --weights.",
}
"""The next move where no tag's maps can be used, by the state of most of them."""


@dataclass
class Job:
    """Stages of one command, timed."""

    out: Path
    reporter: Reporter
    compute: api.Compute
    seconds: dict[str, float] = field(default_factory=dict)
    unreadable: dict[str, Problem] = field(default_factory=dict)
    """Photos that could be opened when they were checked, and cannot any more, by name."""

    def check(self, dataset: Dataset, *, resume: bool = False) -> Dataset:
        """Dataset of the photos that can be opened; prints the others.

        Args:
            resume: a stopped run goes on with the photos that it began with; those that are gone are missed.
        """
        with self.timed("checking photos") as stage:
            checked = api.check(dataset, max(2, self.compute.workers), api.Watch(opened=stage.at))
        for problem in checked.problems[:10]:
            self.reporter.say(f"  {problem.name}: {problem.reason}")
        if len(checked.problems) > 10:
            self.reporter.say(f"  and {len(checked.problems) - 10} more, all of them in run.json")
        if not checked.samples:
            raise InputError(f"{dataset.root} holds no photo that can be opened; run bas check {dataset.root}.")
        if resume:
            checked, gone = with_gone(checked, self.out)
            for problem in gone:
                self.miss(problem)
        return checked

    def announce(self, dataset: Dataset, recipe: Recipe, weights: bool | Path) -> None:
        """Say which weights are used, where nothing good can come of them, and what becomes of photos without a tag."""
        count = sum(not sample.labels for sample in dataset.only("train", "").samples)
        kind = methods.load(recipe.method)
        options = kind.read_options(recipe.options)
        learned = kind.learns_background(options)
        if weights is True and (features := api.features_of(recipe)).weights:
            self.reporter.say(features.sentence)
        if weights is False and getattr(options, "classifier", None) == "probe":
            self.reporter.say(RANDOM)
        photos, have, are = (f"{count} photos", "have", "are") if count > 1 else ("1 photo", "has", "is")
        if count:
            fate = "without a tag: learned as background" if learned else f"{have} no tag and {are} left out"
            self.reporter.say(f"{photos} {fate}")

    def announce_corrections(self, corrections: Corrections) -> None:
        """Say what was understood of corrections, if there are any, and what matches no photo."""
        if not corrections.boxes:
            return
        self.reporter.say(corrections.sentence)
        for old, new in corrections.renamed.items():
            self.reporter.say(f"  {old} is called {new} now")
        for problem in corrections.problems[:10]:
            self.reporter.say(f"  not used: {problem.name}: {problem.reason}")
        if len(corrections.problems) > 10:
            self.reporter.say(f"  and {len(corrections.problems) - 10} more")

    def train(
        self,
        dataset: Dataset,
        out: Path,
        recipe: Recipe,
        weights: bool | Path,
        model: Localizer | None = None,
        *,
        resume: bool,
        begin: Callable[[], None],
    ) -> Localizer:
        """Trained model, with a progress bar per stage; ``begin`` is called before anything is written.

        Args:
            model: an earlier one to go on with.
        """
        with self.timed("computing features", "batches") as features, self.timed("training") as steps:

            def hooks(trained: Localizer) -> Hooks:
                begin()
                if first_process():
                    write_photos(self.out, dataset)
                if splits_batch_statistics(trained.model):
                    self.reporter.say(SPLIT_BATCHES)
                return Hooks(on_step=steps.step)

            watch = api.Watch(batches=features.each, hooks=hooks, unreadable=self.miss)
            start = {"recipe": recipe, "weights": weights, "model": model}
            localizer = api.train(dataset, out, **start, resume=resume, compute=self.compute, watch=watch)
        if not features.total:  # none were computed
            del self.seconds["computing features"]
        if steps.total and (kept := self.compute.feature_cache):
            self.reporter.say(f"features {'kept in' if features.total else 'of an earlier training, from'} {kept}")
        if first_process() and (out / "log.csv").is_file() and (steps.total or not (out / analysis.LOSSES).is_file()):
            analysis.draw_losses(out)
        return localizer

    def score(self, dataset: Dataset, localizer: Localizer) -> Scores:
        """Metrics against ground-truth boxes."""
        with self.timed("evaluating", "batches") as stage:
            watch = api.Watch(batches=stage.each)
            return api.evaluate(dataset, localizer, ten_crop=False, compute=self.compute, watch=watch)

    def localize(
        self,
        dataset: Dataset,
        localizer: Localizer,
        tags: Any,
        objects: Any,
        min_score: float = 0.0,
        what: str = "localizing",
    ) -> list[Localization]:
        """Localizations of the tags in every photo."""
        with self.timed(what, "batches") as stage:
            watch = api.Watch(batches=stage.each, unreadable=self.miss)
            settings = {"objects": objects, "min_score": min_score, "compute": self.compute, "watch": watch}
            return list(api.predict(dataset, localizer, tags=tags, **settings))

    def report(self, found: Sequence[Localization], dataset: Dataset, localizer: Localizer) -> list[TagReport]:
        """Report on the maps of each tag, where the photos' tags are known."""
        return report_per_tag(localizer.with_own_classes(dataset), found)

    def label(
        self, dataset: Dataset, localizer: Localizer, objects: Any, model: Path, corrections: Corrections
    ) -> tuple[list[Localization], list[TagReport]]:
        """Localizations of the photos' own tags and the report on the maps of each.

        Tags whose maps hold at twice the size are localized there; for tags whose maps are empty or full Layer-CAM's
        stand in. With corrections the model learns from them where that helps. The saved model keeps all that, and what
        the objects of each tag look like.
        """

        def localize(some: Dataset, by: Localizer) -> list[Localization]:
            size = " at both sizes" if by.inference.enlarge == "mean" else " at twice the size"
            how = " by Layer-CAM" if by.inference.layercam else size if by.inference.enlarges else ""
            return self.localize(some, by, "known", objects, what=f"localizing{how}")

        def turns(items: Iterable[int], total: int) -> Iterator[int]:
            with self.timed("learning from corrections", "turns") as stage:
                yield from stage.each(items, total)

        own = localize_corrected(dataset, localizer, corrections, localize, self.compute.context(), turns, objects)
        if (learning := Learning(*own.localizer.corrections)).boxes:
            self.reporter.say(learning.sentence)
            if learning.outlook:
                self.reporter.say(learning.outlook)
        if own.localizer != localizer:
            own.localizer.save(model)
        if own.localizer.inference.enlarged:
            self.reporter.say(
                f"localized at twice the size, where their maps hold: {', '.join(own.localizer.inference.enlarged)}"
            )
        return own.found, own.reports

    def miss(self, problem: Problem) -> None:
        """Keep, and say once, that a photo cannot be read any more."""
        if problem.name not in self.unreadable:
            self.unreadable[problem.name] = problem
            self.reporter.say(f"  {problem.name}: it could be read when this began. It is left out from here on.")

    def readable(self, dataset: Dataset) -> Dataset:
        """The dataset without the photos that are missed; they are among its problems."""
        samples = tuple(sample for sample in dataset.samples if sample.name not in self.unreadable)
        return replace(dataset, samples=samples, problems=(*dataset.problems, *self.unreadable.values()))

    def write(
        self,
        found: Sequence[Localization],
        dataset: Dataset,
        localizer: Localizer,
        formats: Sequence[str],
        content: dict[str, Any],
        reports: Sequence[TagReport] = (),
        corrections: Corrections | None = None,
    ) -> dict[str, Any]:
        """Write the results and, last, ``run.json``, whose content is returned."""
        sizes = {one.name: one.size for one in found}
        for sample in dataset.samples:
            if sample.name not in sizes and sample.name not in self.unreadable:
                try:
                    sizes[sample.name] = data.image_size(sample.path)
                except data.UnreadableImage as error:
                    self.miss(Problem(sample.name, str(error)))
        dataset = self.readable(dataset)
        absent = [key for key, boxes in corrections.boxes.items() if not boxes] if corrections else []
        own = localizer.with_own_classes(dataset)
        facts = {"model": f"{localizer.model.architecture.backbone}, recipe {localizer.recipe or 'unknown'}"}
        if began_with := [one for one in localizer.pretrained if one]:
            facts["pretrained weights"] = ", license ".join(began_with)
        if (learning := Learning(*localizer.corrections)).outlook:
            facts[ADVICE] = f"Of corrections left out, correct: {learning.after:.0%}; {learning.outlook}."
        if seen := refiners.seen(localizer.inference):
            facts["masks"] = seen
            self.reporter.say(seen)
        with self.timed("writing"):
            api.save(
                found,
                self.out,
                formats,
                classes=localizer.classes,
                images=sizes,
                problems=dataset.problems,
                facts=facts,
                reports=reports,
                not_found=not_found(own, found, sizes, absent, tags_known=bool(reports)),
            )
        manifest = {
            **content,
            "photos": len(dataset.samples),
            **photo_folder(((sample.path, sample.name) for sample in dataset.samples), self.out),
            "objects": len(found),
            "objects_per_tag": dict(Counter(one.label for one in found)),
            **({"seen": seen} if seen else {}),
            **(_report_in_words(reports) if reports else {}),
            "problems": dataset.problems,
            "seconds": {stage: round(seconds, 1) for stage, seconds in self.seconds.items()},
        }
        write_manifest(self.out, manifest)
        (self.out / PHOTOS).unlink(missing_ok=True)
        self.say_which_are_alive(reports)
        return manifest

    def say_which_are_alive(self, reports: Sequence[TagReport]) -> None:
        """How many tags have maps that can be used, what is wrong with the others, and how much was not found."""
        if not reports:
            return
        sentences = [report.sentence for report in reports if report.state != "alive"]
        self.reporter.say(f"maps: {len(reports) - len(sentences)} of {len(reports)} tags alive")
        if replaced := [report.tag for report in reports if report.method == "layercam"]:
            self.reporter.say(f"boxes from Layer-CAM of the same network instead: {', '.join(replaced)}")
        for sentence in sentences[:10]:
            self.reporter.say(f"  {sentence}")
        if len(sentences) > 10:
            self.reporter.say(f"  and {len(sentences) - 10} more, in run.json")
        asked, missing = sum(report.photos for report in reports), sum(len(one.nothing_found) for one in reports)
        if missing:
            self.reporter.say(f"nothing found: {missing} of {asked} tags of photos, listed in run.json")

    def pointer(self, formats: Sequence[str]) -> str:
        """Where to look at what was written."""
        return f"Open {self.out / 'index.html'}" if "gallery" in formats else f"They are in {self.out}"

    def conclude(self, answer: dict[str, Any], formats: Sequence[str], *sentences: str) -> None:
        """The last lines of a command; where no tag's maps can be used, what to do instead."""
        states = Counter(tag["state"] for tag in answer.get("tags", ()))
        if states and not states["alive"]:
            move = LAST_WORD[states.most_common(1)[0][0]]
            instead = any(tag["method"] == "layercam" for tag in answer["tags"])
            what = "are Layer-CAM's, and poor" if instead else "cannot be used either"
            sentences = (
                f"No tag has maps that can be used, so these {answer['objects']} objects {what}. {move}"
                f" {self.pointer(formats)}",
            )
        for sentence in sentences:
            self.reporter.say(sentence)

    @contextmanager
    def timed(self, what: str, unit: str = "photos") -> Iterator[Stage]:
        """Progress bar of a stage, whose seconds are kept."""
        with self.reporter.stage(what, unit) as stage:
            yield stage
        self.seconds[what] = self.seconds.get(what, 0.0) + stage.seconds


def _report_in_words(reports: Sequence[TagReport]) -> dict[str, Any]:
    """``tags``, a row for each, and ``nothing_found``, photos and tags, as they stand in ``run.json``."""
    rows = [{**asdict(report), "state": report.state, "sentence": report.sentence} for report in reports]
    missing = [{"name": name, "tag": row["tag"]} for row in rows for name in row.pop("nothing_found")]
    return {"tags": rows, "nothing_found": missing}
