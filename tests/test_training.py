"""From a dataset and a recipe to a saved model, with F1 trained, frozen or cached."""

import csv
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from torchbas import recipes
from torchbas.config import Recipe
from torchbas.data import decode
from torchbas.errors import InputError, Interrupted
from torchbas.model import BAS
from torchbas.training.feature_cache import FEATURES
from torchbas.training.loop import Hooks
from torchbas.training.recipe import train_recipe as train


@pytest.fixture(scope="module")
def recipe(recipe: Recipe) -> Recipe:
    """The shared recipe with a classifier that is trained with the maps, so that F1 may be trained too."""
    joint = recipes.load("quick_joint")
    architecture = replace(joint.architecture, backbone="test_resnet", hidden=16)
    return replace(recipe, architecture=architecture, options=replace(joint.options, classifier_steps=6))


def _of(recipe, **training):
    return replace(recipe, training=replace(recipe.training, **training))


def _same(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def _run(dataset, recipe, out, **options):
    return train(dataset, recipe, out, weights=False, device="cpu", **options)


def _fresh(dataset, recipe):
    """The network before its first step."""
    torch.manual_seed(recipe.training.seed)
    return BAS.from_architecture(recipe.architecture, len(dataset.classes))


def _steps(out):
    with (out / "log.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(demo_set, recipe, tmp_path_factory):
    """A run of the recipe, its model and its folder."""
    out = tmp_path_factory.mktemp("finished") / "new" / "run"
    return _run(demo_set, recipe, out), out


@pytest.mark.parametrize(
    ("f1", "decoded_once", "changed"),
    [
        ("train", False, {"f1", "f2", "head", "generator"}),
        ("frozen", False, {"f2", "head", "generator"}),
        ("cached", True, {"f2", "head", "generator"}),
    ],
)
def test_f1_is_trained_frozen_or_cached(demo_set, recipe, tmp_path, monkeypatch, f1, decoded_once, changed):
    decoded = []
    monkeypatch.setattr("torchbas.data.loader.decode", lambda *given: decoded.append(given[0]) or decode(*given))
    trained = _run(demo_set, _of(recipe, f1=f1), tmp_path).model.state_dict()
    before = _fresh(demo_set, recipe).state_dict()
    weights = {name: value for name, value in trained.items() if name in before}  # not what the options alone add
    assert {name.split(".")[0] for name, value in weights.items() if not torch.equal(value, before[name])} == changed
    assert set(decoded) == {sample.path for sample in demo_set.only("train").samples}
    assert len(decoded) == (18 if decoded_once else 4 * 18)


def test_features_are_not_kept_where_the_image_itself_is_masked(demo_set, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("torchbas.training.recipe.compute_features", lambda *_, **__: pytest.fail("kept"))
    masked = replace(recipe, architecture=replace(recipe.architecture, mask_at="image"))
    _run(demo_set, _of(masked, steps=7), tmp_path)
    assert _steps(tmp_path)[-1] == 7


def test_cached_features_are_refused_by_what_needs_photos_even_where_the_image_is_masked(demo_set, recipe, tmp_path):
    masked = replace(recipe, architecture=replace(recipe.architecture, mask_at="image"))
    for changes in ({"method": "has", "options": {}}, {"options": replace(recipe.options, clip_model="any")}):
        with pytest.raises(InputError, match=r"quick caches the features of F1, but .* learns from the photos: --f1"):
            _run(demo_set, replace(masked, **changes), tmp_path)


def test_a_finished_run_holds_the_model_and_its_log_alone(demo_set, recipe, finished):
    localizer, out = finished
    names = {path.name for path in out.iterdir() if not path.name.startswith("events.")}
    assert names == {"model.json", "model.safetensors", "log.csv"}
    assert localizer.classes == demo_set.classes
    assert (localizer.resize, localizer.crop, localizer.recipe) == (64, 48, "quick")
    assert localizer.inference == recipe.inference


def test_features_lie_in_the_run_s_folder_while_it_trains(demo_set, recipe, tmp_path):
    seen = []

    def hooks(localizer):
        assert localizer.classes == demo_set.classes
        return Hooks(every={12: lambda _: seen.append((tmp_path / FEATURES).is_file())})

    _run(demo_set, recipe, tmp_path, hooks=hooks)
    assert seen == [True]


def test_kept_features_make_the_same_model_and_only_the_first_training_computes_them(
    demo_set, recipe, tmp_path, monkeypatch
):
    plain = _run(demo_set, recipe, tmp_path / "plain").model
    cache = tmp_path / "new" / "cache"
    first = _run(demo_set, recipe, tmp_path / "first", feature_cache=cache).model
    monkeypatch.setattr(
        "torchbas.training.kept_features.compute_features", lambda *_, **__: pytest.fail("computed again")
    )
    again = _run(demo_set, recipe, tmp_path / "again", feature_cache=cache).model
    assert _same(plain, first)
    assert _same(plain, again)
    assert not (tmp_path / "again" / FEATURES).exists()


def test_features_are_kept_in_a_folder_by_recipes_that_cache_them(demo_set, recipe, tmp_path):
    with pytest.raises(InputError, match="leave out --feature-cache, or add --f1 cached"):
        _run(demo_set, _of(recipe, f1="train"), tmp_path / "run", feature_cache=tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="file is a file: give a folder"):
        _run(demo_set, recipe, tmp_path / "run", feature_cache=tmp_path / "file")
    assert not (tmp_path / "run").exists()


def test_steps_win_over_epochs(demo_set, recipe, finished, tmp_path):
    assert _steps(finished[1]) == list(range(1, 13))
    _run(demo_set, _of(recipe, steps=None, epochs=1), tmp_path)
    assert _steps(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize("f1", ["train", "cached"])
def test_the_same_seed_makes_the_same_model_with_workers_or_without(demo_set, recipe, tmp_path, f1):
    short = _of(recipe, f1=f1, steps=6, views=1)
    first, second = (_run(demo_set, short, tmp_path / str(n), workers=n).model for n in (0, 1))
    assert _same(first, second)
    other = _run(demo_set, _of(short, seed=1), tmp_path / "other").model
    assert not _same(first, other)


@pytest.mark.parametrize("f1", ["train", "cached"])
def test_a_stopped_run_that_goes_on_ends_where_a_straight_one_does(demo_set, recipe, tmp_path, f1):
    chosen = _of(recipe, f1=f1)
    straight = _run(demo_set, chosen, tmp_path / "straight")
    stop = Hooks(every={5: lambda _: signal.raise_signal(signal.SIGINT)})
    with pytest.raises(Interrupted):
        _run(demo_set, chosen, tmp_path / "stopped", hooks=lambda _: stop)
    assert not (tmp_path / "stopped" / "model.json").exists()
    resumed = _run(demo_set, chosen, tmp_path / "stopped", resume=True)
    assert _same(straight.model, resumed.model)
    assert _steps(tmp_path / "stopped") == list(range(1, 13))


def test_features_of_a_stopped_run_take_no_room_from_those_of_the_next(demo_set, recipe, tmp_path, monkeypatch):
    """A view of 18 photos takes 192 x 3 x 3 halves each, and half of the free disk may be used."""
    kept, enough = tmp_path / FEATURES, 2 * (2 * 18 * 192 * 3 * 3 * 2)

    def disk(_):
        return SimpleNamespace(free=enough - (kept.stat().st_size if kept.exists() else 0))

    monkeypatch.setattr("shutil.disk_usage", disk)
    kept.write_bytes(bytes(enough // 2))
    shapes = []
    hooks = Hooks(every={12: lambda _: shapes.append(np.load(kept, mmap_mode="r").shape)})
    _run(demo_set, recipe, tmp_path, hooks=lambda _: hooks)
    assert shapes == [(2, 18, 192 * 3 * 3)]


def test_a_finished_run_is_not_trained_again(demo_set, recipe, finished, monkeypatch):
    localizer, out = finished
    monkeypatch.setattr("torchbas.training.train.fit", lambda *_, **__: pytest.fail("trained"))
    again = _run(demo_set, recipe, out, resume=True)
    assert _same(localizer.model, again.model)
    assert replace(again, model=localizer.model) == localizer


def test_only_the_same_settings_and_photos_can_go_on(demo_set, recipe, finished, tmp_path):
    _, out = finished
    first, *others = demo_set.samples
    more = replace(demo_set, samples=(replace(first, split="train", labels=(0, 1)), *others))
    with pytest.raises(InputError, match="run holds a model of other settings or data; give the same, or --overwrite"):
        _run(demo_set, _of(recipe, lr=0.5), out, resume=True)
    with pytest.raises(InputError, match="other settings or data"):
        _run(more, recipe, out, resume=True)
    stop = Hooks(every={2: lambda _: signal.raise_signal(signal.SIGTERM)})
    with pytest.raises(Interrupted):
        _run(demo_set, _of(recipe, f1="frozen"), tmp_path, hooks=lambda _: stop)
    with pytest.raises(InputError, match=r"checkpoint\.pt was made with other settings"):
        _run(demo_set, _of(recipe, f1="frozen", lr=0.5), tmp_path, resume=True)


def test_what_does_not_touch_the_weights_may_change(demo_set, recipe, finished):
    _, out = finished
    other = replace(_of(recipe, save_every=7), about="other words", inference=replace(recipe.inference, threshold=0.5))
    assert _run(demo_set, other, out, resume=True).fingerprint == finished[0].fingerprint


def test_a_dataset_with_fewer_than_two_tags_is_refused_by_name(demo_set, recipe, tmp_path):
    one = replace(demo_set, samples=tuple(sample for sample in demo_set.samples if sample.labels == (2,)))
    none = replace(demo_set, samples=tuple(replace(sample, labels=()) for sample in demo_set.samples))
    held_out = replace(demo_set, samples=demo_set.only("test").samples)
    with pytest.raises(InputError, match=r'sample.* has one tag only \("ladybird"\).* add some under another tag'):
        _run(one, recipe, tmp_path / "run")
    for dataset in (none, held_out):
        with pytest.raises(InputError, match=r"sample.* has no tagged photos to train on; run bas check .*sample"):
            _run(dataset, recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
