"""Inference (Fig. 3): images and classes to one heatmap, threshold and S_b / S per class.

Which classes' maps are averaged is the method's (:meth:`~torchbas.methods.base.Method.heatmaps`); here they are
normalized, brought to one grid and zoomed into, for prediction and evaluation alike, and get their thresholds.
:mod:`~torchbas.inference.localizer` upsamples them to the photo, :mod:`~torchbas.inference.boxes` draws the boxes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor

from ..cam import auto_threshold, class_activation, normalize, upsample
from ..config import DETAIL, Inference
from ..methods.base import Method
from ..methods.gradcam import gradient_heatmaps, layercam
from ..model.classifier import Encoded
from ..refiners.base import Detections
from .separate import separate
from .thresholds import choose_thresholds
from .zoom import crop_regions, detail, paste_regions, reduce, regions


@torch.inference_mode()
def detect(
    model: Method,
    images: Float[Tensor, "B 3 H W"],
    labels: Float[Tensor, "B K"] | None,
    inference: Inference,
    replaced: Sequence[int] = (),
    enlarged: Sequence[int] | None = None,
    objects: str = "largest",
) -> Detections:
    """Detections of every class marked in ``labels`` (multi-hot), or of the most probable class of each image.

    ``images`` are standardized for the backbone, and with ``zoom`` larger than its input by
    :func:`~torchbas.inference.zoom.detail`: the first pass uses them reduced, the second crops of them. Of the classes
    ``replaced`` the heatmap is Layer-CAM of F (Jiang et al. 2021), thresholded by ``auto``. Where ``all`` objects are
    wanted, those that touch are told apart, unless ``inference`` says otherwise.
    """
    views, images = images, reduce(images, detail(inference))
    encoded = model.encode(images)
    if labels is None:
        index, label = torch.arange(len(images), device=images.device), encoded.logits.argmax(dim=1)
    else:
        index, label = labels.nonzero(as_tuple=True)
    queries = encoded.at(index)
    other = torch.isin(label, label.new_tensor(replaced))
    own = inference.normalized or _as_they_are(model, inference)  # a threshold of BAS's maps is none for other methods'
    groups: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    if not other.all() or not len(label):
        rows, some = _rows(~other, queries)
        maps = class_heatmaps(model, views, index[rows], some, label[rows], inference, enlarged).fitted
        groups.append((rows, maps, *choose_thresholds(some, label[rows], maps, inference.threshold if own else "auto")))
    if other.any():
        rows, some = _rows(other, queries)
        grid = groups[0][1].shape[1:] if groups else some.features.shape[2:]
        maps = normalize(gradient_heatmaps(model, some, label[rows], "f1", layercam))
        maps = upsample(maps, (grid[0], grid[1])).to(some.features.dtype)
        groups.append((rows, maps, *choose_thresholds(some, label[rows], maps, "auto")))
    rows, heatmaps, threshold, ratio = (torch.cat(column) for column in zip(*groups, strict=True))
    heatmaps, threshold, ratio = (column[rows.argsort()] for column in (heatmaps, threshold, ratio))
    confidence = model.probabilities(queries.logits).gather(1, label[:, None])[:, 0]
    known = model.certainty(encoded)
    certainty = confidence * (1 - ratio) if known is None else known[index]
    parts: list[Int32[np.ndarray, "h w"] | None] = [None] * len(label)
    if objects == "all" and inference.separate:
        size = (images.shape[2], images.shape[3])
        parts = separate(model, views, index, label, queries.scores(label), heatmaps, threshold, size)
    return Detections(index, label, confidence, certainty, heatmaps, threshold, ratio, other, queries, parts)


def _rows(wanted: Bool[Tensor, " Q"], queries: Encoded) -> tuple[Int[Tensor, " R"], Encoded]:
    """Positions of the wanted queries, and these alone; nothing is copied where that is all of them."""
    rows = wanted.nonzero()[:, 0]
    return rows, queries if len(rows) == len(wanted) else queries.at(rows)


class Heatmaps(NamedTuple):
    """Heatmaps of ``Q`` queries."""

    raw: Float[Tensor, "Q _ _"]
    """At the method's own resolution and scale; after a second pass those of ``fitted``."""
    fitted: Float[Tensor, "Q _ _"]
    """In [0, 1], min-max normalized unless ``normalized`` is False; on the grid of F, bilinear; after a
    second pass finer."""


def class_heatmaps(
    model: Method,
    views: Float[Tensor, "B 3 H W"],
    index: Int[Tensor, " Q"],
    encoded: Encoded,
    label: Int[Tensor, " Q"],
    inference: Inference | None,
    enlarged: Sequence[int] | None = None,
) -> Heatmaps:
    """Heatmaps of the method, or of plain CAM where ``inference`` is None.

    Args:
        enlarged: classes whose second pass is at twice the size, where ``inference`` enlarges; None for all.
    """
    if inference is None:
        raw = class_activation(encoded.class_maps, label)
    else:
        raw = model.heatmaps(encoded, label, inference)
    fitted = _in_range(raw, model, inference)
    grid = encoded.features.shape[2:]
    if fitted.shape[1:] != grid:
        fitted = upsample(fitted.float(), (grid[0], grid[1]))
    if inference is not None and inference.zoom:
        raw = fitted = zoomed_heatmaps(model, views, index, encoded, label, fitted, inference)
    elif inference is not None and inference.enlarges:
        raw = fitted = enlarged_heatmaps(model, views, index, encoded, label, fitted, inference, enlarged)
    return Heatmaps(raw, fitted)


