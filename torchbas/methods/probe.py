"""Linear probe: a linear classifier on pooled features of a network that stays as it was pretrained."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..losses import classification

ITERATIONS = 200
"""Most iterations of L-BFGS; some dozens suffice."""
BLANK = 0.1
"""Weight of what shows no class, beside one for all the photos."""


@torch.enable_grad()
@torch.autocast("cuda", enabled=False)  # it keeps its first copy of the weights, and L-BFGS would never see them move
@torch.autocast("cpu", enabled=False)
def linear_probe(
    features: Float[Tensor, "N C"],
    labels: Float[Tensor, "N K"],
    decay: float,
    *,
    background_class: bool = False,
    blank: Float[Tensor, " C"] | None = None,
    known: Float[Tensor, "F C"] | None = None,
) -> Float[Tensor, "K C"]:
    """Weights of a linear classifier without bias, the minimum of L_mcls (eq. 9) with an L2 penalty, by L-BFGS.

    Args:
        features: of all photos, pooled.
        labels: multi-hot.
        decay: weight of half the squared norm, on features scaled to a standard deviation of 1. The more, the more
            features a class leans on, and the more of its object they show.
        background_class: see :func:`torchbas.losses.classification`.
        blank: pooled features of what shows no class, learned as background.
        known: rows of the first classes, which stand; only the others are fit.
    """
    scale = features.std(dim=0).mean().clamp(min=torch.finfo(features.dtype).eps)
    inputs = features / scale
    given = features[:0] if known is None else known * scale
    fitted = torch.zeros(labels.shape[1] - len(given), features.shape[1], device=features.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([fitted], max_iter=ITERATIONS, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        weights = torch.cat([given, fitted])
        total = classification(F.linear(inputs, weights), labels, background_class=background_class)
        if blank is not None:
            nothing = torch.zeros_like(labels[:1])
            total = total + BLANK * classification(
                F.linear(blank[None] / scale, weights), nothing, background_class=True
            )
        total = total + decay * fitted.square().sum() / 2
        total.backward()
        return total

    optimizer.step(loss)  # pyright: ignore[reportArgumentType]
    fresh = fitted.detach() / scale
    return fresh if known is None else torch.cat([known, fresh])
