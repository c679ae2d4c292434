"""The image-specific threshold is the one with the least training losses, computed one mask at a time."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import tiny_bas

from torchbas.inference.thresholds import evenly_spaced, image_thresholds
from torchbas.losses import area, bas_ratios, suppression


def _share(mask, size):
    """Share of each place of a coarser grid that a mask covers, place by place."""
    (height, width), (h, w) = mask.shape, size
    share = torch.zeros(1, 1, h, w)
    for y in range(h):
        for x in range(w):
            rows = slice(y * height // h, -(-(y + 1) * height // h))
            columns = slice(x * width // w, -(-(x + 1) * width // w))
            share[0, 0, y, x] = mask[rows, columns].mean()
    return share


def _losses(model, image, label, mask):
    """L_bas + L_ac of one binary mask on one image."""
    features = model.f1(image[None])
    share = _share(mask, features.shape[2:])
    if model.architecture.mask_at == "image":
        masked = model.f1(image * (1 - F.interpolate(share, size=image.shape[1:], mode="bilinear")))
    else:
        masked = features * (1 - share)
    scores = [model.head(model.f2(f)).mean(dim=(2, 3))[:, label] for f in (masked, features)]
    return (suppression(*scores) + area(mask[None, None])).item()


@pytest.mark.parametrize("mask_at", ["features", "image"])
@pytest.mark.parametrize("grid", [(8, 12), (16, 24), (9, 17)], ids=["as features", "finer", "odd"])
def test_the_chosen_threshold_is_that_of_a_slow_loop(mask_at, grid):
    model = tiny_bas(mask_at=mask_at)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, 3, 8, 12, generator=generator)
    label = torch.tensor([0, 3, 1, 4, 2])
    maps = torch.rand(5, 1, 3, 4, generator=generator)
    maps = F.interpolate(maps, size=grid, mode="bicubic")[:, 0].clamp(0, 1)
    candidates = torch.rand(5, 7, generator=generator)
    with torch.no_grad():
        chosen, ratios = image_thresholds(model.encode(images), label, maps, candidates)
        for q in range(5):
            masks = [(maps[q] > t).float() for t in candidates[q]]
            losses = [_losses(model, images[q], int(label[q]), mask) for mask in masks]
            place = candidates[q].tolist().index(chosen[q])
            assert min(losses) + 0.05 < max(losses)
            assert losses[place] == pytest.approx(min(losses), abs=1e-5)
            assert (ratios[q] + masks[place].mean()).item() == pytest.approx(losses[place], abs=1e-5)


def test_masking_nothing_leaves_all_and_masking_everything_leaves_nothing():
    model, images = tiny_bas(), torch.randn(2, 3, 16, 16)
    masks = torch.stack([torch.zeros(2, 16, 16), torch.ones(2, 16, 16)], dim=1)
    with torch.no_grad():
        ratios = bas_ratios(model.encode(images), torch.tensor([1, 2]), masks)
    torch.testing.assert_close(ratios[:, 0], torch.ones(2))
    assert ratios[:, 1].max() < 0.2


def test_candidates_are_evenly_spread_inside_0_and_1():
    candidates = evenly_spaced(torch.zeros(2, 3, 3), 19)
    np.testing.assert_allclose(candidates, [[i / 20 for i in range(1, 20)]] * 2, atol=1e-6)
