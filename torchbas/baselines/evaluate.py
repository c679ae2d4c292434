"""A baseline in front of the evaluator, by the same protocols as BAS."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from ..engine.board import Scores
from ..engine.evaluate import Listener, Look, Pass
from ..engine.evaluate import evaluate as _evaluate
from ..engine.scoring import Level, Rules
from ..types import Collection
from .classifier import Classifier


@dataclass(frozen=True)
class _Looker:
    methods: Mapping[str, Classifier]

    def classify(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        return next(iter(self.methods.values())).logits(images)

    def look(self, images: Float[Tensor, "B 3 H W"], target: Int[Tensor, " B"]) -> Look:
        looks = {name: method.look(images, target) for name, method in self.methods.items()}
        return Look(next(iter(looks.values())).logits, {name: look.maps for name, look in looks.items()}, {})


def evaluate(
    methods: Mapping[str, Classifier],
    collection: Collection,
    rules: Rules,
    how: Pass,
    level: Level | Mapping[str, Level],
    listener: Listener = lambda *_: None,
) -> Scores:
    """Score methods on the same network, row by row; the first one classifies.

    Raises:
        InputError: no photo has a true box.
    """
    for method in methods.values():
        method.eval()
    return _evaluate(_Looker(methods), collection, rules, how, listener).scores(level)
