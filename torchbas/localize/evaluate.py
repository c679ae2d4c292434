"""A BAS model in front of the evaluator: which of its maps are judged, and the thresholds it finds itself."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..config import Inference
from ..data import Batch
from ..engine.board import Scores
from ..engine.evaluate import Listener, Look, Normalisation, Pass
from ..engine.evaluate import evaluate as _evaluate
from ..engine.scoring import Level, Rules
from ..maps import auto_threshold, class_activation, enlarge, normalise
from ..metrics import Protocol
from ..model import BAS
from ..model.bas import pool
from ..types import Collection
from .find import choose_threshold, look_closer, mixed_maps
from .zoom import detail, reduce


@dataclass(frozen=True)
class Row:
    """One way from a trained network to a box: which map, which thresholds."""

    name: str
    inference: Inference | None
    """How the generator's maps are mixed; None for plain CAM of the same classifier."""
    thresholds: tuple[Level, ...] = (0.1,)
    """Fixed ones, or ``auto`` and ``evidence`` for one per image."""


def evaluate(
    model: BAS,
    collection: Collection,
    rows: Sequence[Row],
    normalisation: Normalisation,
    *,
    protocol: Protocol = "authors",
    level: Level | Mapping[str, Level] | None = None,
    ten_crop: bool = True,
    resize: int = 256,
    crop: int = 224,
    batch_size: int = 32,
    workers: int = 0,
    forward: Callable[[], torch.autocast] | None = None,
    progress: Callable[[Iterable[Batch], int], Iterable[Batch]] = lambda batches, _: batches,
    listener: Listener = lambda *_: None,
) -> Scores:
    """Score every row in one pass, all at the same thresholds; see :func:`torchbas.engine.evaluate.evaluate`.

    Photos without truth are left out. The summaries are at ``level``, for all rows or for each; if not given at
    ``auto`` where it is among the thresholds, else at the first of them. Where a row has ``zoom`` all rows look at
    the same crop loaded twice as large and reduced, which differs from the small one by rounding only.

    Raises:
        InputError: no photo has a true box.
    """
    levels = tuple(dict.fromkeys(level for row in rows for level in row.thresholds))
    rules = Rules(protocol, levels, resize, crop)
    closer = detail(*(row.inference for row in rows))
    device = next(model.parameters()).device
    how = Pass(normalisation, ten_crop, batch_size, workers, forward, device, progress, closer)
    model.eval()
    board = _evaluate(_Looker(model, rows, closer), collection, rules, how, listener)
    return board.scores(level or ("auto" if "auto" in levels else levels[0]))


@dataclass(frozen=True)
class _Looker:
    model: BAS
    rows: Sequence[Row]
    detail: int

    def classify(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        return pool(self.model.class_maps(self.model.features(reduce(images, self.detail))))

    def look(self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]) -> Look:
        model, views, images = self.model, images, reduce(images, self.detail)
        everyone = torch.arange(len(images), device=images.device)
        features = model.features(images)
        class_maps = model.class_maps(features)
        logits = pool(class_maps)
        large = images if model.architecture.hide == "image" else None
        maps, own = {}, {}
        for row in self.rows:
            if row.inference is None:
                maps[row.name] = class_activation(class_maps, target)
            else:
                maps[row.name] = mixed_maps(model, features, logits, target, row.inference)
            fitting = normalise(maps[row.name])
            if row.inference and row.inference.zoom:
                maps[row.name] = fitting = look_closer(model, views, everyone, logits, target, fitting, row.inference)
            else:  # class maps are coarser than the features
                fitting = enlarge(fitting, (features.shape[2], features.shape[3]))
            own[row.name] = {}
            if "auto" in row.thresholds:
                own[row.name]["auto"] = auto_threshold(fitting)
            if "evidence" in row.thresholds:
                looked = choose_threshold(model, features, large, logits, target, fitting, "evidence")
                own[row.name]["evidence"] = looked[0]
        return Look(logits, maps, own)
