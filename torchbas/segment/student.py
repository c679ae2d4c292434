"""The student: a segmenter that learns from pseudo masks as if they were true, and needs no tags afterwards."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image

from ..config import Training
from ..data.images import image_size, open_image
from ..data.pairs import pair_loader
from ..data.truth import read_mask
from ..engine import CHECKPOINT, Hooks, fit, make_fabric
from ..engine.preparation import finished
from ..errors import InputError
from ..types import LARGEST
from .crf import DEEPLAB, DenseCRF, unary_from_probabilities
from .deeplab import IGNORE
from .segmenter import Initialisation, Student

TRAINING = Training(
    steps=20_000,
    batch_size=5,
    accumulate=2,
    lr=2.5e-4,
    nesterov=False,
    decay_biases=False,
    schedule="poly",
    resize=321,
    crop=321,
    save_every=500,
)
"""DeepLabV2's, for VOC. The reference lowers the rate every ten steps, we every step."""
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)
"""Sizes in which a photo is shown while training."""


def train_student(
    pairs: Sequence[tuple[Path, Path]],
    classes: Sequence[str],
    training: Training,
    out: Path,
    *,
    initialisation: Initialisation,
    network: str = "deeplabv2_resnet101",
    weights: bool | str | Path = False,
    device: str = "auto",
    workers: int = 0,
    resume: bool = False,
    hooks: Callable[[Student], Hooks] = lambda _: Hooks(),
) -> Student:
    """Train a segmenter on photos and their label maps, and save it into ``out``.

    Args:
        pairs: photo and label PNG: 0 background, n the n-th of ``classes``, 255 where nobody knows.
        training: :data:`TRAINING` or other settings.
        initialisation: what ``weights`` had learned from; it is kept with the model, for results must name it.
        weights: a file, see :func:`.initial.read_initial`; True fetches ImageNet's by name, False has random ones.
        hooks: what to call while training, made when the student stands.

    Raises:
        InputError: a label map that cannot be read or has other labels; weights that do not fit; a checkpoint of other
            settings.
        Interrupted: stopped by the user; ``resume`` goes on.
    """
    labels = check_labels([path for _, path in pairs], len(classes))
    identity = _fingerprint(pairs, labels, classes, training, (network, initialisation, str(weights)))
    if resume and (done := finished(out, identity, Student.load)):
        return done
    fabric = make_fabric(device, training.precision)
    fabric.seed_everything(training.seed, verbose=False)
    student = Student.start(network, classes, initialisation, weights).to(fabric.device)
    student.fingerprint = identity
    if training.channels_last:
        student = student.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    loader = pair_loader(
        pairs,
        training.batch_size,
        training.seed,
        crop=training.crop,
        scales=SCALES,
        between=False,
        fill=student.colours.padding,
        workers=workers,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
    out.mkdir(parents=True, exist_ok=True)
    chosen = hooks(student)
    fit(fabric, student, loader, training, out, resume=resume, fingerprint=identity, hooks=chosen, new=student.new)
    if fabric.is_global_zero:
        student.save(out)
        (out / CHECKPOINT).unlink(missing_ok=True)
    return student


def check_labels(paths: Sequence[Path], classes: int) -> list[str]:
    """Reads every label map once, before hours are spent on it, and returns a digest of each.

    Raises:
        InputError: there is none, one cannot be read, or has a label above ``classes`` that is not 255.
    """
    if not paths:
        raise InputError("There are no photos with label maps to train a student on.")

    def digest(path: Path) -> str:
        labels = read_mask(path)
        highest = int(np.where(labels == IGNORE, 0, labels).max())
        if highest > classes:
            raise InputError(
                f"{path} has the label {highest}, but there are {classes} classes: write 0 for background, 1 to "
                f"{classes} for them and {IGNORE} where nobody knows."
            )
        return hashlib.sha256(labels.tobytes()).hexdigest()

    with ThreadPoolExecutor() as pool:
        return list(pool.map(digest, paths))


def _fingerprint(
    pairs: Sequence[tuple[Path, Path]],
    labels: Sequence[str],
    classes: Sequence[str],
    training: Training,
    more: tuple[str, ...],
) -> str:
    settings = asdict(replace(training, save_every=1))
    photos = [(photo.name, digest) for (photo, _), digest in zip(pairs, labels, strict=True)]
    said = json.dumps([settings, list(classes), photos, more], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


class Labelled(NamedTuple):
    """What a student makes of a photo."""

    path: Path
    labels: UInt8[np.ndarray, "H W"]
    """In the photo's own size, EXIF applied: 0 background, n the n-th class."""


def predict(
    student: Student,
    photos: Sequence[Path],
    *,
    flip: bool = False,
    crf: bool = False,
    batch_size: int = 1,
    longest: int = LARGEST,
    workers: int = 0,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Iterator[Labelled]:
    """Label every pixel of every photo, photos of one size after the other; memory does not grow with their number.

    Works where the student lies, and leaves it in evaluation mode.

    Args:
        flip: average with the mirror image.
        crf: let labels follow the photo's edges afterwards, as DeepLabV2 does; about a second a photo.
        batch_size: photos of one size to look at together.
        longest: larger photos are looked at in this many pixels on their longer side; by default as in training.
        workers: threads that decode and refine.

    Raises:
        InputError: a photo that cannot be opened.
    """
    student.eval()
    device = next(student.parameters()).device
    sizes = {path: image_size(path) for path in photos}
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for _, group in groupby(sorted(photos, key=sizes.__getitem__), key=sizes.__getitem__):
            alike = list(group)
            for start in range(0, len(alike), batch_size):
                paths = alike[start : start + batch_size]
                images = np.stack(list(pool.map(lambda path: _reduced(path, longest), paths)))
                with torch.inference_mode(), autocast():
                    logits = student.logits(torch.from_numpy(images).to(device).permute(0, 3, 1, 2), flip)
                    best = logits.argmax(dim=1).to(torch.uint8).cpu().numpy()
                if crf:
                    best = pool.map(_refined, images, logits.softmax(dim=1).cpu().numpy())
                for path, labels in zip(paths, best, strict=True):
                    height, width = sizes[path]
                    full = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
                    yield Labelled(path, np.array(full))


def _reduced(path: Path, longest: int) -> UInt8[np.ndarray, "H W 3"]:
    image = open_image(path)
    shrink = min(1.0, longest / max(image.size))
    width, height = (max(1, round(side * shrink)) for side in image.size)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def _refined(
    image: UInt8[np.ndarray, "H W 3"], probabilities: Float32[np.ndarray, "L H W"]
) -> UInt8[np.ndarray, "H W"]:
    return DenseCRF(image, DEEPLAB)(unary_from_probabilities(probabilities)).argmax(axis=0).astype(np.uint8)
