"""Training of a segmenter on photos and their pseudo masks."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...config import Training
from ...data.ground_truth import read_mask
from ...errors import InputError
from ...io import stable_hash
from ...methods.trained import TrainedModel
from ...structures import IGNORE_INDEX
from ...training.loop import Hooks
from ...training.train import train
from ..pairs import Pairs, PairTraining, load_network
from .network import Initialization, Segmenter

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)
"""Scales of a photo while training."""


def train_segmenter(
    pairs: Pairs,
    classes: Sequence[str],
    training: Training,
    out: Path,
    *,
    initialization: Initialization,
    network: str = "deeplabv2_resnet101",
    weights: bool | str | Path = False,
    device: str = "auto",
    workers: int = 0,
    resume: bool = False,
    hooks: Callable[[TrainedModel[Any]], Hooks] = lambda _: Hooks(),
) -> TrainedModel[Segmenter]:
    """Train a segmentation network, and save it into ``out``.

    Args:
        training: such as :data:`torchbas.config.SEGMENTER_TRAINING`; of its views ``crop`` counts.
        initialization: what ``weights`` were trained on; it is kept with the model, for results must name it.
        weights: a file, see :func:`.pretrained.read_trunk`; True fetches ImageNet's by name, False has random ones.
        hooks: what to call while training, made when the network stands.

    Raises:
        InputError: a label map that cannot be read or has other labels; weights that do not fit; a checkpoint of other
            settings.
        Interrupted: stopped by the user; ``resume`` goes on.
    """
    digests = check_labels([path for _, path in pairs], len(classes))
    samples = [(photo.name, digest) for (photo, _), digest in zip(pairs, digests, strict=True)]
    start = (network, initialization, weights)
    fingerprint = stable_hash(replace(training, save_every=1), classes, samples, start)
    make = partial(Segmenter.initialized, network, len(classes), initialization, weights)
    work = PairTraining(pairs, training, fingerprint, workers, tuple(classes), make, _augmentation)
    return train(work.task(load_segmenter), out, device=device, resume=resume, hooks=hooks)


load_segmenter = partial(load_network, kind=Segmenter)
"""A trained segmenter from its folder, in evaluation mode; :class:`~torchbas.errors.InputError` where there is none."""


def _augmentation(segmenter: Segmenter) -> dict[str, Any]:
    return {"scales": SCALES, "between": False, "fill": segmenter.colors.padding}


def check_labels(paths: Sequence[Path], classes: int) -> list[str]:
    """Read every label map once, before hours are spent on it, and return a digest of each.

    Raises:
        InputError: there is none, one cannot be read, or has a label above ``classes`` that is not 255.
    """
    if not paths:
        raise InputError("There are no photos with label maps to train a segmenter on.")

    def digest(path: Path) -> str:
        labels = read_mask(path)
        highest = int(np.where(labels == IGNORE_INDEX, 0, labels).max())
        if highest > classes:
            raise InputError(
                f"{path} has the label {highest}, but there are {classes} classes: write 0 for background, 1 to "
                f"{classes} for them and {IGNORE_INDEX} for what is to be ignored."
            )
        return hashlib.sha256(labels.tobytes()).hexdigest()

    with ThreadPoolExecutor() as pool:
        return list(pool.map(digest, paths))
