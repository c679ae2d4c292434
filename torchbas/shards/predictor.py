"""A trained model that makes rows of photos: in a loop over a shard, or as a callable class of Ray Data."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..api import Compute, Watch, load, predict
from ..config import LEAST_CERTAINTY
from ..data import Batch
from ..data.parts import SCHEMA
from ..errors import InputError
from ..inference.localizer import Localizer
from ..io import stable_hash
from ..localization import Localization
from ..model.weights import weights_hash
from ..refiners import stages
from ..structures import Dataset, Sample
from ..training.fabric import resolve_precision
from .sources import Some

LONG = 16
"""Hexadecimal digits of a model's fingerprint in a row."""


class Predictor:
    """A trained model for many photos, with the settings of :func:`~torchbas.api.predict`.

    For Ray Data: ``photos.map_batches(tb.Predictor, fn_constructor_kwargs={"model": "runs/pets"})``, of a dataset with
    a column ``bytes`` (:func:`ray.data.read_binary_files`), ``image`` (:func:`ray.data.read_images`) or ``path``, and
    a column ``key`` or ``path`` with the photos' names. The rows that come out have the columns of a part of ``bas
    predict --shard`` (docs/scale.md).

    Args:
        model: folder of a run, or whatever else :func:`~torchbas.api.load` reads.
        tags: the ``predicted`` tag of each photo, or names of tags to localize in every photo.
        top_k: how many classes' maps to average; None: the model's own.
        input_size: both sides that photos are squeezed to; None: the model's own.
        refine: stages that draw masks to the photo's edges, and the weights of ``sam2``; None: the model's own.
        min_score: localizations with a lower certainty (by default .05) are left out, where tags are predicted.
        compute: device, processes that decode, precision; None: the fastest device.

    Raises:
        InputError: no such model, or a tag that it does not know.
    """

    def __init__(
        self,
        model: str | Path | Localizer,
        *,
        tags: Literal["predicted"] | Sequence[str] = "predicted",
        objects: Literal["largest", "all"] = "largest",
        threshold: float | Literal["auto", "image_specific"] | None = None,
        top_k: int | None = None,
        input_size: int | None = None,
        refine: str | Sequence[str] | None = None,
        refiner_weights: str | Path = "",
        min_score: float = LEAST_CERTAINTY,
        compute: Compute | None = None,
    ) -> None:
        localizer = model if isinstance(model, Localizer) else load(model)
        localizer = localizer.with_inference(threshold=threshold, top_k=top_k, input_size=input_size)
        self.localizer = localizer.with_refine(refine, str(refiner_weights))
        stages(self.localizer.inference)  # whose weights may be missing
        if tags != "predicted":
            self.localizer.labels_of(tags)
        self.settings = {"tags": tags, "objects": objects, "min_score": min_score if tags == "predicted" else 0.0}
        self.compute = compute or Compute()
        self.fingerprint = _fingerprint(self.localizer)

    @property
    def work(self) -> dict[str, Any]:
        """All that a photo's rows depend on."""
        precision = resolve_precision(self.compute.precision, self.compute.place().type)
        return {"model": self.fingerprint, "classes": self.localizer.classes, **self.settings, "precision": precision}

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Rows of a batch of Ray Data, as columns.

        Raises:
            InputError: neither photos nor their names in the batch.
        """
        kind = next((one for one in ("bytes", "image", "path") if one in batch), None)
        names = batch.get("key", batch.get("path"))
        if kind is None or names is None:
            raise InputError("Photos for a Predictor need a column bytes, image or path, and one key or path.")
        samples = tuple(_sample(str(name), kind, photo) for name, photo in zip(names, batch[kind], strict=True))
        rows = [*self.rows(Some(Dataset(Path(), (), samples)))]
        return {column: [row[column] for row in rows] for column in SCHEMA.names}

    def rows(self, some: Some) -> Iterator[dict[str, Any]]:
        """Rows of photos, in their order: one for each object, else one that says that there is none, or why."""
        sizes, faults = dict[int, tuple[int, int]](), dict[str, str]()

        def remembered(batches: Iterable[Batch], _: int) -> Iterator[Batch]:
            for batch in batches:
                sizes.update(zip(batch.index.tolist(), map(tuple, batch.size.tolist()), strict=True))
                yield batch

        watch = Watch(batches=remembered, unreadable=lambda problem: faults.update({problem.name: problem.reason}))
        for problem in some.problems:
            yield self._row(problem.name, error=problem.reason)
        samples, place = some.photos.samples, 0
        found = predict(some.photos, self.localizer, compute=self.compute, watch=watch, **self.settings)
        for name, things in groupby(found, key=lambda one: one.name):
            while samples[place].name != name:
                yield self._without(samples[place], sizes.pop(place, None), faults)
                place += 1
            sizes.pop(place, None)
            place += 1
            yield from (self._row(name, one) for one in things)
        for rest in range(place, len(samples)):
            yield self._without(samples[rest], sizes.pop(rest, None), faults)

    def _without(self, sample: Sample, size: tuple[int, int] | None, faults: dict[str, str]) -> dict[str, Any]:
        """The row of a photo without an object."""
        height, width = size or (None, None)
        return self._row(sample.name, error=faults.pop(sample.name, None)) | {"height": height, "width": width}

    def _row(self, key: str, one: Localization | None = None, error: str | None = None) -> dict[str, Any]:
        row = defaultdict(lambda: None, key=key, model=self.fingerprint[:LONG], error=error)
        if one is not None:
            height, width = one.size
            row |= {"height": height, "width": width, "label": one.label, "method": one.method}
            row |= {"score": one.score, "confidence": one.confidence, "bas_ratio": one.bas_ratio}
            row |= {"xyxy": [*one.xyxy], "mask": one.rle["counts"].decode("ascii")}
        return {column: row[column] for column in SCHEMA.names}


def _sample(name: str, kind: str, photo: Any) -> Sample:
    """A photo of a batch."""
    if kind == "bytes":
        return Sample(Path(name), name, content=bytes(photo))
    if kind == "path":
        return Sample(Path(photo), name)
    from ..data.given import samples_of

    (sample,) = samples_of([np.asarray(photo)])
    return replace(sample, name=name)


def _fingerprint(localizer: Localizer) -> str:
    """SHA-256 of weights, classes and settings."""
    weights, settings = weights_hash(localizer.model), asdict(localizer.inference)
    return stable_hash(weights, localizer.classes, localizer.sides, settings, localizer.shapes)
