"""Every method is trained alike: same photos in the same order, stopped and resumed, saved and loaded."""

import csv
import json
import signal
from dataclasses import replace

import pytest
import torch

from torchbas.errors import InputError, Interrupted
from torchbas.inference.localizer import Localizer
from torchbas.methods import METHODS
from torchbas.methods.gradcam import GradCAM
from torchbas.methods.trained import TrainedModel
from torchbas.training.loop import Hooks
from torchbas.training.recipe import train_recipe


@pytest.fixture(scope="module")
def recipe(recipe):
    training = replace(recipe.training, f1="train", steps=6, batch_size=8, lr=0.01)
    return replace(recipe, architecture=replace(recipe.architecture, head="linear"), training=training)


def _run(dataset, recipe, method, out, *, options=(), **how):
    chosen = replace(recipe, method=method, options=dict(options))
    return train_recipe(dataset, chosen, out, **{"weights": False, "device": "cpu"} | how)


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
def finished(demo_set, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("cam")
    return _run(demo_set, _long(recipe), "cam", out), out


def test_the_loss_falls(finished):
    losses = _losses(finished[1])
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize(
    ("method", "optimizer"), [("has", "sgd"), ("cutmix", "sgd"), ("adl", "sgd"), ("trilite", "adamw")]
)
def test_a_stopped_run_that_goes_on_ends_where_a_straight_one_does(demo_set, recipe, tmp_path, method, optimizer):
    """What a method draws at random is drawn alike after a resume, and what an optimizer remembers is kept."""
    recipe = _of(recipe, optimizer=optimizer)
    straight = _run(demo_set, recipe, method, tmp_path / "straight")
    stop = Hooks(every={4: lambda _: signal.raise_signal(signal.SIGINT)})
    with pytest.raises(Interrupted):
        _run(demo_set, recipe, method, tmp_path / "stopped", hooks=lambda _: stop)
    resumed = _run(demo_set, recipe, method, tmp_path / "stopped", resume=True)
    assert _same(straight.model, resumed.model)
    assert _losses(tmp_path / "stopped") == _losses(tmp_path / "straight")


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("recam", "cda", "clims", "w_ood", "sat")])
def test_what_is_saved_is_what_is_loaded(demo_set, recipe, tmp_path, method):
    trained = _run(demo_set, _of(recipe, steps=2), method, tmp_path)
    loaded = Localizer.load(tmp_path)
    assert _same(trained.model, loaded.model)
    assert replace(loaded, model=trained.model) == trained
    assert json.loads((tmp_path / "model.json").read_text())["method"] == method
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("events.")} == {
        "model.json",
        "model.safetensors",
        "log.csv",
    }


def test_options_are_the_method_s_and_are_remembered(demo_set, recipe, tmp_path):
    trained = _run(demo_set, _of(recipe, steps=1), "has", tmp_path, options={"grid": 3})
    assert trained.model.options.grid == TrainedModel.load(tmp_path).model.options.grid == 3
    with pytest.raises(InputError, match="holds a model of other settings or data"):
        _run(demo_set, _of(recipe, steps=1), "has", tmp_path, options={"grid": 2}, resume=True)
    with pytest.raises(InputError, match="holds a model of other settings or data"):
        _run(demo_set, _of(recipe, steps=1), "cam", tmp_path, resume=True)


def test_a_finished_run_is_not_trained_again(demo_set, recipe, finished, monkeypatch):
    monkeypatch.setattr("torchbas.training.train.fit", lambda *_, **__: pytest.fail("trained"))
    again = _run(demo_set, _long(recipe), "cam", finished[1], resume=True)
    assert _same(finished[0].model, again.model)


def test_post_hoc_methods_read_a_model_of_cam(demo_set, recipe, finished, tmp_path):
    untrained, start = _of(recipe, steps=0), {"weights": finished[1]}
    gradcam = _run(demo_set, untrained, "gradcam", tmp_path / "gradcam", options={"layer": "f1"}, **start)
    assert isinstance(gradcam.model, GradCAM)
    assert gradcam.model.options.layer == "f1"
    trained = {name: value for name, value in finished[0].model.state_dict().items() if "num_batches" not in name}
    assert all(torch.equal(value, gradcam.model.state_dict()[name]) for name, value in trained.items())
    with pytest.raises(InputError, match="second_head"):
        _run(demo_set, untrained, "acol", tmp_path / "acol", **start)


def test_new_layers_learn_faster_than_pretrained_ones(demo_set, recipe, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("torchbas.training.train.fit", lambda *_, new, **__: seen.append(new))
    for method in ("cam", "acol", "spg"):
        _run(demo_set, recipe, method, tmp_path / method)
    assert seen == [("head",), ("head", "second_head"), ("head", "branches")]


def test_a_recipe_that_caches_f1_is_refused_by_methods_that_need_the_photos(demo_set, recipe, tmp_path):
    with pytest.raises(InputError, match="quick caches the features of F1, but has learns from the photos"):
        _run(demo_set, _of(recipe, f1="cached"), "has", tmp_path)


def test_a_folder_of_something_else_is_refused(finished, tmp_path):
    card = json.loads((finished[1] / "model.json").read_text())
    del card["method"]
    (tmp_path / "model.json").write_text(json.dumps(card))
    (tmp_path / "model.safetensors").write_bytes((finished[1] / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match="describes a network that this version does not know"):
        TrainedModel.load(tmp_path)


def test_a_frozen_f1_is_left_as_it_was(demo_set, recipe, tmp_path):
    few, many = (
        _run(demo_set, _of(recipe, f1="frozen", steps=steps), "cam", tmp_path / str(steps)).model for steps in (1, 4)
    )
    assert _same(few.f1, many.f1)
    assert not _same(few.head, many.head)
