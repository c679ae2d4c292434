"""The model that is served, and the thread in which it learns from corrected boxes while it goes on predicting."""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ..api import Compute, predict
from ..api.corrections import ENOUGH, Learning, learn
from ..api.own_tags import OwnTags, localize_own_tags
from ..cards import CARD
from ..data import open_image
from ..data.corrections import Corrections, NoMatch, in_pixels
from ..errors import InputError, one_line
from ..inference.localizer import Localizer
from ..io import atomic_write, stable_hash
from ..localization import Localization
from ..structures import Dataset, Sample
from .annotations import Annotations
from .photos import Photos

BASE = "base"
"""File beside the learned model: hash of the one that it comes from."""
Say = Callable[[str], None]
"""Prints a line."""


def version_of(localizer: Localizer) -> str:
    """Name of a model, another one for each that was trained or has learned from other corrections."""
    taught = Learning(*localizer.corrections)
    parts = ["bas", localizer.fingerprint[:8], taught.fingerprint[:8] if taught.boxes and taught.kept else ""]
    return "-".join(filter(None, parts))


class Learner:
    """The model in use, and how it comes to be another.

    Each time it is the user's model that learns, from all corrections there are; what it has learned is saved as
    ``model`` in ``folder`` and is in use again after a restart.

    Args:
        objects: of each tag in a photo, the ``largest`` or ``all``.

    Raises:
        InputError: the saved model is damaged.
    """

    def __init__(
        self,
        base: Localizer,
        photos: Photos,
        annotations: Annotations,
        folder: Path,
        compute: Compute,
        say: Say,
        objects: Literal["largest", "all"] = "largest",
    ) -> None:
        self.base, self.current = base, base
        self._photos, self._annotations, self._folder = photos, annotations, folder / "model"
        self._compute, self._say = compute, say
        self._objects: Literal["largest", "all"] = objects
        self._lock, self._thread, self._again = threading.Lock(), None, False
        self.said = ""
        self._given_model = stable_hash(base.fingerprint, base.classes, base.inference, base.corrections)
        if (self._folder / CARD).is_file() and self._is_of_base():
            self.current = Localizer.load(self._folder)
            self.said = Learning(*self.current.corrections).sentence

    def _is_of_base(self) -> bool:
        """Whether the saved model comes from the given one."""
        file = self._folder / BASE
        return file.is_file() and file.read_text("utf-8") == self._given_model

    @property
    def busy(self) -> bool:
        """Whether it is learning."""
        return self._thread is not None and self._thread.is_alive()

    def status(self) -> dict[str, Any]:
        """What was learned and measured, for ``/health``."""
        taught = Learning(*self.current.corrections)
        measured = {**taught._asdict(), "kept": taught.kept} if taught.boxes else None
        state = "learning" if self.busy else "idle"
        return {"state": state, "corrected_tasks": len(self._annotations), "measured": measured, "said": self.said}

    def start(self) -> None:
        """Learn in the background; where it does already, once more when that is done."""
        with self._lock:
            self._again = True
            if not self.busy:
                self._thread = threading.Thread(target=self._run, daemon=True, name="learning")
                self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the end of the learning, so long at most."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._again:
                    self._thread = None
                    return
                self._again = False
            try:
                self.said = self._learned()
            except Exception as error:  # predictions go on, whatever comes
                self.said = f"not learned: {one_line(error)}"
            with suppress(OSError):  # the terminal may be gone
                self._say(self.said)

    def _learned(self) -> str:
        """Learn once; what came of it, in words."""
        dataset, corrections = self._given()
        self._say(f"learning in the background; {corrections.sentence}")
        own = OwnTags([*self._localize(dataset, self.base)], [], self.base)
        taught = learn(dataset, own, corrections, self._compute.context(), objects=self._objects)
        if taught is None:
            return f"not learned: it takes {ENOUGH} tags of photos with corrected boxes, and a model of bas label"
        better, result = taught
        if result.kept:
            seen = localize_own_tags(dataset, better, self._localize, enlarged=better.inference.enlarged)
            shapes = {one[0]: one for one in (*self.base.shapes, *seen.localizer.shapes)}
            better = replace(better, shapes=tuple(shapes.values()), corrections=tuple(result))
            (self._folder / BASE).unlink(missing_ok=True)
            better.save(self._folder)
            with atomic_write(self._folder / BASE) as partial:
                partial.write_text(self._given_model, "utf-8")
            self.current = better
        return f"{result.sentence}; the model in use is {version_of(self.current)}"

    def _given(self) -> tuple[Dataset, Corrections]:
        """The corrected photos and what was corrected in them, without tags that the model does not know."""
        classes, samples, known = self.base.classes, dict[str, Sample](), {}
        for address, entry in self._annotations.tasks():
            try:
                sample = self._photos.sample(address)
                found = in_pixels(entry, sample, classes)
                if sample.image is None:
                    open_image(sample.path)  # a damaged photo would end the learning from all
            except (InputError, NoMatch) as error:
                self._say(f"not learned from {address[:200]}: {error}")
                continue
            samples[sample.name] = sample
            known |= {(sample.name, tag): things for tag, things in found.items() if tag in classes}
        corrections = Corrections.of(known)
        return corrections.tagged(Dataset(self._folder, classes, tuple(samples.values()))), corrections

    def _localize(self, dataset: Dataset, localizer: Localizer) -> Iterable[Localization]:
        return predict(dataset, localizer, objects=self._objects, compute=self._compute)
