"""The terms of the objective (eqs. 3-10), each a function of the evidence it needs."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from .config import Objective
from .model.classifier import Encoded
from .model.outputs import Evidence


def classification(
    logits: Float[Tensor, "B K"], labels: Float[Tensor, "B K"], *, background_class: bool = False
) -> Float[Tensor, ""]:
    """L_mcls (eq. 9): softmax of each present class against the absent ones, summed over the present ones.

    With one class per image this is L_cls (eq. 7). ``labels`` is multi-hot; an image without a class, or with
    every class, counts nothing. Computed as softplus(logsumexp(absent) - z_i), which cannot overflow.

    Args:
        background_class: one more class of logit 0: absent where there is a class, present where there is none.
    """
    lowest = torch.finfo(logits.dtype).min
    absent = logits.masked_fill(labels > 0, lowest)
    if not background_class:
        return (F.softplus(absent.logsumexp(dim=1, keepdim=True) - logits) * labels).sum(dim=1).mean()
    absent = with_background(absent).logsumexp(dim=1, keepdim=True)
    present = (F.softplus(absent - logits) * labels).sum(dim=1)
    return present.where(labels.any(dim=1), F.softplus(logits.logsumexp(dim=1))).mean()


def with_background(logits: Float[Tensor, "B K"]) -> Float[Tensor, "B {logits.shape[1]+1}"]:
    """Logits and, last, that of the background class, which is 0."""
    return torch.cat([logits, torch.zeros_like(logits[:, :1])], dim=1)


def guidance(logits_foreground: Float[Tensor, "B K"], target: Int[Tensor, " B"]) -> Float[Tensor, ""]:
    """L_frg (eq. 6): the foreground alone must suffice for recognition."""
    return F.cross_entropy(logits_foreground, target)


def suppression(
    activation_background: Float[Tensor, " B"],
    activation: Float[Tensor, " B"],
    ratio_cap: float | None = 1.0,
    eps: float = 1e-8,
) -> Float[Tensor, ""]:
    """L_bas (eq. 3): S_b / S, the share of the class's activation left with the foreground masked, mean over images.

    A ratio above one says nothing about the map yet (early training), so it counts as the constant ``ratio_cap``.
    """
    return bas_ratio(activation_background, activation, ratio_cap, eps).mean()


HIGHEST = 1.5
"""Highest S_b / S where it has no cap."""


def bas_ratio(
    activation_background: Float[Tensor, " B"],
    activation: Float[Tensor, " B"],
    ratio_cap: float | None = 1.0,
    eps: float = 1e-8,
) -> Float[Tensor, " B"]:
    """S_b / S per image, in [0, 1]; ``ratio_cap`` where S_b > S. The gradient flows to S_b only.

    Args:
        ratio_cap: None keeps the ratio, up to :data:`HIGHEST`; it is 1 where S is not positive.
    """
    kept = activation_background.relu()
    whole = activation.detach().relu()
    ratio = kept / (whole + eps)
    if ratio_cap is None:
        return ratio.clamp(max=HIGHEST).where(whole > 0, 1.0)
    return ratio.where(kept <= whole, ratio_cap)


def bas_ratios(encoded: Encoded, label: Int[Tensor, " Q"], masks: Float[Tensor, "Q T _ _"]) -> Float[Tensor, "Q T"]:
    """S_b / S, in [0, 1], of each image's ``label`` with each of ``T`` masks as the foreground.

    Masks finer than the features are averaged over the cells of their grid.
    """
    origin, whole = encoded.origin(label), encoded.scores(label)
    ratios = []
    for mask in masks.unbind(1):  # one batch through F2 at a time keeps memory flat
        share = F.adaptive_avg_pool2d(mask[:, None], (encoded.features.shape[2], encoded.features.shape[3]))
        background = encoded.background_logits(share)
        ratios.append(bas_ratio(background.gather(1, label[:, None])[:, 0] - origin, whole))
    return torch.stack(ratios, dim=1)


def suppression_of_all(
    logits_background: Float[Tensor, "B K"],
    logits: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    ratio_cap: float | None = 1.0,
    eps: float = 1e-8,
) -> Float[Tensor, ""]:
    """L_bas of a class-agnostic map: summed over the present classes of an image, mean over images (Sec. 5.5)."""
    left = bas_ratio(logits_background.flatten(), logits.flatten(), ratio_cap, eps).view_as(logits)
    return (left * labels).sum(dim=1).mean()


def area(foreground: Float[Tensor, "B 1 h w"]) -> Float[Tensor, ""]:
    """L_ac (eq. 4): mean of the foreground map over the image and the batch."""
    return foreground.mean()


TYPICAL = 0.25
"""Object's share of the image at and above which the relative area equals the plain one."""
SMALLEST = 0.05
"""Lower bound of the estimated share."""


