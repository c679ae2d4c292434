"""How long it will take: seconds of one photo and one step, times how often each comes."""

from dataclasses import replace

import pytest

from torchbas.training import estimate
from torchbas.training.estimate import TRIED

DECODE, LOCALIZE, STEM, STEP = 0.5, 0.57, 0.03, 0.2
"""Seconds a photo."""


@pytest.fixture
def clock(monkeypatch):
    """A machine that takes these seconds, whatever it does; it does it all the same."""

    def stopwatch(seconds):
        def measure(work):
            work()
            return next(seconds)

        return measure

    seconds = iter([DECODE, TRIED * LOCALIZE, TRIED * STEM, TRIED * STEP])
    monkeypatch.setattr(estimate, "_seconds", stopwatch(seconds))


def _of(recipe, **training):
    return replace(recipe, training=replace(recipe.training, **training))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("stem", ["train", "frozen"])
def test_without_a_cache_every_pass_decodes_every_photo(demo_set, recipe, stem):
    """30 photos in batches of 8 are 4 steps a pass, so 12 steps are 3 passes."""
    seconds = estimate.estimate(demo_set, _of(recipe, f1=stem), "cpu")
    assert seconds == pytest.approx(3 * 30 * (DECODE + STEP) + 30 * LOCALIZE)


@pytest.mark.usefixtures("clock")
def test_with_a_cache_every_photo_is_decoded_once_and_its_views_are_computed_once(demo_set, recipe):
    seconds = estimate.estimate(demo_set, _of(recipe, steps=16, f1="cached", views=2), "cpu")
    assert seconds == pytest.approx(30 * (DECODE + 2 * STEM) + 4 * 30 * STEP + 30 * LOCALIZE)


@pytest.mark.usefixtures("clock")
def test_a_network_that_hides_in_the_image_keeps_no_features(demo_set, recipe):
    hidden = replace(recipe, architecture=replace(recipe.architecture, mask_at="image", align=False))
    seconds = estimate.estimate(demo_set, _of(hidden, steps=16, f1="cached"), "cpu")
    assert seconds == pytest.approx(4 * 30 * (DECODE + STEP) + 30 * LOCALIZE)


def test_a_real_machine_takes_some_time(demo_set, recipe):
    assert 0 < estimate.estimate(demo_set, recipe, "cpu") < 1000
