"""Heatmaps of shifted photos: where their cells lie, and what the map on the finer grid is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from torchbas.config import Inference
from torchbas.errors import SettingError
from torchbas.refiners import shift as module
from torchbas.refiners.shift import interleaved, shifted, shifts
from torchbas.training.recipe import train_recipe


@pytest.mark.parametrize(("stride", "finer"), [(8, 2), (8, 4), (16, 2), (12, 3)])
def test_the_interleaved_map_of_an_average_pooling_is_that_of_a_pooling_with_a_part_of_its_stride(stride, finer):
    images = torch.rand(2, 3, 4 * stride, 6 * stride, dtype=torch.float64)
    passed = [F.avg_pool2d(shifted(images, *by), stride).mean(dim=1) for by in shifts(stride, finer)]
    margin = (stride - stride // finer) // 2  # the finer cells' centers, each seen with a whole cell around it
    wide = F.pad(images, (margin,) * 4, mode="reflect")
    assert torch.allclose(interleaved(passed), F.avg_pool2d(wide, stride, stride // finer).mean(dim=1))


def test_a_slope_is_the_same_slope_on_the_finer_grid():
    """A cell's value is the place of its center, so those of the finer grid are the centers of the finer cells."""
    right = torch.arange(64.0).expand(1, 3, 64, 64) + 0.5
    fine = interleaved([F.avg_pool2d(shifted(right, *by), 8)[:, 0] for by in shifts(8)])[0]
    assert torch.allclose(fine[:, 1:-1], (torch.arange(16.0)[1:-1] + 0.5).mul(4).expand(16, 14))


def test_images_are_shifted_by_pixels_and_reflected():
    image = torch.arange(5.0).expand(1, 3, 5, 5)
    assert shifted(image, 0, 2)[0, 0, 0].tolist() == [2, 3, 4, 3, 2]
    assert shifted(image, 0, -1)[0, 0, 0].tolist() == [1, 0, 1, 2, 3]
    assert shifted(image.mT, 1, 0)[0, 0, :, 0].tolist() == [1, 2, 3, 4, 3]


@pytest.fixture(scope="module")
def trained(demo_set, recipe, tmp_path_factory):
    return train_recipe(demo_set, recipe, tmp_path_factory.mktemp("run"), weights=False, device="cpu")


@pytest.mark.parametrize(("enlarge", "times"), [("never", {2}), ("auto", {2, 4}), ("always", {4}), ("mean", {2, 4})])
def test_masks_are_of_the_finer_map_and_heatmaps_stay(trained, demo_set, enlarge, times, monkeypatch):
    """Each query is passed at the sizes that its heatmap is of, and its map is twice as fine there."""
    model, seen = trained.model, []
    settings = {"enlarge": enlarge, "enlarged": demo_set.classes[:1], "threshold": 0.2}
    plain = replace(trained, inference=replace(trained.inference, refine=(), **settings))
    finer = replace(plain, inference=replace(plain.inference, refine=("shift",)))
    monkeypatch.setattr(module, "interleaved", lambda maps: seen.append(interleaved(maps)) or seen[-1])
    few = replace(demo_set, samples=demo_set.samples[::3])
    before = {one.name: one for one in plain.stream(few)}
    after = {one.name: one for one in finer.stream(few)}
    assert before.keys() == after.keys()
    for name, one in before.items():
        assert np.array_equal(one.grid, after[name].grid)
        assert (one.threshold, one.bas_ratio, one.method) == (after[name].threshold, after[name].bas_ratio, "bas")
    cells = -(-finer.resize // model.stride)
    assert {one.shape[1] // cells for one in seen} == times
    assert sum(map(len, seen)) == (2 if enlarge == "mean" else 1) * len(few.samples)


def test_shift_comes_first_and_stages_are_not_repeated():
    for wrong in (("crf", "shift"), ("crf", "crf"), ("none", "crf")):
        with pytest.raises(SettingError):
            Inference(refine=wrong)
    with pytest.raises(SettingError, match="zoom"):
        Inference(refine=("shift",), zoom=0.2)
    assert Inference(refine=("none",)) == Inference()
