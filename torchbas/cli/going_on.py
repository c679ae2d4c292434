"""``bas label --model``: what is checked before a model is gone on with, and what is said of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..config import Recipe
from ..errors import InputError
from ..export.coco import read_boxes
from ..inference.localizer import Localizer
from ..io import MANIFEST, read_manifest
from ..structures import Dataset
from ..training.going_on import going_on_recipe, known_model, new_tags, still_recognized, with_known_tags


class Earlier(NamedTuple):
    """The model of an earlier ``bas label``, and what a folder of photos adds to it."""

    folder: Path
    model: Localizer
    dataset: Dataset
    """The photos, their class list that of the model, followed by what is new."""
    recipe: Recipe
    new: tuple[str, ...]
    """Tags that the model does not know."""

    def sentence(self, *, corrected: bool) -> str:
        """What is done, and why."""
        if not self.new and corrected:
            return f"{self.folder} knows every tag: no tag is learned anew, its maps learn from the corrections"
        if not self.new:
            return f"{self.folder} knows every tag: nothing is trained, its model localizes as it is"
        known = len(self.model.classes)
        stand = f"its {known} tags stay" if known > 1 else f"its tag {self.model.classes[0]} stays"
        new = ", ".join(self.new[:10]) + (f" and {len(self.new) - 10} more" if len(self.new) > 10 else "")
        return f"going on with {self.folder}: {stand} as they are, learned anew: {new}"

    def result(self, after: Localizer) -> dict[str, Any]:
        """What was known and what is new, for ``run.json``, and how well the two are told apart."""
        same, all_of_them = still_recognized(self.model, after)
        known = {"model": self.folder, "known_tags": self.model.classes, "new_tags": self.new}
        return {**known, "remembered_photos": all_of_them, "same_tag": same}

    def told_apart(self, after: Localizer, *, corrected: bool) -> str:
        """How well what was known is told from what is new, in words; and what becomes of its boxes."""
        same, all_of_them = still_recognized(self.model, after)
        boxes = (
            "corrected boxes move the maps and the threshold of all tags, which is not measured on the earlier photos"
            if corrected
            else "the boxes of its tags do not change"
        )
        return (
            f"of {all_of_them} photos that the earlier model remembers {same} have the same most probable tag; {boxes}"
        )


def earlier_model(
    folder: Path, out: Path, weights: str, recipe: Recipe, source: Path, dataset: Dataset, corrected: Sequence[Path]
) -> Earlier:
    """A model to go on with, checked against the other words of the command.

    Raises:
        InputError: no such model; words that do not go with it; photos that it was made of, and nothing new about them.
    """
    if weights != "auto":
        raise InputError("--weights are the model's own with --model: leave one of the two out.")
    model = known_model(folder)
    if folder.resolve().is_relative_to(out.resolve()):
        raise InputError(f"--out {out} holds the model that is gone on with: choose another --out.")
    new = new_tags(model, dataset)
    if not (new or corrected) and _same_photos(folder, source, dataset):
        raise InputError(
            f"{folder} was made of the same photos of {source}: give others, or --corrected boxes of these."
        )
    return Earlier(folder, model, with_known_tags(dataset, model), going_on_recipe(model, recipe, new), new)


def _same_photos(folder: Path, source: Path, dataset: Dataset) -> bool:
    """Whether the earlier command read the same folder, and no photo in it is new."""
    boxes = folder / "boxes.coco.json"
    if not boxes.is_file() or not (folder / MANIFEST).is_file():
        return False
    words = read_manifest(folder).get("words")
    given = words.get("data") if isinstance(words, dict) else None
    if not isinstance(given, str) or Path(given).resolve() != source.resolve():
        return False
    return {one.name for one in dataset.samples} <= read_boxes(boxes).keys()
