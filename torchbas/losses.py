"""The terms of the objective (eqs. 3-10), each a function of the evidence it needs."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from .config import Objective
from .types import Evidence


def classification(logits: Float[Tensor, "B K"], labels: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """L_mcls (eq. 9): softmax of each present class against the absent ones, summed over the present ones.

    With one class per image this is L_cls (eq. 7). ``labels`` is multi-hot; an image without a class, or with
    every class, counts nothing. Computed as softplus(logsumexp(absent) - z_i), which cannot overflow.
    """
    lowest = torch.finfo(logits.dtype).min
    absent = logits.masked_fill(labels > 0, lowest).logsumexp(dim=1, keepdim=True)
    return (F.softplus(absent - logits) * labels).sum(dim=1).mean()


def guidance(logits_foreground: Float[Tensor, "B K"], target: Int[Tensor, " B"]) -> Float[Tensor, ""]:
    """L_frg (eq. 6): the foreground alone must suffice for recognition."""
    return F.cross_entropy(logits_foreground, target)


def suppression(
    activation_background: Float[Tensor, " B"], activation: Float[Tensor, " B"], over: float = 1.0, eps: float = 1e-8
) -> Float[Tensor, ""]:
    """L_bas (eq. 3): how much of the class is still visible once the foreground is hidden, S_b / S, mean over images.

    A ratio above one says nothing about the map yet (early training), so it counts as the constant ``over``.
    """
    return remaining(activation_background, activation, over, eps).mean()


def remaining(
    activation_background: Float[Tensor, " B"], activation: Float[Tensor, " B"], over: float = 1.0, eps: float = 1e-8
) -> Float[Tensor, " B"]:
    """S_b / S per image, in [0, 1]; gradient flows to S_b only."""
    kept = activation_background.relu()
    whole = activation.detach().relu()
    return (kept / (whole + eps)).where(kept <= whole, over)


def suppression_of_all(
    logits_background: Float[Tensor, "B K"],
    logits: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    over: float = 1.0,
    eps: float = 1e-8,
) -> Float[Tensor, ""]:
    """L_bas of a class-agnostic map: summed over the present classes of an image, mean over images (Sec. 5.5)."""
    left = remaining(logits_background.flatten(), logits.flatten(), over, eps).view_as(logits)
    return (left * labels).sum(dim=1).mean()


def area(foreground: Float[Tensor, "B 1 h w"]) -> Float[Tensor, ""]:
    """L_ac (eq. 4): mean share of the image called foreground."""
    return foreground.mean()


TYPICAL = 0.25
"""The object's share of the image from which on the relative area presses as hard as the plain one."""
SMALLEST = 0.05
"""No object is taken for smaller than this share."""


def relative_area(
    foreground: Float[Tensor, "B 1 h w"], left: Float[Tensor, " B"], eps: float = 1e-8
) -> Float[Tensor, ""]:
    """L_ac that presses harder on small objects: the area as a share of the object's own, times ``TYPICAL``.

    Eq. 4 charges a pixel the same on every object, while the evidence that it hides is 1/s of an object which covers
    the share s of the image: the surroundings of a small object cost next to nothing. Here a pixel costs TYPICAL / s,
    so that price and gain keep one ratio, but never less than in eq. 4: a price that goes on falling lets a map that
    has grown over everything take the whole image for the object, and stay.
    s is read off the map without gradient, as its area over the share of the evidence that hiding it takes away
    (1 - ``left``, of :func:`remaining`), the same while a map still grows. Below ``SMALLEST`` the price rises no
    further, so the gradient is bounded as a map vanishes.
    """
    shares = foreground.float().mean(dim=(1, 2, 3))
    price = ((1 - left) / shares.clamp(min=eps)).clamp(1 / TYPICAL, 1 / SMALLEST).detach()  # 1/s
    return (TYPICAL * price * shares).mean()


def area_weight(weights: Objective, step: int) -> float:
    """beta at this step: raised evenly over ``area_steps`` after the classifier's own steps."""
    if not weights.area_steps:
        return weights.area
    return weights.area * min(max((step - weights.classifier_steps + 1) / weights.area_steps, 0.0), 1.0)


def objective(
    evidence: Evidence,
    target: Int[Tensor, " B"],
    labels: Float[Tensor, "B K"],
    weights: Objective,
    step: int = 0,
    *,
    agnostic: bool = False,
) -> dict[str, Float[Tensor, ""]]:
    """Every weighted term by name; their sum (eqs. 8 and 10) is what training minimises.

    With ``agnostic`` the map stands for all present classes (Sec. 5.5): it must hide each of them, and suffice to
    tell each from the absent ones.
    """
    terms = {"classify": classification(evidence.logits, labels)}
    if weights.guidance:
        seen = evidence.logits_foreground
        terms["guide"] = weights.guidance * (classification(seen, labels) if agnostic else guidance(seen, target))
    if weights.suppression:
        terms["suppress"] = weights.suppression * (
            suppression_of_all(evidence.logits_background, evidence.logits, labels, weights.over)
            if agnostic
            else suppression(evidence.activation_background, evidence.activation, weights.over)
        )
    if weights.area:
        terms["area"] = area_weight(weights, step) * _area(evidence, weights)
    return terms


def _area(evidence: Evidence, weights: Objective) -> Float[Tensor, ""]:
    if weights.area_form == "mean":
        return area(evidence.foreground)
    return relative_area(evidence.foreground, remaining(evidence.activation_background, evidence.activation))


def object_text(similarity: Float[Tensor, " P"]) -> Float[Tensor, ""]:
    """L_OTM of CLIMS: what a map shows must look like its class; the cosine of image and sentence, mean over maps."""
    return -_proper(similarity).log().mean()


def rest_text(similarity: Float[Tensor, " P"]) -> Float[Tensor, ""]:
    """L_BTM of CLIMS: what a map hides from the photo must not look like its class."""
    return -(1 - _proper(similarity)).log().mean()


def surroundings_text(similarity: Float[Tensor, "P T"], threshold: float = 0.26) -> Float[Tensor, ""]:
    """L_CBS of CLIMS: what a map shows must look like none of T surroundings; those below the threshold do not count.

    Summed over the surroundings, mean over maps.
    """
    losses = -(1 - _proper(similarity)).log()
    return (losses * (similarity > threshold)).sum(dim=1).mean()


def _proper(similarity: Float[Tensor, "*P"]) -> Float[Tensor, "*P"]:
    """The cosine as a probability whose logarithm is finite; none below zero."""
    return similarity.clamp(1e-4, 1 - 1e-4)
