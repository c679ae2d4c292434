"""Features that outlive a training, for the next one on the same photos with the same F1: computed once."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..config import Training
from ..inputs import regular
from ..io import atomic_write, partial_of, stable_hash
from ..methods.base import Method
from ..model.weights import weights_hash
from ..structures import Dataset
from .fabric import ALONE, Together
from .feature_cache import CachedFeatures, compute_features, opened


def kept_features(
    folder: Path,
    model: Method,
    dataset: Dataset,
    training: Training,
    views: int,
    *,
    precision: str,
    together: Together = ALONE,
    **how: Any,
) -> CachedFeatures:
    """The features in ``folder``, where they are there; else computed and kept there as ``<key>.npy``, and
    ``<key>.json`` that says what they are.

    Args:
        precision: in which they are computed, part of the key.
        how: further arguments of :func:`~torchbas.training.feature_cache.compute_features`, which raises what it says.
    """
    place = folder / key_of(model, dataset, training, views, precision)
    array, card = place.with_suffix(".npy"), place.with_suffix(".json")
    missing, *_ = together.gather(_missing(card) if array.is_file() else None)
    if missing is not None:
        with suppress(OSError, ValueError):  # damaged, so they are computed again
            features = opened(array, model, training, views, len(dataset.samples), "r")
            return CachedFeatures(features, dataset, training.seed, missing)
    partial, *_ = together.gather(partial_of(array))
    try:
        computed = compute_features(model, dataset, training, partial, views, together=together, **how)
        if together.rank == 0:
            partial.replace(array)
            missing = sorted(set(range(len(dataset.samples))) - set(computed.there.tolist()))
            about = {"backbone": model.architecture.backbone, "photos": len(dataset.samples), "views": views}
            with atomic_write(card) as aside:
                aside.write_text(json.dumps({**about, "missing": missing}) + "\n", encoding="utf-8")
    finally:
        if together.rank == 0:
            partial.unlink(missing_ok=True)
    return computed


def key_of(model: Method, dataset: Dataset, training: Training, views: int, precision: str) -> str:
    """Hash of all that the features depend on: F1 and its weights, the views, and each photo's name, size and time."""
    own = model.architecture
    network = own.backbone, own.generator_stage, own.activation, own.padding_mode, own.offset, model.normalization
    sides = training.resize, training.crop, training.resolutions, training.seed
    photos = [(sample.name, *_state(sample.path)) for sample in dataset.samples]
    return stable_hash(weights_hash(model.f1), network, sides, views, precision, photos)


def _state(path: Path) -> tuple[int, int]:
    """Bytes and time of a photo; zeros where it is gone, which makes a key of its own."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _missing(card: Path) -> list[int] | None:
    """Samples that kept features lack; None where the card is not there or is damaged."""
    try:
        found = json.loads(regular(card).read_text("utf-8"))["missing"]
        return [int(index) for index in found]
    except (OSError, ValueError, LookupError, TypeError):
        return None