def enlarged_classes(inference: Inference | None, classes: Sequence[str]) -> list[int] | None:
    """Indices of the classes that ``inference`` localizes at twice the size; None for all of them."""
    if inference is None or inference.enlarge != "auto":
        return None
    return [index for index, tag in enumerate(classes) if tag in inference.enlarged]


def passes(found: Detections, inference: Inference, enlarged: Sequence[int] | None) -> dict[int, Int[Tensor, " _"]]:
    """Queries whose heatmap is the method's, by how many times the size of the network's input it is made at; those
    of which it is the mean of both sizes stand at both."""
    own = ~found.replaced
    if not inference.enlarges:
        return {1: own.nonzero()[:, 0]}
    twice = own if enlarged is None else own & torch.isin(found.label, found.label.new_tensor(enlarged))
    once = own if inference.enlarge == "mean" else own & ~twice
    return {1: once.nonzero()[:, 0], DETAIL: twice.nonzero()[:, 0]}


def enlarged_heatmaps(
    model: Method,
    views: Float[Tensor, "B 3 H W"],
    index: Int[Tensor, " Q"],
    encoded: Encoded,
    label: Int[Tensor, " Q"],
    heatmaps: Float[Tensor, "Q h w"],
    inference: Inference,
    enlarged: Sequence[int] | None,
) -> Float[Tensor, "Q _ _"]:
    """Heatmaps on a grid ``DETAIL`` times as fine; those of the classes ``enlarged`` (None: all) of the whole views, or
    the mean of both."""
    result = upsample(heatmaps.float(), (heatmaps.shape[1] * DETAIL, heatmaps.shape[2] * DETAIL))
    wanted = torch.ones_like(label) if enlarged is None else torch.isin(label, label.new_tensor(enlarged))
    for few in wanted.nonzero()[:, 0].split(4):  # a large view takes as much memory as four small ones
        if not len(few):  # the only piece of nothing
            break
        maps = _second_pass(model, views[index[few]], encoded.logits[few], label[few], inference)
        maps = upsample(maps, (result.shape[1], result.shape[2]))
        result[few] = (result[few] + maps) / 2 if inference.enlarge == "mean" else maps
    return result


def zoomed_heatmaps(
    model: Method,
    views: Float[Tensor, "B 3 H W"],
    index: Int[Tensor, " Q"],
    encoded: Encoded,
    label: Int[Tensor, " Q"],
    heatmaps: Float[Tensor, "Q h w"],
    inference: Inference,
) -> Float[Tensor, "Q _ _"]:
    """Heatmaps at the size of the network's input; where the foreground is small, those of a crop of it (Sec. 6).

    The region is the square around all places above :func:`~torchbas.cam.auto_threshold`, whatever the threshold of the
    result, with ``padding``. Where it covers less than ``zoom`` of the image it is cropped from ``views``, enlarged and
    localized again: the result is that heatmap inside the region, min-max normalized, and 0 outside.
    """
    size = (views.shape[2] // DETAIL, views.shape[3] // DETAIL)
    result = upsample(heatmaps.float(), size)
    squares = regions(heatmaps.float(), auto_threshold(heatmaps), inference.padding)
    small = (squares[:, 2] ** 2 < inference.zoom).nonzero()[:, 0]
    if len(small):
        crops = crop_regions(views, index[small], squares[small], size)
        inside = _second_pass(model, crops, encoded.logits[small], label[small], inference)
        result[small] = paste_regions(inside, squares[small], size)
    return result


def _second_pass(
    model: Method,
    images: Float[Tensor, "Q 3 H W"],
    logits: Float[Tensor, "Q K"],
    label: Int[Tensor, " Q"],
    inference: Inference,
) -> Float[Tensor, "Q _ _"]:
    """Heatmaps of enlarged images in [0, 1]; the averaged classes (``top_k``) stay those of the first pass' logits."""
    encoded = model.encode(images.contiguous(memory_format=torch.channels_last))
    encoded.logits = logits
    return _in_range(model.heatmaps(encoded, label, inference).float(), model, inference)


def _in_range(maps: Float[Tensor, "Q h w"], model: Method, inference: Inference | None) -> Float[Tensor, "Q h w"]:
    """Maps in [0, 1]: min-max normalized, or as they are where ``inference`` says so and the method allows it."""
    return maps if inference is not None and _as_they_are(model, inference) else normalize(maps)


def _as_they_are(model: Method, inference: Inference) -> bool:
    return model.bounded and not inference.normalized
