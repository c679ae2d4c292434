"""Whether a refiner's mask takes too little of the class's evidence to be believed."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..losses import bas_ratios
from .base import Detections

LOST = 0.4
"""Share of the evidence that the map takes away below which that of the refined mask is too little (docs/start.md)."""
DENSE = 4
"""How many times as much evidence an area as the map the refined mask must take to be believed nevertheless."""
SMEARED = 0.05
"""Share of the photo up to which a map is mostly the smear around a thing, of which a refiner may leave little."""


@torch.inference_mode()
def lost(
    found: Detections, rows: Int[Tensor, " R"], masks: Bool[Tensor, "R h w"], before: Float[Tensor, " R"]
) -> Bool[Tensor, " R"]:
    """Whether masks of some queries take too little of the evidence: S_b / S with them masked says what they take.

    Args:
        rows: the queries.
        masks: on any grid.
        before: shares of the photo that their foreground covered before.
    """
    result = torch.zeros(len(rows), dtype=torch.bool)
    asked = (before > SMEARED).nonzero()[:, 0]
    if not len(asked):
        return result
    some, masks, before = rows[asked].to(found.index.device), masks[asked], before[asked]
    ratios = bas_ratios(found.queries.at(some), found.label[some], masks[:, None].to(found.heatmaps))[:, 0]
    taken, at_most = (1 - ratios).cpu(), (1 - found.bas_ratio[some]).cpu()
    sparse = taken * before < DENSE * at_most * masks.float().mean(dim=(1, 2))
    result[asked] = sparse & (taken < LOST * at_most)
    return result
