"""How learning from corrections is chosen: counts by hand, and the usual way unless another is clearly better."""

from pathlib import Path

import numpy as np
import pytest
import torch

from torchbas.api.choose import THRESHOLDS, USUAL, _best, _correct_at, _Fold, correct_boxes
from torchbas.localization import Localization
from torchbas.structures import Dataset
from torchbas.training.corrections import TrainingPairs

NONE = TrainingPairs(*(torch.zeros(shape) for shape in ((0, 2, 1, 1, 1), (0,), (0, 1, 4), (0, 1, 1), (0,))))._replace(
    label=torch.zeros(0, dtype=torch.long), masked=torch.zeros(0, dtype=torch.bool)
)

THIRD = THRESHOLDS.index(USUAL)


def one(name="a.jpg", tag="cat", box=(0.0, 0.0, 100.0, 50.0), grid=None):
    grid = np.zeros((4, 4), np.float32) if grid is None else grid
    mask = {"size": [100, 200], "counts": b""}
    return Localization(Path(name), name, (100, 200), tag, box, mask, grid, 1.0, 0.5, 0.2)


def test_a_tag_is_correct_by_its_first_box():
    true = {
        ("a.jpg", "cat"): [(0.0, 0.0, 100.0, 80.0)],
        ("a.jpg", "dog"): [(0.0, 0.0, 9.0, 9.0)],
        ("b.jpg", "cat"): [(0.0, 0.0, 10.0, 10.0)],
    }
    found = [one(), one(box=(0.0, 0.0, 1.0, 1.0)), one(name="b.jpg", box=(0.0, 0.0, 10.0, 4.9))]
    assert correct_boxes(found, true) == 1
    assert correct_boxes([one(box=(0.0, 0.0, 1.0, 1.0)), one()], true) == 0


def test_boxes_at_each_threshold_are_those_of_the_resized_map(tmp_path):
    """The map is high in the left half and lower in the rest: the true box is met where only the left is foreground."""
    grid = np.full((64, 64), 0.45, np.float32)
    grid[:, :32] = 0.65
    fold = _Fold(Dataset(tmp_path, ("cat",), ()), {("a.jpg", "cat"): ((0.0, 0.0, 80.0, 100.0),)}, NONE)
    # whole photo: 80 * 100 / (200 * 100) = .4; left half: 80 / 100
    expected = [0, 0, 0, 1, 1, 0]
    assert THRESHOLDS == (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert _correct_at([one(grid=grid)], fold).tolist() == expected


@pytest.mark.parametrize(("better", "chosen"), [(11, (0, 0, THIRD)), (13, (1, 1, 4))])
def test_another_way_must_be_clearly_better(better, chosen):
    """Of 20: by more than 1.6; the neighbors of a threshold count half as much as it does."""
    counts = {(loss, size): np.zeros(6) for loss in (0, 1) for size in (0, 1)}
    counts[0, 0][:] = 10
    counts[1, 1][3:6] = better
    assert _best(counts, 20) == chosen


def test_a_lucky_threshold_does_not_count():
    counts = {(0, 0): np.full(6, 10.0)}
    counts[0, 0][3] = 12
    assert _best(counts, 20) == (0, 0, THIRD)


def test_a_threshold_of_the_user_s_own_is_the_only_one():
    assert _best({(0, 0): np.array([3.0]), (1, 0): np.array([9.0])}, 20, (0.55,)) == (1, 0, 0)
