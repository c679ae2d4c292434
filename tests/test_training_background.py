"""Photos without a tag are learned from as background, where the method does; resumed, cached, with one tag alone."""

import csv
import signal
from dataclasses import replace

import pytest
import torch

from torchbas.errors import InputError, Interrupted
from torchbas.training.loop import Hooks
from torchbas.training.recipe import train_recipe, trainable

STOP = Hooks(every={9: lambda _: signal.raise_signal(signal.SIGINT)})


@pytest.fixture(scope="module")
def half(demo_set):
    """The built-in set with two of its six tags as background: 12 tagged photos and 6 without a tag to train on."""
    return demo_set.with_background("snail", "leaf")


@pytest.fixture(scope="module")
def one_tag(demo_set):
    """The fish of the built-in set, and everything else as background."""
    return demo_set.with_background(*(tag for tag in demo_set.classes if tag != "fish"))


def _run(dataset, recipe, out, **options):
    return train_recipe(dataset, recipe, out, weights=False, device="cpu", **options)


def _of(recipe, **training):
    return replace(recipe, training=replace(recipe.training, **training))


def _rows(out):
    with (out / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _same(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_untagged_photos_are_trained_on_where_the_method_learns_from_them(half):
    assert len(half.classes) == 4
    assert [len(trainable(half, untagged=learned).samples) for learned in (True, False)] == [18, 12]


@pytest.mark.parametrize("f1", ["frozen", "cached"])
@pytest.mark.parametrize("photos", ["half", "one_tag"])
def test_a_run_with_background_photos_goes_on_bit_for_bit(request, recipe, tmp_path, f1, photos):
    dataset, chosen = request.getfixturevalue(photos), _of(recipe, f1=f1, batch_size=3)
    straight = _run(dataset, chosen, tmp_path / "straight")
    with pytest.raises(Interrupted):
        _run(dataset, chosen, tmp_path / "stopped", hooks=lambda _: STOP)
    assert _same(straight.model, _run(dataset, chosen, tmp_path / "stopped", resume=True).model)
    rows = _rows(tmp_path / "stopped")
    assert rows == _rows(tmp_path / "straight")
    assert all(row[term] for row in rows for term in ("classify", "guide", "suppress", "area", "background"))
    assert any(float(row["background"]) > 0 for row in rows)


def test_a_model_of_one_tag_finds_it_by_a_probability(one_tag, recipe, tmp_path):
    model = _run(one_tag, recipe, tmp_path)
    assert model.classes == ("fish",)
    for found in model.stream(one_tag, tags="predicted"):
        assert 0 < found.confidence < 1


def test_one_tag_needs_a_method_that_learns_from_the_others(one_tag, recipe, tmp_path):
    joint = replace(recipe, options=replace(recipe.options, background_class=False))
    with pytest.raises(
        InputError, match=r'one tag only \("fish"\).* add some under another tag, e\.g\. a folder named other'
    ):
        _run(one_tag, joint, tmp_path)
    alone = replace(one_tag, samples=tuple(sample for sample in one_tag.samples if sample.labels))
    with pytest.raises(InputError, match=r'one tag only \("fish"\).* or in a folder named _background'):
        _run(alone, recipe, tmp_path)


def test_other_background_tags_are_another_run(demo_set, half, recipe, tmp_path):
    with pytest.raises(Interrupted):
        _run(half, recipe, tmp_path, hooks=lambda _: STOP)
    for other in (demo_set, demo_set.with_background("snail"), demo_set.with_background("snail", "fish")):
        with pytest.raises(InputError, match=r"checkpoint\.pt was made with other settings or data"):
            _run(other, recipe, tmp_path, resume=True)
    assert _run(half, recipe, tmp_path, resume=True).classes == half.classes
