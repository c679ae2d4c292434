from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchbas.config import Architecture
from torchbas.errors import SettingError
from torchbas.inference.localizer import Localizer
from torchbas.model.bas import BAS
from torchbas.model.receptive_field import aligned, effective_offset
from torchbas.training.recipe import train_recipe

STRIDE = 7


def looking(row: int, column: int) -> nn.Module:
    """F1 whose cell (y, x) is one pixel: (7 y - 7 + row, 7 x - 7 + column)."""
    weight = torch.zeros(1, 1, 21, 21)
    weight[0, 0, row, column] = 1.0
    conv = nn.Conv2d(3, 3, kernel_size=21, stride=STRIDE, padding=7, groups=3, bias=False)
    conv.weight.data.copy_(weight.expand(3, -1, -1, -1))
    return conv


def test_the_offset_is_that_of_a_kernel_from_the_middle_of_the_cell():
    # the middle of cell y is 7 y + 3
    assert effective_offset(looking(0, 20)) == (-10, 10)
    assert effective_offset(looking(10, 12)) == (0, 2)


@torch.no_grad()
def test_aligned_cells_are_the_pixels_in_their_middle_to_the_very_edges():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 35, 49)
    for row, column in ((0, 20), (20, 0), (10, 10), (3, 10), (10, 17)):
        f1, offset = looking(row, column), (row - 10, column - 10)
        found = aligned(f1, images, offset, STRIDE)
        torch.testing.assert_close(found, images[:, :, 3::STRIDE, 3::STRIDE])


@torch.no_grad()
def test_what_is_seen_beyond_the_image_is_its_reflection():
    torch.manual_seed(0)
    images, conv = torch.randn(1, 3, 42, 42), nn.Conv2d(3, 4, kernel_size=3, stride=2, padding=1)
    found = aligned(conv, images, (-3, 2), 2)
    beyond = F.pad(images, (2, 0, 1, 3), mode="reflect")
    torch.testing.assert_close(found, conv(beyond)[:, :, 2:, :21])


def test_a_network_that_was_aligned_has_no_offset_left():
    torch.manual_seed(0)
    model = BAS.from_architecture(Architecture("mobilenetv1", padding_mode="reflect", hidden=8), 5).eval()
    before = effective_offset(model.f1)
    assert max(before) < -1  # each stride of 2 begins half a pixel before the middle
    example = torch.randn(1, 3, 96, 96)
    shape = model.features(example).shape
    model.align()
    assert model.architecture.offset == before
    assert model.features(example).shape == shape
    assert max(abs(pixels) for pixels in effective_offset(model.features)) <= 1


def test_training_measures_the_offset_and_the_model_keeps_it(demo_set, recipe, tmp_path):
    architecture = replace(recipe.architecture, backbone="mobilenetv1")
    for align in (True, False):
        settings = replace(recipe, architecture=replace(architecture, align=align))
        trained = train_recipe(demo_set, settings, tmp_path / str(align), weights=False, device="cpu")
        offset = trained.model.architecture.offset
        assert offset == (effective_offset(trained.model.eval().f1) if align else (0, 0))
        assert any(offset) == align
        loaded = Localizer.load(tmp_path / str(align)).model.eval()
        assert loaded.architecture == trained.model.architecture
        images = torch.randn(1, 3, 64, 64)
        torch.testing.assert_close(loaded.features(images), trained.model.features(images))


def test_what_is_masked_in_the_image_cannot_be_aligned():
    for changes in ({"align": True}, {"offset": (0, -3)}):
        with pytest.raises(SettingError, match="mask_at image"):
            Architecture(mask_at="image", **changes)
