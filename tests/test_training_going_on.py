"""Going on with a model: what it knows stands bit for bit, and only tags that are new are learned."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import torchbas as tb
from torchbas.errors import InputError, Interrupted
from torchbas.inference.localizer import Localizer
from torchbas.methods.probe import linear_probe
from torchbas.structures import Dataset
from torchbas.training.going_on import GoingOn, going_on_recipe, known_model, still_recognized, with_known_tags
from torchbas.training.loop import Hooks
from torchbas.training.recipe import train_recipe

FIRST, LATER = ("snail", "leaf", "mushroom", "flower"), ("fish", "ladybird")
"""Tags of the built-in set; those that come later would come first in any order by name."""
ROWS = ("head.0.weight", "generator.conv.weight", "generator.conv.bias")
"""Weights with a row for each class."""


def of(dataset: Dataset, tags: tuple[str, ...]) -> Dataset:
    """The training photos of some tags, and a class list of these alone."""
    chosen = (one for one in dataset.only("train").samples if dataset.classes[one.labels[0]] in tags)
    return replace(dataset, samples=tuple(chosen)).relabeled(tags)


@pytest.fixture(scope="module")
def folder(demo_set, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("first")
    train_recipe(of(demo_set, FIRST), recipe, out, weights=False, device="cpu")
    return out


@pytest.fixture(scope="module")
def first(folder):
    return known_model(folder)


def later(demo_set, recipe, first, out, tags=LATER, **how):
    return train_recipe(of(demo_set, tags), recipe_for(recipe), out, model=first, device="cpu", **how)


def recipe_for(recipe):
    """Its training alone; the network is the model's."""
    return replace(recipe, training=replace(recipe.training, resize=99, crop=99))


@pytest.fixture(scope="module")
def after(demo_set, recipe, first, tmp_path_factory):
    return later(demo_set, recipe, first, tmp_path_factory.mktemp("after"))


def weights(localizer):
    return dict(localizer.model.state_dict())


def test_it_begins_as_the_model_with_the_mean_filter_for_what_is_new(demo_set, recipe, first):
    photos = with_known_tags(of(demo_set, LATER), first)
    begun = GoingOn(first, photos, going_on_recipe(first, recipe, LATER)).build()
    assert begun.classes == (*FIRST, *LATER)
    before, now = weights(first), weights(begun)
    for name, value in before.items():
        assert torch.equal(now[name][:4] if name in ROWS else now[name], value), name
    for row in now["generator.conv.weight"][4:]:
        np.testing.assert_allclose(row.numpy(), before["generator.conv.weight"].numpy().mean(0), atol=1e-7)


def test_what_is_known_stands_and_what_is_new_is_learned(first, after):
    before, now = weights(first), weights(after)
    changed = {"log_area_factor", "familiarity.features", "familiarity.nearest"}
    for name, value in before.items():
        if name not in changed:
            assert torch.equal(now[name][:4] if name in ROWS else now[name], value), name
    mean = before["generator.conv.weight"].mean(dim=0)
    assert all(not torch.allclose(row, mean) for row in now["generator.conv.weight"][4:])
    assert after.began_from == (first.fingerprint, 4)
    assert after.known == FIRST
    assert after.model.familiarity.references.shape[0] == 12 + 6


def test_known_tags_have_the_boxes_and_maps_that_they_had(demo_set, first, after):
    photos = of(demo_set, FIRST)
    for old, new in zip(tb.predict(photos, first), tb.predict(photos, after), strict=True):
        assert (old.name, old.label, old.xyxy) == (new.name, new.label, new.xyxy)
        assert np.array_equal(old.grid, new.grid)


def test_known_and_new_tags_are_told_apart(demo_set, first, after):
    found = list(tb.predict(demo_set.only("train"), after, tags="predicted"))
    tags = {one.name: demo_set.classes[one.labels[0]] for one in demo_set.samples}
    assert {one.label for one in found} >= {"snail", "fish", "ladybird"}
    assert np.mean([tags[one.name] == one.label for one in found]) > 0.6
    same, remembered = still_recognized(first, after)
    assert remembered == 12
    assert same > 8


def test_one_new_tag_alone_is_enough(demo_set, recipe, first, tmp_path):
    alone = later(demo_set, recipe, first, tmp_path, tags=("fish",))
    assert alone.classes == (*FIRST, "fish")


def test_without_a_new_tag_nothing_is_trained(demo_set, recipe, first, tmp_path):
    same = later(demo_set, recipe, first, tmp_path, tags=("leaf", "flower"))
    before, now = weights(first), weights(same)
    assert before.keys() == now.keys()
    assert all(torch.equal(value, now[name]) for name, value in before.items())
    assert not (tmp_path / "log.csv").exists()
    loaded = Localizer.load(tmp_path)
    assert loaded.classes == FIRST
    assert loaded.began_from == (first.fingerprint, 4)


def test_a_stopped_one_resumes_bit_for_bit(demo_set, recipe, first, after, tmp_path):
    stop = Hooks(every={5: lambda _: signal.raise_signal(signal.SIGINT)})
    with pytest.raises(Interrupted):
        later(demo_set, recipe, first, tmp_path, hooks=lambda _: stop)
    resumed = later(demo_set, recipe, first, tmp_path, resume=True)
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(after).items())
    with pytest.raises(InputError, match="holds a model of other settings or data"):
        later(demo_set, recipe, first, tmp_path, tags=("fish",), resume=True)


def test_a_network_that_was_chosen_stays(first, recipe):
    changed = replace(recipe, changes={"backbone": "resnet50"})
    with pytest.raises(InputError, match="--backbone is the model's own"):
        going_on_recipe(first, changed, LATER)
    going_on_recipe(first, replace(recipe, changes={"steps": 3, "threshold": 0.2}), LATER)


def test_rows_of_new_classes_are_the_minimum_where_the_others_stand():
    """Against scipy, on the loss written out photo by photo."""
    rng = np.random.default_rng(0)
    features, known = rng.normal(size=(30, 4)), rng.normal(size=(2, 4))
    labels = np.eye(3)[rng.integers(0, 3, 30)]
    scale = features.std(axis=0, ddof=1).mean()

    def loss(row):
        total = 0.0
        for photo, label in zip(features, labels, strict=True):
            scores = np.array([*(known @ photo), row @ photo / scale])
            total += np.log(1 + np.exp(scores).sum()) - scores[label.argmax()]
        return total / len(features) + 0.1 * (row**2).sum() / 2

    expected = minimize(loss, np.zeros(4), tol=1e-9).x / scale
    numbers = (torch.tensor(one, dtype=torch.float32) for one in (features, labels, known))
    pooled, given, rows = numbers
    found = linear_probe(pooled, given, 0.1, background_class=True, known=rows)
    assert torch.equal(found[:2], rows)
    np.testing.assert_allclose(found[2].numpy(), expected, atol=1e-3)
