"""Familiarity: a slow obvious version, a count by hand, and that it keeps what it promises of photos like its own."""

import numpy as np
import torch

from torchbas.model.familiarity import REFERENCES, Familiarity


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def fitted(pooled: torch.Tensor) -> Familiarity:
    familiarity = Familiarity(pooled.shape[1])
    familiarity.fit(pooled)
    return familiarity


def test_it_is_one_before_there_are_references():
    assert Familiarity(4)(torch.randn(3, 4)).tolist() == [1, 1, 1]


def test_it_is_the_share_of_photos_that_are_no_more_similar():
    generator = torch.Generator().manual_seed(0)
    own, asked = torch.randn(9, 5, generator=generator), torch.randn(20, 5, generator=generator)
    found = fitted(own)(asked)
    photos = own.numpy()
    nearest = [max(cosine(a, b) for j, b in enumerate(photos) if j != i) for i, a in enumerate(photos)]
    for one, value in zip(asked.numpy(), found.tolist(), strict=True):
        similar = max(cosine(one, photo) for photo in photos)
        assert abs(value - (1 + sum(other <= similar for other in nearest)) / 10) < 1e-6
    assert fitted(own)(3 * own).tolist() == [1.0] * 9


def test_of_photos_like_its_own_a_share_p_is_at_most_p_familiar():
    generator = torch.Generator().manual_seed(1)
    centers = torch.randn(20, 16, generator=generator)

    def photos(count: int) -> torch.Tensor:
        which = torch.randint(20, (count,), generator=generator)
        return centers[which] + 0.5 * torch.randn(count, 16, generator=generator)

    found = fitted(photos(600))(photos(2000))
    for level in (0.05, 0.2, 0.5):
        assert abs((found <= level).float().mean().item() - level) < 0.05
    others = fitted(photos(600))(4 * torch.randn(500, 16, generator=generator))
    assert (others <= 0.05).float().mean() > 0.9


def test_more_photos_than_places_are_thinned_evenly():
    angle = torch.linspace(0, 3, 3 * REFERENCES)
    familiarity = fitted(torch.stack([angle.cos(), angle.sin()], dim=1))
    own = torch.atan2(familiarity.features[:, 1], familiarity.features[:, 0])
    assert own.diff().sub(3 / (REFERENCES - 1)).abs().max() < 2e-3
    assert familiarity.nearest.max() <= 1


def test_low_precision_around_it_changes_nothing():
    own, asked = torch.randn(50, 32), torch.randn(20, 32)
    exact = fitted(own)(asked)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fitted(own)(asked), exact)
