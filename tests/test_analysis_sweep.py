"""Scores under eroded and dilated ground-truth masks, against values known by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from figures import command, table
from PIL import Image
from tiny import NORMALIZATION, tiny_bas

from torchbas.analysis import SweepCurve, draw_sweep, sweep_masks
from torchbas.analysis.mask_sweep import ground_truth_mask, masked_logits, masks_around, spread
from torchbas.cli.analyze import FIGURES
from torchbas.config import Architecture, Inference
from torchbas.errors import InputError
from torchbas.inference.localizer import Localizer
from torchbas.methods.bas import BASMethod
from torchbas.methods.cam import CAM
from torchbas.model.classifier import pool
from torchbas.structures import Dataset, Sample


def a_square(side: int, size: int = 64, at: int = 20) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[at : at + side, at : at + side] = True
    return mask


def test_a_square_shrinks_and_grows_by_the_side_of_the_kernel():
    areas = masks_around(a_square(21), 3).sum(axis=(1, 2)).tolist()
    assert areas == [(21 - 14) ** 2, (21 - 9) ** 2, (21 - 4) ** 2, 21**2, (21 + 4) ** 2, (21 + 9) ** 2, (21 + 14) ** 2]


def test_the_middle_of_a_sweep_is_the_mask_itself_and_masks_lie_in_each_other():
    mask = np.random.default_rng(0).random((40, 50)) > 0.7
    masks = masks_around(mask, 4)
    assert (masks[4] == mask).all()
    assert (masks[:-1] <= masks[1:]).all()


def test_beyond_the_border_is_background():
    everything = masks_around(np.ones((30, 30), bool), 2)
    assert everything.sum(axis=(1, 2)).tolist() == [21**2, 26**2, 900, 900, 900]


def test_boxes_and_masks_are_squeezed_and_cropped_like_the_photo(tmp_path):
    boxes = Sample(Path("a.jpg"), "a.jpg", boxes=((10.0, 0.0, 50.0, 20.0), (90.0, 30.0, 100.0, 40.0)))
    mask, source = ground_truth_mask(boxes, (40, 100), resize=20, crop=16)  # x / 5, y / 2, then 2 off each side
    expected = np.zeros((20, 20), bool)
    expected[0:10, 2:10] = expected[15:20, 18:20] = True
    assert source == "boxes"
    assert (mask == expected[2:18, 2:18]).all()
    for name, rows in (("one", slice(0, 10)), ("two", slice(30, 40))):
        pixels = np.zeros((40, 100), np.uint8)
        pixels[rows] = 7
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    union = replace(boxes, instances=(tmp_path / "one.png", tmp_path / "two.png"))
    mask, source = ground_truth_mask(union, (40, 100), resize=20, crop=20)
    assert source == "masks"
    assert np.flatnonzero(mask.all(axis=1)).tolist() == [0, 1, 2, 3, 4, 15, 16, 17, 18, 19]
    assert mask.sum() == 200
    single, _ = ground_truth_mask(replace(boxes, mask=tmp_path / "one.png"), (40, 100), resize=20, crop=20)
    assert single.sum() == 100


@pytest.mark.parametrize("mask_at", ["features", "image"])
@torch.no_grad()
def test_scores_inside_and_outside_of_a_mask_are_those_of_masked_features(mask_at):
    model = tiny_bas(mask_at=mask_at)
    image = torch.rand(1, 3, 16, 16)
    features = model.features(image)
    half = torch.zeros(1, 1, 16, 16)
    half[..., :7] = 1
    masks = torch.cat([torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16), half])
    inside, outside = masked_logits(model.encode(image), masks, batch_size=2)

    def expected(share: torch.Tensor) -> torch.Tensor:
        kept = features * share if mask_at == "features" else model.features(image * share)
        return pool(model.class_maps(kept))[0]

    whole, nothing = expected(torch.ones(1, 1, 16, 16)), expected(torch.zeros(1, 1, 16, 16))
    torch.testing.assert_close(inside, torch.stack([whole, nothing, expected(half)]))
    torch.testing.assert_close(outside, torch.stack([nothing, whole, expected(1 - half)]))


@torch.no_grad()
def test_a_mask_keeps_of_each_feature_the_share_that_it_covers():
    model = tiny_bas()
    encoded = model.encode(torch.rand(1, 3, 8, 8))
    encoded.features = features = torch.rand(1, 8, 4, 4)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :3] = 1  # the second column of the grid is half covered
    inside, _ = masked_logits(encoded, mask)
    share = torch.tensor([1, 0.5, 0, 0]).expand(1, 1, 4, 4)
    torch.testing.assert_close(inside, pool(model.class_maps(features * share)))


@pytest.fixture
def localizer(demo_set: Dataset) -> Localizer:
    model = tiny_bas(len(demo_set.classes))
    return Localizer(model, demo_set.classes, 48, 40, Inference())


def test_a_sweep_is_normalized_by_the_whole_image(demo_set, localizer):
    curves = list(sweep_masks(localizer, demo_set.only("test"), reach=9))
    assert len(curves) == 12
    assert {curve.ground_truth for curve in curves} == {"masks"}
    for curve in curves:
        assert len(curve.area) == 19
        assert (np.diff(curve.area) >= 0).all()
        assert curve.relative_area[9] == 1
    full = [curve for curve in curves if curve.area[-1] == 1]
    assert full
    for curve in full:
        assert curve.activation[-1] == pytest.approx(1, rel=1e-5)
    empty = [curve for curve in curves if curve.area[0] == 0]
    assert empty
    for curve in empty:
        assert curve.background[0] == pytest.approx(1, rel=1e-5)


def test_a_sweep_of_another_method_is_that_of_its_classifier(demo_set, localizer):
    architecture = Architecture(backbone="test_resnet", hidden=16)
    model = CAM.build(architecture, len(demo_set.classes), False, NORMALIZATION)
    model.get_parameter("head.4.bias").data.fill_(1)  # a positive score of every tag
    curves = list(sweep_masks(replace(localizer, model=model), demo_set.only("test"), reach=1))
    assert len(curves) == 12


def test_label_and_entropy_are_those_of_the_scores(demo_set, localizer):
    samples = demo_set.only("test")
    one = replace(samples, samples=samples.samples[:1])
    (curve,) = sweep_masks(localizer, one, reach=20)
    nothing = pool(localizer.model.class_maps(torch.zeros(1, 8, 40, 40)))[0]
    label = one.samples[0].labels[0]
    assert curve.entropy[0] == pytest.approx(float(-nothing.log_softmax(0)[label].detach()), rel=1e-4)
    assert curve.label == demo_set.classes[label]


def test_photos_without_unambiguous_ground_truth_are_left_out(demo_set, localizer):
    good, several, bare = demo_set.only("test").samples[:3]
    odd = replace(several, labels=(0, 1)), replace(bare, boxes=(), mask=None)
    kept = list(sweep_masks(localizer, replace(demo_set, samples=(good, *odd)), reach=1))
    assert [curve.name for curve in kept] == [good.name]
    with pytest.raises(InputError, match="no photo with one tag"):
        list(sweep_masks(localizer, replace(demo_set, samples=odd), reach=1))


def a_curve(area: list[float], values: list[float], correct: bool = True) -> SweepCurve:
    column = np.array(values, float)
    return SweepCurve("a.jpg", "cat", correct, "boxes", np.array(area, float), column, column, column)


def test_photos_are_compared_at_the_same_multiple_of_the_ground_truth_area():
    small = a_curve([0.1, 0.2, 0.4], [0, 4, 8])  # relative areas 0.5, 1, 2
    large = a_curve([0.2, 0.8, 1.0], [1, 7, 9])  # 0.25, 1, 1.25, and everything from there on
    found = spread([small, large], "entropy", np.array([0.0, 0.4, 0.5, 1.0, 1.25, 2.0, 2.5]))
    assert found.area.tolist() == [0.4, 0.5, 1.0, 1.25, 2.0, 2.5]  # no photo was swept down to 0
    assert found.photos.tolist() == [1, 2, 2, 2, 2, 1]
    assert found.mean.tolist() == pytest.approx([2.2, 1.5, 5.5, 7, 8.5, 9])
    assert [column[2] for column in (found.std, found.lower, found.median, found.upper)] == [1.5, 4.75, 5.5, 6.25]


def test_a_sweep_leaves_a_row_for_every_photo_and_mask(demo_set, localizer, tmp_path):
    files = draw_sweep(sweep_masks(localizer, demo_set.only("test"), reach=2), tmp_path / "new" / "folder")
    assert all(file.stat().st_size for file in files)
    rows = table(files[0])
    assert len(rows) == 12 * 5
    assert [row["n"] for row in rows[:5]] == ["-2", "-1", "0", "1", "2"]
    statistics = table(files[2])
    assert {row["quantity"] for row in statistics} == {"activation", "entropy", "background"}
    with pytest.raises(InputError, match=r"other\.jpg"):
        draw_sweep(sweep_masks(localizer, demo_set.only("test"), reach=1), tmp_path, example="other.jpg")
    with pytest.raises(InputError, match="positive score"):
        draw_sweep([], tmp_path)


@pytest.mark.slow
def test_a_sweep_by_command(demo_set, localizer, tmp_path, capsys):
    architecture = Architecture(backbone="test_resnet", hidden=16)
    model = BASMethod.build(architecture, len(demo_set.classes), False, NORMALIZATION)
    model.get_parameter("head.4.bias").data.fill_(1)  # a positive score of every tag
    replace(localizer, model=model).save(tmp_path / "run")
    words = [demo_set.root, "--model", tmp_path / "run", "--reach", "2", "--every", "5"]
    code, printed, _ = command(capsys, "sweep", *words, "--out", tmp_path / "sweep", "--json", "--quiet")
    assert code == 0
    assert json.loads(printed)["files"] == [str(tmp_path / "sweep" / name) for name in FIGURES["sweep"]]
    assert len(table(tmp_path / "sweep" / "sweep.csv")) == 3 * 5
