"""Inference (Fig. 3): images and tags in; one localisation map, threshold and evidence per tag out."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..config import Inference
from ..engine.judging import image_thresholds, spread
from ..maps import auto_threshold, enlarge, normalise, top_classes
from ..model import BAS
from ..model.bas import pool
from .zoom import DETAIL, cut, detail, paste, reduce, regions


class Found(NamedTuple):
    """What is known of ``Q`` questions, each a photo of the batch and a class to look for in it."""

    photo: Int[Tensor, " Q"]
    """Position in the batch."""
    label: Int[Tensor, " Q"]
    """The class looked for."""
    confidence: Float[Tensor, " Q"]
    """Its probability (softmax), in [0, 1]."""
    maps: Float[Tensor, "Q h w"]
    """Localisation maps, min-max normalised to [0, 1]: on the feature grid, with ``zoom`` as large as the input."""
    threshold: Float[Tensor, " Q"]
    """Map value above which a place is object."""
    evidence_left: Float[Tensor, " Q"]
    """S_b / S with everything above the threshold hidden, in [0, 1]."""


@torch.inference_mode()
def find(
    model: BAS, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"] | None, inference: Inference
) -> Found:
    """Look for every class marked in ``labels`` (multi-hot), or for the most probable class of each image.

    ``images`` are normalised as the backbone wants them, and with ``zoom`` larger than its input by
    :func:`~torchbas.localize.zoom.detail`: the first look takes them reduced, the second cuts from them.
    """
    views, images = images, reduce(images, detail(inference))
    features = model.features(images)
    logits = pool(model.class_maps(features))
    if labels is None:
        photo, label = torch.arange(len(images), device=logits.device), logits.argmax(dim=1)
    else:
        photo, label = labels.nonzero(as_tuple=True)
    features, logits = features[photo], logits[photo]
    maps = normalise(mixed_maps(model, features, logits, label, inference))
    if inference.zoom:
        maps = look_closer(model, views, photo, logits, label, maps, inference)
    large = images[photo] if model.architecture.hide == "image" else None
    threshold, left = choose_threshold(model, features, large, logits, label, maps, inference.threshold)
    confidence = logits.softmax(dim=1).gather(1, label[:, None])[:, 0]
    return Found(photo, label, confidence, maps, threshold, left)


def mixed_maps(
    model: BAS,
    features: Float[Tensor, "B C h w"],
    logits: Float[Tensor, "B K"],
    target: Int[Tensor, " B"],
    inference: Inference,
) -> Float[Tensor, "B h w"]:
    """The mean of the chosen classes' maps; only their filters are computed."""
    if inference.top == 0:
        return model.generator(features).mean(dim=1)
    classes = top_classes(logits, target, inference.top, inference.force_target)
    return model.generator.of(features, classes).mean(dim=1)


def look_closer(
    model: BAS,
    views: Float[Tensor, "B 3 H W"],
    photo: Int[Tensor, " Q"],
    logits: Float[Tensor, "Q K"],
    label: Int[Tensor, " Q"],
    maps: Float[Tensor, "Q h w"],
    inference: Inference,
) -> Float[Tensor, "Q _ _"]:
    """The maps at the size of the network's input; where the find is small, made by a second look at it alone (Sec. 6).

    The region is all that is above half of Otsu's threshold, whichever threshold decides in the end, with ``padding``.
    Where it covers less than ``zoom`` of the image it is cut from ``views``, enlarged and localised again: that map
    counts inside, min-max normalised, and nothing outside. The classes that are mixed stay those of the first look.
    """
    size = (views.shape[2] // DETAIL, views.shape[3] // DETAIL)
    answer = enlarge(maps.float(), size)
    squares = regions(maps.float(), auto_threshold(maps), inference.padding)
    small = (squares[:, 2] ** 2 < inference.zoom).nonzero()[:, 0]
    if len(small):
        crops = cut(views, photo[small], squares[small], size).contiguous(memory_format=torch.channels_last)
        closer = mixed_maps(model, model.features(crops), logits[small], label[small], inference)
        answer[small] = paste(normalise(closer.float()), squares[small], size)
    return answer


def choose_threshold(
    model: BAS,
    features: Float[Tensor, "Q C h w"],
    images: Float[Tensor, "Q 3 H W"] | None,
    logits: Float[Tensor, "Q K"],
    label: Int[Tensor, " Q"],
    maps: Float[Tensor, "Q _ _"],
    threshold: float | str,
) -> tuple[Float[Tensor, " Q"], Float[Tensor, " Q"]]:
    """The threshold per map, and S_b / S with what is above it hidden. No way of choosing looks at a box.

    ``auto`` is :func:`~torchbas.maps.auto_threshold`, ``evidence`` :func:`~torchbas.engine.judging.image_thresholds`.
    """
    if threshold == "evidence":
        candidates = spread(maps)
    elif threshold == "auto":
        candidates = auto_threshold(maps)[:, None]
    else:
        candidates = maps.new_full((len(maps), 1), float(threshold))
    return image_thresholds(model, features, images, logits, label, maps, candidates)
