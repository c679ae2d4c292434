"""Evaluation by the authors' protocol: one pass over the photos scores any number of ways to make boxes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..config import Inference
from ..data import Batch, boxes_after_crop, centre_view, evaluation_loader, normalise, ten_crops
from ..errors import InputError
from ..maps import enlarge
from ..metrics import LocalizationAccuracy, best_centred_box
from ..model import BAS
from ..model.bas import pool
from ..types import Box, Collection
from .boxes import largest_box
from .find import cam_maps, choose_threshold, localisation_maps

Normalisation = tuple[Sequence[float], Sequence[float]]
CENTRE = 4  # of the ten crops


@dataclass(frozen=True)
class Row:
    """One way from a trained network to a box: which map, which thresholds."""

    name: str
    inference: Inference | None
    """How the generator's maps are mixed; None for plain CAM of the same classifier."""
    thresholds: tuple[float | str, ...] = (0.1,)
    """Fixed ones, or ``auto`` and ``evidence`` for one per image."""


@dataclass(frozen=True)
class Scores:
    """What was measured on one collection. Accuracies are in percent of its images."""

    images: int
    top1_cls: float
    top5_cls: float
    rows: dict[str, dict[float | str, dict[str, float]]]
    """Row name -> threshold -> gt_known, top1_loc, top5_loc."""
    centred_box: tuple[float, float]
    """The best centred box that looks at nothing: its side, and its GT-known."""
    whole_image: float
    """GT-known of the whole image as the box."""

    def best(self, row: str) -> tuple[float, dict[str, float]]:
        """The fixed threshold with the highest GT-known, chosen on the data it is scored on: an oracle."""
        fixed = {level: scores for level, scores in self.rows[row].items() if not isinstance(level, str)}
        return max(fixed.items(), key=lambda item: item[1]["gt_known"])


@torch.inference_mode()
def evaluate(
    model: BAS,
    collection: Collection,
    rows: Sequence[Row],
    normalisation: Normalisation,
    *,
    ten_crop: bool = True,
    resize: int = 256,
    crop: int = 224,
    batch_size: int = 32,
    workers: int = 0,
    forward: Callable[[], torch.autocast] | None = None,
    progress: Callable[[Iterable[Batch], int], Iterable[Batch]] = lambda batches, _: batches,
) -> Scores:
    """Score every row in one pass: squeeze to ``resize``, centre crop, min-max, then bilinear to ``crop``, fixed
    threshold, largest 8-connected component, IoU >= .5 with ends counted as pixels.

    Classification takes the mean softmax of ten crops, or the centre crop's alone. ``forward`` may give an autocast
    context. Photos without boxes are left out.

    Raises:
        InputError: no photo has a true box.
    """
    photos = [photo for photo in collection.photos if photo.boxes and photo.labels]
    if not photos:
        raise InputError(
            f"{collection.root} has no true boxes to compare with; bas eval needs them, bas label does not."
        )
    judged = Collection(collection.root, collection.classes, tuple(photos))
    view = ten_crops if ten_crop else centre_view
    loader = evaluation_loader(
        judged, partial(view, resize=resize, crop=crop), max(1, batch_size // (10 if ten_crop else 1)), workers
    )
    device = next(model.parameters()).device
    tally = {row.name: {level: LocalizationAccuracy() for level in row.thresholds} for row in rows}
    truths: list[Float[np.ndarray, "_ 4"]] = []
    right = np.zeros(2)
    model.eval()
    for batch in progress(loader, len(loader)):
        images = normalise(batch.images.to(device, non_blocking=True), *normalisation)
        target = batch.target.to(device)
        with (forward or torch.no_grad)():
            probabilities, looks = _look(model, images, target, rows, crop)
        ranks = (probabilities > probabilities.gather(1, target[:, None])).sum(dim=1).cpu().numpy()
        right += [(ranks < 1).sum(), (ranks < 5).sum()]
        for i, (index, size) in enumerate(zip(batch.index.tolist(), batch.size.tolist(), strict=True)):
            truth = boxes_after_crop(photos[index].boxes, tuple(size), resize, crop).astype(float)
            truths.append(truth)
            for row, look in zip(rows, looks, strict=True):
                for level, accuracy in tally[row.name].items():
                    threshold = float(look.own[level][i]) if isinstance(level, str) else level
                    box = np.array(largest_box(look.heat[i], threshold))
                    accuracy.update(box, truth, bool(ranks[i] < 1), bool(ranks[i] < 5))
    top1, top5 = 100 * right / len(photos)
    return Scores(
        images=len(photos),
        top1_cls=float(top1),
        top5_cls=float(top5),
        rows={name: {level: a.compute() for level, a in levels.items()} for name, levels in tally.items()},
        centred_box=best_centred_box(truths, crop, crop),
        whole_image=_fixed_box(truths, (0.0, 0.0, float(crop), float(crop))),
    )


class _Look(NamedTuple):
    heat: Float[np.ndarray, "B H W"]
    own: dict[str, Float[np.ndarray, " B"]]
    """The threshold of each image, by the way it was chosen."""


def _look(
    model: BAS, images: Float[Tensor, "B *crops 3 H W"], target: Int[Tensor, " B"], rows: Sequence[Row], size: int
) -> tuple[Float[Tensor, "B K"], list[_Look]]:
    """Class probabilities, and each row's maps at the crop's size. Only the centre crop gets maps."""
    batch = len(images)
    flat = images.flatten(0, 1) if images.ndim == 5 else images
    features = model.features(flat)
    class_maps = model.class_maps(features)
    logits = pool(class_maps)
    probabilities = logits.softmax(dim=1).view(batch, -1, logits.shape[1]).mean(dim=1)
    if images.ndim == 5:
        crops = images.shape[1]
        features, class_maps, logits = (x[CENTRE::crops] for x in (features, class_maps, logits))
        images = images[:, CENTRE]
    large = images if model.architecture.hide == "image" else None
    looks = []
    for row in rows:
        if row.inference is None:
            grid = cam_maps(class_maps, target)
        else:
            grid = localisation_maps(model, features, logits, target, row.inference)
        fitting = enlarge(grid, (features.shape[2], features.shape[3]))  # class maps are coarser than the features
        own = {
            way: choose_threshold(model, features, large, logits, target, fitting, way)[0].cpu().numpy()
            for way in row.thresholds
            if isinstance(way, str)
        }
        looks.append(_Look(enlarge(grid, (size, size)).cpu().numpy(), own))
    return probabilities, looks


def _fixed_box(truths: list[Float[np.ndarray, "_ 4"]], box: Box) -> float:
    accuracy = LocalizationAccuracy()
    for truth in truths:
        accuracy.update(np.array(box), truth, top1=True, top5=True)
    return accuracy.compute()["gt_known"]
