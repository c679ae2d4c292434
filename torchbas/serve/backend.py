"""What is asked of the server, without HTTP: predictions for tasks and photos, annotations, learning."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..api import Compute, Watch, predict
from ..config import LEAST_CERTAINTY
from ..data import decode
from ..errors import InputError
from ..export.label_studio import configuration
from ..inference.localizer import Localizer
from ..localization import Localization
from ..structures import Dataset, Sample
from .annotations import Annotations, photo_of
from .controls import Control, control_of
from .learning import Learner, Say, version_of
from .photos import Photos

MOST_TASKS = 1000
"""Tasks of one request."""
CHANGES = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED")
"""Events of Label Studio that bring annotations."""


class TooMuch(InputError):
    """A request beyond a limit."""


@dataclass(frozen=True)
class Wanted:
    """How photos are localized."""

    objects: Literal["largest", "all"] = "largest"
    min_score: float = LEAST_CERTAINTY
    """Least certainty where tags are predicted."""
    compute: Compute = field(default_factory=Compute)


class Backend:
    """A model with what it predicts for and learns from.

    Args:
        annotations: where those that arrive are kept; None: they are refused.
        learner: of the annotations.
        every: new annotations after which it learns; 0 waits until it is told.
    """

    def __init__(
        self,
        localizer: Localizer,
        wanted: Wanted,
        photos: Photos,
        annotations: Annotations | None = None,
        learner: Learner | None = None,
        every: int = 10,
        say: Say = lambda _: None,
    ) -> None:
        self._localizer, self._wanted, self._photos, self._say = localizer, wanted, photos, say
        self._annotations, self._learner, self._every, self._new = annotations, learner, every, 0
        self._control = control_of(configuration(localizer.classes), localizer.classes)
        self._one_at_a_time, self._counting = threading.Lock(), threading.Lock()

    @property
    def localizer(self) -> Localizer:
        """The model in use."""
        return self._learner.current if self._learner else self._localizer

    @property
    def busy(self) -> bool:
        """Whether it is predicting or learning."""
        return self._one_at_a_time.locked() or (self._learner is not None and self._learner.busy)

    def health(self) -> dict[str, Any]:
        """That it is there, which model is in use, and what it has learned."""
        learning = {"learning": self._learner.status()} if self._learner else {}
        return {"status": "UP", "model_class": "torchbas", "model_version": version_of(self.localizer), **learning}

    def versions(self) -> dict[str, Any]:
        """The model in use, and the one that was given."""
        return {"versions": [*dict.fromkeys(map(version_of, (self.localizer, self._localizer)))]}

    def setup(self, content: Any) -> dict[str, Any]:
        """Take the labelling configuration of a project, for predictions that come without one."""
        if (schema := _object(content).get("schema")) is not None:
            self._control = control_of(schema, self._localizer.classes)
        return {"model_version": version_of(self.localizer)}

    def predict(self, content: Any) -> dict[str, Any]:
        """A prediction for each task; none for one whose photo is not there, an error where that holds for all."""
        tasks, schema = _object(content).get("tasks"), content.get("label_config")
        if not isinstance(tasks, list):
            raise InputError("The request has no list of tasks.")
        if len(tasks) > MOST_TASKS:
            raise TooMuch(f"{len(tasks)} tasks are more than {MOST_TASKS}: send fewer at once.")
        control = control_of(schema, self._localizer.classes) if schema else self._control
        localizer = self.localizer
        results, fault = self._predictions(tasks, control, localizer)
        if fault and not any(results):
            raise InputError(fault)
        return {"results": results, "model_version": version_of(localizer)}

    def _predictions(self, tasks: list[Any], control: Control, localizer: Localizer) -> tuple[list[Any], str]:
        samples, faults = {}, {}
        for number, task in enumerate(tasks):
            try:
                address = photo_of(task.get("data") if isinstance(task, dict) else None, control.key)
                samples[f"{number}"] = self._photos.sample(address)
            except InputError as error:
                faults[f"{number}"] = str(error)
        named = [replace(sample, name=number) for number, sample in samples.items()]
        found = self._localized(named, localizer, faults)
        for fault in dict.fromkeys(faults.values()):
            self._say(fault)
        version = version_of(localizer)
        results = [
            [] if number in faults else control.prediction(found.get(number, []), version)
            for number in map(str, range(len(tasks)))
        ]
        return results, next(iter(faults.values()), "")

    def _localized(
        self, samples: Sequence[Sample], localizer: Localizer, faults: dict[str, str]
    ) -> dict[str, list[Localization]]:
        """The objects by sample: of its tags where they are known, else of the most probable one."""
        wanted, found = self._wanted, dict[str, list[Localization]]()
        watch = Watch(unreadable=lambda problem: faults.update({problem.name: problem.reason}))
        for tags, least in (("known", 0.0), ("predicted", wanted.min_score)):
            some = tuple(one for one in samples if bool(one.labels) == (tags == "known"))
            with self._one_at_a_time:
                for one in predict(
                    Dataset(Path(), localizer.classes, some),
                    localizer,
                    tags=tags,
                    objects=wanted.objects,
                    min_score=least,
                    compute=wanted.compute,
                    watch=watch,
                ):
                    found.setdefault(one.name, []).append(one)
        return found

    def localize(self, content: bytes, tags: Sequence[str], *, masks: bool = False) -> dict[str, Any]:
        """The objects in a photo: of some tags, or of the most probable one.

        Args:
            masks: with COCO's run lengths.
        """
        localizer = self.localizer
        labels = localizer.labels_of(tags)
        photo = decode("The photo", content=content)
        faults: dict[str, str] = {}
        sample = Sample(Path("photo"), "photo", labels, image=photo.image)
        found = self._localized([sample], localizer, faults).get("photo", [])
        height, width = photo.size
        objects = [_as_json(one, masks=masks) for one in found]
        return {"model_version": version_of(localizer), "width": width, "height": height, "objects": objects}

    def webhook(self, content: Any) -> dict[str, Any]:
        """An event of Label Studio: annotations are stored, learned from after every so many; others do nothing."""
        action = _object(content).get("action")
        if action == "START_TRAINING":
            return self.train({})
        if action in CHANGES:
            tasks, annotations = content.get("task"), content.get("annotation")
            pairs = zip(tasks, annotations, strict=False) if isinstance(tasks, list) else [(tasks, annotations)]
            for task, annotation in pairs:
                self._kept.put(task, [annotation])
                self._count(1)
        elif action == "ANNOTATIONS_DELETED":
            self._count(self._kept.remove(content.get("annotations")))
        return self.health()

    def train(self, content: Any) -> dict[str, Any]:
        """Learn in the background, from the annotations that came before and those of this request."""
        tasks = _object(content).get("annotations", [])
        if not isinstance(tasks, list):
            raise InputError("The request's annotations are no list of tasks.")
        for task in tasks:
            self._kept.put(task, task.get("annotations") if isinstance(task, dict) else None)
        self._new = 0
        if self._kept and self._learner:
            self._learner.start()
        return self.health()

    @property
    def _kept(self) -> Annotations:
        if self._annotations is None:
            raise InputError("Nothing is learned here: start bas serve with --out FOLDER, where annotations are kept.")
        return self._annotations

    def _count(self, changes: int) -> None:
        with self._counting:
            self._new += changes
            if not self._every or self._new < self._every:
                return
            self._new = 0
        if self._learner:
            self._learner.start()


def _object(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InputError("The request is no JSON object.")
    return content


def _as_json(one: Localization, *, masks: bool) -> dict[str, Any]:
    numbers = {name: round(getattr(one, name), 4) for name in ("score", "confidence", "certainty", "bas_ratio")}
    made = {"label": one.label, "xyxy": [*map(float, one.xyxy)], **numbers, "method": one.method}
    return made | ({"rle": {"size": [*one.size], "counts": one.rle["counts"].decode()}} if masks else {})
