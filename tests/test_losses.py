"""The terms of the objective: by hand, against slow loops, and where they could break."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from torchbas.config import Objective
from torchbas.losses import (
    SMALLEST,
    TYPICAL,
    area,
    area_weight,
    bas_ratio,
    classification,
    guidance,
    objective,
    relative_area,
    suppression,
)
from torchbas.model.outputs import Evidence


def _by_loops(logits, labels):
    """Eq. 9 for each image and each present class."""
    total = 0.0
    for scores, present in zip(logits.double().tolist(), labels.tolist(), strict=True):
        absent = [score for score, is_present in zip(scores, present, strict=True) if not is_present]
        for score, is_present in zip(scores, present, strict=True):
            if is_present:
                total -= score - math.log(math.exp(score) + sum(math.exp(other) for other in absent))
    return total / len(logits)


def test_classification_of_one_class_is_cross_entropy():
    logits, target = torch.randn(6, 9) * 5, torch.tensor([0, 8, 3, 3, 1, 7])
    actual = classification(logits, F.one_hot(target, 9).float())
    torch.testing.assert_close(actual, F.cross_entropy(logits, target))


@given(st.lists(st.lists(st.tuples(st.floats(-20, 20), st.booleans()), min_size=4, max_size=4), min_size=1))
def test_classification_of_several_classes_is_equation_9(rows):
    logits = torch.tensor([[score for score, _ in row] for row in rows], dtype=torch.float64)
    labels = torch.tensor([[float(present) for _, present in row] for row in rows])
    assert classification(logits, labels).item() == pytest.approx(_by_loops(logits, labels), abs=1e-7)


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("labels", [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
def test_classification_is_finite_for_any_labels_and_huge_logits(labels, scale, dtype):
    logits = (scale * torch.tensor([[1.0, -1.0, 0.5], [-1.0, 1.0, 1.0]])).to(dtype).requires_grad_()
    loss = classification(logits, torch.tensor([labels, labels]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    if len(set(labels)) == 1:  # all present or none: nothing to tell apart
        assert loss == 0
        assert not logits.grad.any()


def test_a_hopeless_logit_still_pulls_with_full_strength():
    logits = torch.tensor([[-1e4, 1e4]], requires_grad=True)
    classification(logits, torch.tensor([[1.0, 0.0]])).backward()
    assert logits.grad.tolist() == [[-1.0, 1.0]]


def test_guidance_is_cross_entropy():
    assert guidance(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("ratio_cap", [1.0, 0.0])
@pytest.mark.parametrize(
    ("kept", "whole", "expected", "gradient"),
    [
        (0.0, 4.0, 0.0, 0.0),
        (2.0, 4.0, 0.5, 0.25),
        (4.0, 4.0, 1.0, 0.25),
        (-1.0, 4.0, 0.0, 0.0),
        (-1.0, -2.0, 0.0, 0.0),
        (5.0, 4.0, "ratio_cap", 0.0),
        (1.0, -2.0, "ratio_cap", 0.0),
        (1.0, 0.0, "ratio_cap", 0.0),
    ],
)
def test_what_remains_by_hand(kept, whole, expected, gradient, ratio_cap):
    kept, whole = torch.tensor([kept], requires_grad=True), torch.tensor([whole], requires_grad=True)
    left = bas_ratio(kept, whole, ratio_cap)
    left.sum().backward()
    assert left.item() == pytest.approx(ratio_cap if expected == "ratio_cap" else expected)
    assert kept.grad.item() == pytest.approx(gradient)
    assert whole.grad is None, "the whole is a measure, not something to train"


def test_suppression_is_a_mean_of_ratios_not_a_ratio_of_means():
    assert suppression(torch.tensor([1.0, 9.0]), torch.tensor([2.0, 10.0])).item() == pytest.approx(0.7)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32)), min_size=1))
def test_what_remains_is_a_share(pairs):
    kept, whole = torch.tensor(pairs).unbind(1)
    assert ((bas_ratio(kept, whole) >= 0) & (bas_ratio(kept, whole) <= 1)).all()


def test_area_is_the_mean():
    assert area(torch.tensor([[[[0.0, 1.0]]], [[[0.5, 0.5]]]])).item() == 0.5


def _pressure(share, left, places=20):
    """Gradient per map value of one image whose map is 1 on that share of its places, summed over the places."""
    foreground = torch.zeros(1, 1, 1, places)
    foreground[..., : round(share * places)] = 1
    foreground.requires_grad_()
    relative_area(foreground, torch.tensor([left])).backward()
    assert foreground.grad.unique().numel() == 1, "every place of an image is pulled alike"
    return foreground.grad.sum().item()


@pytest.mark.parametrize(
    ("share", "left", "size"),
    [
        (0.25, 0.0, 0.25),  # all evidence hidden: the map is as large as the object
        (0.75, 0.0, 0.75),
        (0.1, 0.0, 0.1),
        (0.25, 0.5, 0.5),  # half of it hidden: the object is twice as large
        (0.5, 0.5, 1.0),
        (0.5, 0.9, 1.0),  # an object is no larger than the image
        (0.5, 1.0, 1.0),  # nothing explained
        (0.0, 1.0, 1.0),
        (0.0, 0.5, SMALLEST),  # a map that vanishes
    ],
)
def test_the_relative_area_presses_by_the_object_s_size(share, left, size):
    assert _pressure(share, left) == pytest.approx(max(1, TYPICAL / size))


def test_price_and_gain_keep_their_ratio_for_every_small_size_and_while_a_map_grows():
    """On an object whose evidence is spread evenly, L_bas falls by 1 / s of the area that is hidden."""
    ratios = [_pressure(known * s, 1 - known) * s for s in (0.1, 0.2) for known in (0.5, 1.0)]
    assert ratios == pytest.approx([TYPICAL] * len(ratios))


def test_a_map_over_everything_is_pressed_as_in_the_paper():
    assert _pressure(1.0, 0.0) == pytest.approx(1)


def test_the_relative_area_is_the_mean_of_the_images_own():
    foreground = torch.tensor([[[[1.0, *[0.0] * 9]]], [[[1.0, 1.0, *[0.0] * 8]]]])
    both = relative_area(foreground, torch.tensor([0.5, 0.0]))
    assert both.item() == pytest.approx((TYPICAL * 0.1 / 0.2 + TYPICAL * 0.2 / 0.2) / 2)


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_the_relative_area_s_pull_is_bounded(value, left):
    foreground = torch.full((1, 1, 2, 2), value, requires_grad=True)
    loss = relative_area(foreground, torch.tensor([left]))
    loss.backward()
    assert 0 <= loss <= 1
    assert 0.999 <= foreground.grad.sum() <= TYPICAL / SMALLEST * 1.001


def test_the_area_weight_rises_evenly_after_the_classifier_s_own_steps():
    weights = Objective(area=2.0, classifier_steps=3, area_steps=4)
    assert [area_weight(weights, step) for step in range(9)] == [0, 0, 0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    assert area_weight(Objective(area=2.0), 0) == 2.0


def _evidence():
    return Evidence(
        logits=torch.tensor([[2.0, 0.0]]),
        logits_foreground=torch.tensor([[1.0, 0.0]]),
        activation=torch.tensor([2.0]),
        activation_background=torch.tensor([0.5]),
        foreground=torch.full((1, 1, 2, 2), 0.25),
        logits_background=torch.tensor([[0.5, -1.0]]),
    )


def test_a_class_agnostic_map_answers_for_every_present_class():
    evidence = Evidence(
        logits=torch.tensor([[2.0, 4.0, 1.0], [1.0, -1.0, 2.0]]),
        logits_foreground=torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]),
        activation=torch.zeros(2),
        activation_background=torch.zeros(2),
        foreground=torch.full((2, 1, 2, 2), 0.25),
        logits_background=torch.tensor([[0.5, 3.0, 5.0], [0.25, 0.0, 3.0]]),
    )
    labels = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    terms = objective(evidence, torch.tensor([0, 0]), labels, Objective(guidance=1.0), class_agnostic=True)
    assert terms["suppress"].item() == pytest.approx((0.5 / 2 + 3 / 4 + 0.25 / 1) / 2)
    present = math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-2))  # each against the absent class
    assert terms["guide"].item() == pytest.approx((present + math.log(3)) / 2)


def test_the_objective_weighs_each_term():
    target, labels = torch.tensor([0]), torch.tensor([[1.0, 0.0]])
    weights = Objective(guidance=0.2, area=1.2, suppression=0.5)
    terms = {name: term.item() for name, term in objective(_evidence(), target, labels, weights).items()}
    assert terms == pytest.approx(
        {
            "classify": math.log(1 + math.exp(-2)),
            "guide": 0.2 * math.log(1 + math.exp(-1)),
            "suppress": 0.5 * 0.25,
            "area": 1.2 * 0.25,
        }
    )


def test_the_relative_area_is_switched_on_by_its_name_and_reads_the_evidence():
    target, labels = torch.tensor([0]), torch.tensor([[1.0, 0.0]])
    weights = Objective(area=1.2, area_form="relative", ratio_cap=0.0)
    terms = objective(_evidence(), target, labels, weights)
    assert terms["area"].item() == pytest.approx(1.2 * 0.25)  # a quarter covered holds 3/4: size 1/3, not small
    unexplained = _evidence()._replace(activation_background=torch.tensor([3.0]))
    assert objective(unexplained, target, labels, weights)["area"].item() == pytest.approx(1.2 * 0.25)


def test_a_term_of_weight_zero_is_not_there():
    target, labels = torch.tensor([0]), torch.tensor([[1.0, 0.0]])
    terms = objective(_evidence(), target, labels, Objective(guidance=0.0, area=0.0, suppression=0.0))
    assert list(terms) == ["classify"]


def test_the_background_class_is_one_more_logit_of_zero():
    """Absent where an image has a class, present where it has none; counted by softmax over K + 1."""
    logits = torch.randn(4, 3, dtype=torch.float64) * 3
    labels = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]])
    total = 0.0
    for scores, present in zip(logits.tolist(), labels.tolist(), strict=True):
        all_scores, all_present = [*scores, 0.0], [*present, int(not any(present))]
        absent = [s for s, p in zip(all_scores, all_present, strict=True) if not p]
        for score, is_present in zip(all_scores, all_present, strict=True):
            if is_present:
                total -= score - math.log(math.exp(score) + sum(map(math.exp, absent)))
    actual = classification(logits, labels.double(), background_class=True)
    assert actual.item() == pytest.approx(total / 4)


def test_without_a_cap_the_ratio_lowers_what_is_left_above_the_whole_too():
    left = torch.tensor([0.5, 1.2, 9.0, 0.3, -1.0]).requires_grad_()
    ratio = bas_ratio(left, torch.tensor([1.0, 1.0, 1.0, -0.5, 1.0]), None)
    torch.testing.assert_close(ratio, torch.tensor([0.5, 1.2, 1.5, 1.0, 0.0]))
    ratio.sum().backward()
    torch.testing.assert_close(left.grad, torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0]))


def test_guidance_of_a_single_class_is_against_the_background_class():
    logits = torch.tensor([[0.5], [-2.0]], requires_grad=True)
    zero, ones = torch.zeros(2), torch.ones(2, 1)
    evidence = Evidence(torch.ones(2, 1), logits, zero, zero, torch.rand(2, 1, 4, 4), torch.ones(2, 1))
    options = Objective(guidance=0.5, background_class=True)
    terms = objective(evidence, torch.zeros(2, dtype=torch.long), ones, options)
    expected = 0.5 * (math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(2.0))) / 2
    assert terms["guide"].item() == pytest.approx(expected)