def relative_area(
    foreground: Float[Tensor, "B 1 h w"], ratio: Float[Tensor, " B"], eps: float = 1e-8
) -> Float[Tensor, ""]:
    """L_ac relative to the object's size: the area of each map over the object's share s of the image, times TYPICAL.

    In eq. 4 a pixel weighs the same on every object, while the activation that it suppresses is 1/s of an object that
    covers the share s of the image: background around a small object costs next to nothing. Here a pixel weighs
    TYPICAL / s, so that area and suppression keep one ratio, but never less than in eq. 4: otherwise a map that covers
    the whole image would estimate s = 1 and stay. s is estimated without gradient as the map's area over the share of
    the activation that it suppresses, 1 - ``ratio``; with s >= SMALLEST the gradient is bounded as a map vanishes.

    Args:
        ratio: S_b / S of each image, see :func:`bas_ratio`.
    """
    shares = foreground.float().mean(dim=(1, 2, 3))
    weight = ((1 - ratio) / shares.clamp(min=eps)).clamp(1 / TYPICAL, 1 / SMALLEST).detach()  # 1/s
    return (TYPICAL * weight * shares).mean()


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
    class_agnostic: bool = False,
) -> dict[str, Float[Tensor, ""]]:
    """Weighted terms ``classify``, ``guide``, ``suppress`` and ``area``; their sum (eqs. 8 and 10) is the loss.

    A term of weight 0 is left out. With ``class_agnostic`` the map stands for all present classes (Sec. 5.5): it is
    suppressed for each of them, and guided to classify all of them.
    """
    terms = {"classify": classification(evidence.logits, labels, background_class=weights.background_class)}
    if weights.guidance:
        foreground, background_class = evidence.logits_foreground, weights.background_class
        alone = background_class and foreground.shape[1] == 1  # a softmax over one class says nothing
        terms["guide"] = weights.guidance * (
            classification(foreground, labels, background_class=background_class)
            if class_agnostic or alone
            else guidance(foreground, target)
        )
    if weights.suppression:
        terms["suppress"] = weights.suppression * (
            suppression_of_all(evidence.logits_background, evidence.logits, labels, weights.ratio_cap)
            if class_agnostic
            else suppression(evidence.activation_background, evidence.activation, weights.ratio_cap)
        )
    if weights.area:
        terms["area"] = area_weight(weights, step) * _area(evidence, weights)
    return terms


def _area(evidence: Evidence, weights: Objective) -> Float[Tensor, ""]:
    if weights.area_form == "mean":
        return area(evidence.foreground)
    return relative_area(evidence.foreground, bas_ratio(evidence.activation_background, evidence.activation))


def object_text_matching(similarity: Float[Tensor, " P"]) -> Float[Tensor, ""]:
    """L_OTM of CLIMS: the masked photo is to resemble its class; cosine of image and sentence, mean over maps."""
    return -_proper(similarity).log().mean()


def background_text_matching(similarity: Float[Tensor, " P"]) -> Float[Tensor, ""]:
    """L_BTM of CLIMS: what a map hides from the photo must not look like its class."""
    return -(1 - _proper(similarity)).log().mean()


def cooccurring_background_suppression(similarity: Float[Tensor, "P T"], threshold: float = 0.26) -> Float[Tensor, ""]:
    """L_CBS of CLIMS: what a map shows must look like none of T surroundings; those below the threshold do not count.

    Summed over the surroundings, mean over maps.
    """
    losses = -(1 - _proper(similarity)).log()
    return (losses * (similarity > threshold)).sum(dim=1).mean()


def _proper(similarity: Float[Tensor, "*P"]) -> Float[Tensor, "*P"]:
    """The cosine as a probability whose logarithm is finite; none below zero."""
    return similarity.clamp(1e-4, 1 - 1e-4)
