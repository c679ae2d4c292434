"""A baseline is trained as BAS is: same photos in the same order, stopped and resumed, saved and loaded."""

import csv
import json
import signal
from dataclasses import replace

import pytest
import torch

from torchbas.baselines import METHODS
from torchbas.baselines.gradcam import GradCAM
from torchbas.baselines.train import load, train
from torchbas.engine import Hooks
from torchbas.errors import InputError, Interrupted


@pytest.fixture(scope="module")
def recipe(recipe):
    training = replace(recipe.training, stem="train", steps=6, batch_size=8, lr=0.01)
    return replace(recipe, architecture=replace(recipe.architecture, head="linear"), training=training)


def _run(collection, recipe, method, out, **options):
    return train(collection, recipe, method, out, weights=False, device="cpu", **options)


def _of(recipe, **training):
    return replace(recipe, training=replace(recipe.training, **training))


def _long(recipe):
    return _of(recipe, steps=24, batch_size=18)  # a step sees every photo, so the losses can be compared


def _same(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def _losses(out):
    with (out / "log.csv").open(newline="") as file:
        return [float(row["total"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(sample, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("cam")
    return _run(sample, _long(recipe), "cam", out), out


def test_the_loss_falls(finished):
    losses = _losses(finished[1])
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("method", ["has", "cutmix", "adl"])
def test_a_stopped_run_that_goes_on_ends_where_a_straight_one_does(sample, recipe, tmp_path, method):
    """Methods that throw dice throw the same ones again."""
    straight = _run(sample, recipe, method, tmp_path / "straight")
    stop = Hooks(every={4: lambda _: signal.raise_signal(signal.SIGINT)})
    with pytest.raises(Interrupted):
        _run(sample, recipe, method, tmp_path / "stopped", hooks=lambda _: stop)
    resumed = _run(sample, recipe, method, tmp_path / "stopped", resume=True)
    assert _same(straight.model, resumed.model)
    assert _losses(tmp_path / "stopped") == _losses(tmp_path / "straight")


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("recam", "cda", "clims", "wood")])
def test_what_is_saved_is_what_is_loaded(sample, recipe, tmp_path, method):
    trained = _run(sample, _of(recipe, steps=2), method, tmp_path)
    loaded = load(tmp_path)
    assert _same(trained.model, loaded.model)
    assert replace(loaded, model=trained.model) == trained
    assert json.loads((tmp_path / "model.json").read_text())["method"] == method
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("events.")} == {
        "model.json",
        "model.safetensors",
        "log.csv",
    }


def test_options_are_the_method_s_and_are_remembered(sample, recipe, tmp_path):
    trained = _run(sample, _of(recipe, steps=1), "has", tmp_path, grid=3)
    assert trained.model.grid == load(tmp_path).model.grid == 3
    with pytest.raises(InputError, match="holds a model of other settings or data"):
        _run(sample, _of(recipe, steps=1), "has", tmp_path, resume=True, grid=2)
    with pytest.raises(InputError, match="holds a model of other settings or data"):
        _run(sample, _of(recipe, steps=1), "cam", tmp_path, resume=True)


def test_a_finished_run_is_not_trained_again(sample, recipe, finished, monkeypatch):
    monkeypatch.setattr("torchbas.baselines.train.fit", lambda *_, **__: pytest.fail("trained"))
    again = _run(sample, _long(recipe), "cam", finished[1], resume=True)
    assert _same(finished[0].model, again.model)


def test_post_hoc_methods_read_a_model_of_cam(finished):
    looked = load(finished[1], "gradcam", layer="features")
    assert isinstance(looked.model, GradCAM)
    assert looked.model.layer == "features"
    assert _same(finished[0].model, looked.model)
    with pytest.raises(InputError, match="second_head"):
        load(finished[1], "acol")


def test_new_layers_learn_faster_than_pretrained_ones(sample, recipe, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("torchbas.baselines.train.fit", lambda *_, new, **__: seen.append(new))
    for method in ("cam", "acol", "spg"):
        _run(sample, recipe, method, tmp_path / method)
    assert seen == [("head",), ("head", "second_head"), ("head", "branches")]


def test_a_recipe_that_keeps_the_stem_is_refused(sample, recipe, tmp_path):
    with pytest.raises(InputError, match=r"quick keeps the stem's features, which baselines do not"):
        _run(sample, _of(recipe, stem="cached"), "cam", tmp_path)


def test_a_folder_of_something_else_is_refused(finished, tmp_path):
    card = json.loads((finished[1] / "model.json").read_text())
    del card["method"]
    (tmp_path / "model.json").write_text(json.dumps(card))
    (tmp_path / "model.safetensors").write_bytes((finished[1] / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match="describes no baseline"):
        load(tmp_path)


def test_a_frozen_stem_is_left_as_it_was(sample, recipe, tmp_path):
    few, many = (
        _run(sample, _of(recipe, stem="frozen", steps=steps), "cam", tmp_path / str(steps)).model for steps in (1, 4)
    )
    assert _same(few.stem, many.stem)
    assert not _same(few.head, many.head)
