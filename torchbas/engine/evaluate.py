"""One pass of any localising network over the photos, by either protocol."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from ..data import Batch, centre_view, evaluation_loader, normalise, ten_crops, whole_view
from ..maps import auto_threshold, enlarge, reference_maps
from ..maps import normalise as min_max
from ..types import Collection
from .board import Board
from .scoring import Case, Rules, Verdict, case_of, judge, judgeable

Normalisation = tuple[Sequence[float], Sequence[float]]


class Look(NamedTuple):
    """What a network says of one class in each image of a batch."""

    logits: Float[Tensor, "B K"]
    maps: dict[str, Float[Tensor, "B _ _"]]
    """By row: scores of the class by place, at the row's own resolution and scale."""
    thresholds: dict[str, dict[str, Float[Tensor, " B"]]]
    """By row and way: thresholds that the network itself finds, on maps brought to [0, 1]."""


@runtime_checkable
class Looker(Protocol):
    """A network behind two questions, about images normalised as it wants them."""

    def classify(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        """Class scores."""
        ...

    def look(self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]) -> Look:
        """Class scores, and where ``target`` is."""
        ...


Listener = Callable[[Case, dict[str, Verdict]], None]


@dataclass(frozen=True)
class Pass:
    """How to go over the photos."""

    normalisation: Normalisation
    ten_crop: bool = True
    """Classify by the mean softmax of ten crops (``authors`` only), else by the view that is looked at."""
    batch_size: int = 32
    workers: int = 0
    forward: Callable[[], torch.autocast] | None = None
    """A context for the network, e.g. autocast."""
    device: torch.device = field(default=torch.device("cpu"))
    progress: Callable[[Iterable[Batch], int], Iterable[Batch]] = lambda batches, _: batches
    detail: int = 1
    """How many times larger than the protocol's the views are, for a network that reduces them and looks closer."""


@torch.inference_mode()
def evaluate(
    looker: Looker, collection: Collection, rules: Rules, how: Pass, listener: Listener = lambda *_: None
) -> Board:
    """Judge every row's maps on every photo with true boxes; ``listener`` hears of each one.

    ``authors``: squeezed to ``resize``, centre crop, min-max, then bilinear to the crop. ``wsoleval``: squeezed to the
    side, bicubic to it, then min-max; true masks are judged too.

    Raises:
        InputError: no photo has a true box or, for ``wsoleval``, a true mask.
    """
    photos = judgeable(collection, rules)
    judged = Collection(collection.root, collection.classes, photos)
    ten = how.ten_crop and rules.protocol == "authors"
    if rules.protocol == "wsoleval":
        view = partial(whole_view, size=rules.side * how.detail)
    else:
        sides = {"resize": rules.resize * how.detail, "crop": rules.side * how.detail}
        view = partial(ten_crops if ten else centre_view, **sides)
    loader = evaluation_loader(judged, view, max(1, how.batch_size // (10 if ten else 1)), how.workers)
    board = Board(rules)
    for batch in how.progress(loader, len(loader)):
        images = normalise(batch.images.to(how.device, non_blocking=True), *how.normalisation)
        target = batch.target.to(how.device)
        with (how.forward or torch.no_grad)():
            probabilities, look = _ask(looker, images, target)
        ranks = (probabilities > probabilities.gather(1, target[:, None])).sum(dim=1).tolist()
        heats = {row: _prepare(maps, rules) for row, maps in look.maps.items()}
        own = {row: _thresholds(heat, look.thresholds.get(row, {}), rules) for row, heat in heats.items()}
        for i, (index, size, rank) in enumerate(zip(batch.index.tolist(), batch.size.tolist(), ranks, strict=True)):
            photo = photos[index]
            case = case_of(rules, photo, collection.classes, tuple(size), rank)
            truth = rules.mask(photo)
            verdicts = {
                row: judge(rules, heat[i], case.boxes, {way: t[i] for way, t in own[row].items()}, truth)
                for row, heat in heats.items()
            }
            board.add(case, verdicts)
            listener(case, verdicts)
    return board


CENTRE = 4  # of the ten crops


def _ask(
    looker: Looker, images: Float[Tensor, "B *crops 3 H W"], target: Int[Tensor, " B"]
) -> tuple[Float[Tensor, "B K"], Look]:
    """Class probabilities, and the look at the only or the centre crop."""
    if images.ndim == 4:
        look = looker.look(images, target)
        return look.logits.float().softmax(dim=1), look
    batch, crops = images.shape[:2]
    look = looker.look(images[:, CENTRE].contiguous(), target)
    others = [crop for crop in range(crops) if crop != CENTRE]
    logits = looker.classify(images[:, others].flatten(0, 1))
    every = torch.cat([logits.view(batch, crops - 1, -1), look.logits[:, None]], dim=1)
    return every.float().softmax(dim=2).mean(dim=1), look


def _prepare(maps: Float[Tensor, "B h w"], rules: Rules) -> Float[np.ndarray, "B H W"]:
    """The maps in [0, 1] at the side the protocol judges them at."""
    if rules.protocol == "wsoleval":
        prepared: Float64[np.ndarray, "B H W"] = reference_maps(maps.cpu().numpy(), (rules.side, rules.side))
        return prepared
    return enlarge(min_max(maps.float()), (rules.side, rules.side)).cpu().numpy()


def _thresholds(
    heat: Float[np.ndarray, "B H W"], own: dict[str, Float[Tensor, " B"]], rules: Rules
) -> dict[str, list[float]]:
    """The images' own thresholds; ``auto``, half of Otsu's, needs no network."""
    if "auto" in rules.levels and "auto" not in own:
        own = {**own, "auto": auto_threshold(torch.from_numpy(heat))}
    return {way: thresholds.tolist() for way, thresholds in own.items()}
