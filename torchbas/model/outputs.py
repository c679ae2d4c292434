"""What the BAS network returns; letters of shapes as in :mod:`torchbas.structures`."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class Evidence(NamedTuple):
    """One training pass (Fig. 2); :mod:`torchbas.losses` turns it into numbers."""

    logits: Float[Tensor, "B K"]
    """Class scores of the whole image (eq. 1)."""
    logits_foreground: Float[Tensor, "B K"]
    """Class scores of the class maps under the foreground map only (eq. 5)."""
    activation: Float[Tensor, " B"]
    """Score of the target class on the whole image, S before its ReLU, less the score with everything masked where the
    mean feature fills it."""
    activation_background: Float[Tensor, " B"]
    """Score of the target class with the foreground masked, S_b before its ReLU (eq. 2), measured like S; S where
    suppression is off."""
    foreground: Float[Tensor, "B 1 h w"]
    """The predicted foreground map of the target class, M_f in [0, 1]."""
    logits_background: Float[Tensor, "B K"]
    """Scores of every class with the foreground masked, those of ``logits`` where suppression is off."""


class Prediction(NamedTuple):
    """Class scores and foreground maps of all classes."""

    logits: Float[Tensor, "B K"]
    """Class scores; softmax makes probabilities of them."""
    maps: Float[Tensor, "B K h w"]
    """One foreground map per class, in [0, 1]."""
