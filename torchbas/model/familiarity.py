"""Familiarity: is a photo at all like those of the training?

The similarity of a photo is the largest cosine of its pooled features with those of a training photo, the nearest
neighbor of Sun et al. (2022), "Out-of-Distribution Detection with Deep Nearest Neighbors", with k = 1. Its familiarity
is the conformal p-value of that (Bates et al. 2023): the share of the training photos that are no more similar to the
nearest other one. Of photos like those of the training a share p has a familiarity of at most p.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

REFERENCES = 1000
"""Most training photos that are compared with, evenly spaced in their order."""
ABSENT = 2.0
"""Similarity of the places that no reference fills, more than a cosine can be."""


class Familiarity(nn.Module):
    """Pooled features of training photos, and how similar each is to the nearest other.

    Attributes:
        features: (REFERENCES C), of length 1; zeros where there is no reference.
        nearest: (REFERENCES) largest cosine with another reference; ``ABSENT`` where there is no reference.
    """

    features: Tensor
    nearest: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(REFERENCES, channels))
        self.register_buffer("nearest", torch.full((REFERENCES,), ABSENT))

    @property
    def references(self) -> Float[Tensor, "N C"]:
        """The features that are compared with, without the places that none fills."""
        return self.features[self.nearest < ABSENT]

    @torch.no_grad()
    @torch.autocast("cuda", enabled=False)
    @torch.autocast("cpu", enabled=False)
    def fit(self, pooled: Float[Tensor, "N C"]) -> None:
        """Compare with these photos from now on; there must be two at least, and each only once."""
        count = min(len(pooled), REFERENCES)
        chosen = torch.linspace(0, len(pooled) - 1, count, device=pooled.device).long()
        self.features.zero_()[:count] = F.normalize(pooled[chosen].float(), dim=1)
        similar = self.features[:count] @ self.features[:count].T
        self.nearest.fill_(ABSENT)[:count] = similar.fill_diagonal_(-1.0).amax(dim=1)

    @torch.autocast("cuda", enabled=False)
    @torch.autocast("cpu", enabled=False)
    def forward(self, pooled: Float[Tensor, "B C"]) -> Float[Tensor, " B"]:
        """Familiarity, in (0, 1]; 1 where there are no references."""
        similar = (F.normalize(pooled.float(), dim=1) @ self.features.T).amax(dim=1)
        as_similar = (self.nearest <= similar[:, None]).sum(dim=1)
        return (1 + as_similar) / (1 + (self.nearest < ABSENT).sum())
