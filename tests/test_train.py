"""From a collection and a recipe to a saved model, by every way through the stem."""

import csv
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from torchbas.data import decode
from torchbas.engine import Hooks
from torchbas.errors import InputError, Interrupted
from torchbas.localize.train import FEATURES, train
from torchbas.model import BAS


def _of(recipe, **training):
    return replace(recipe, training=replace(recipe.training, **training))


def _same(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def _run(collection, recipe, out, **options):
    return train(collection, recipe, out, weights=False, device="cpu", **options)


def _fresh(collection, recipe):
    """The network before its first step."""
    torch.manual_seed(recipe.training.seed)
    return BAS.from_architecture(recipe.architecture, len(collection.classes))


def _steps(out):
    with (out / "log.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(sample, recipe, tmp_path_factory):
    """A run of the recipe, its model and its folder."""
    out = tmp_path_factory.mktemp("finished") / "new" / "run"
    return _run(sample, recipe, out), out


@pytest.mark.parametrize(
    ("stem", "decoded_once", "changed"),
    [
        ("train", False, {"stem", "tail", "head", "generator"}),
        ("frozen", False, {"tail", "head", "generator"}),
        ("cached", True, {"tail", "head", "generator"}),
    ],
)
def test_the_stem_is_trained_kept_or_cached(sample, recipe, tmp_path, monkeypatch, stem, decoded_once, changed):
    decoded = []
    monkeypatch.setattr("torchbas.data.loader.decode", lambda *given: decoded.append(given[0]) or decode(*given))
    trained = _run(sample, _of(recipe, stem=stem), tmp_path).model.state_dict()
    before = _fresh(sample, recipe).state_dict()
    assert {name.split(".")[0] for name, value in trained.items() if not torch.equal(value, before[name])} == changed
    assert set(decoded) == {photo.path for photo in sample.only("train").photos}
    assert len(decoded) == (18 if decoded_once else 4 * 18)


def test_features_are_not_kept_where_the_image_itself_is_masked(sample, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("torchbas.localize.train.cache_features", lambda *_, **__: pytest.fail("kept"))
    hidden = replace(recipe, architecture=replace(recipe.architecture, hide="image"))
    _run(sample, _of(hidden, steps=7), tmp_path)
    assert _steps(tmp_path)[-1] == 7


def test_a_finished_run_holds_the_model_and_its_log_alone(sample, recipe, finished):
    localizer, out = finished
    names = {path.name for path in out.iterdir() if not path.name.startswith("events.")}
    assert names == {"model.json", "model.safetensors", "log.csv"}
    assert localizer.classes == sample.classes
    assert (localizer.side, localizer.crop, localizer.recipe) == (64, 48, "quick")
    assert localizer.inference == recipe.inference


def test_features_lie_in_the_run_s_folder_while_it_trains(sample, recipe, tmp_path):
    seen = []

    def hooks(localizer):
        assert localizer.classes == sample.classes
        return Hooks(every={12: lambda _: seen.append((tmp_path / FEATURES).is_file())})

    _run(sample, recipe, tmp_path, hooks=hooks)
    assert seen == [True]


def test_steps_win_over_epochs(sample, recipe, finished, tmp_path):
    assert _steps(finished[1]) == list(range(1, 13))
    _run(sample, _of(recipe, steps=None, epochs=1), tmp_path)
    assert _steps(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize("stem", ["train", "cached"])
def test_the_same_seed_makes_the_same_model_with_workers_or_without(sample, recipe, tmp_path, stem):
    short = _of(recipe, stem=stem, steps=6, views=1)
    first, second = (_run(sample, short, tmp_path / str(n), workers=n).model for n in (0, 1))
    assert _same(first, second)
    other = _run(sample, _of(short, seed=1), tmp_path / "other").model
    assert not _same(first, other)


@pytest.mark.parametrize("stem", ["train", "cached"])
def test_a_stopped_run_that_goes_on_ends_where_a_straight_one_does(sample, recipe, tmp_path, stem):
    chosen = _of(recipe, stem=stem)
    straight = _run(sample, chosen, tmp_path / "straight")
    stop = Hooks(every={5: lambda _: signal.raise_signal(signal.SIGINT)})
    with pytest.raises(Interrupted):
        _run(sample, chosen, tmp_path / "stopped", hooks=lambda _: stop)
    assert not (tmp_path / "stopped" / "model.json").exists()
    resumed = _run(sample, chosen, tmp_path / "stopped", resume=True)
    assert _same(straight.model, resumed.model)
    assert _steps(tmp_path / "stopped") == list(range(1, 13))


def test_features_of_a_stopped_run_take_no_room_from_those_of_the_next(sample, recipe, tmp_path, monkeypatch):
    """A view of 18 photos takes 192 x 3 x 3 halves each, and half of the free disk may be used."""
    kept, enough = tmp_path / FEATURES, 2 * (2 * 18 * 192 * 3 * 3 * 2)

    def disk(_):
        return SimpleNamespace(free=enough - (kept.stat().st_size if kept.exists() else 0))

    monkeypatch.setattr("shutil.disk_usage", disk)
    kept.write_bytes(bytes(enough // 2))
    shapes = []
    hooks = Hooks(every={12: lambda _: shapes.append(np.load(kept, mmap_mode="r").shape)})
    _run(sample, recipe, tmp_path, hooks=lambda _: hooks)
    assert shapes == [(2, 18, 192, 3, 3)]


def test_a_finished_run_is_not_trained_again(sample, recipe, finished, monkeypatch):
    localizer, out = finished
    monkeypatch.setattr("torchbas.localize.train.fit", lambda *_, **__: pytest.fail("trained"))
    again = _run(sample, recipe, out, resume=True)
    assert _same(localizer.model, again.model)
    assert replace(again, model=localizer.model) == localizer


def test_only_the_same_settings_and_photos_can_go_on(sample, recipe, finished, tmp_path):
    _, out = finished
    first, *others = sample.photos
    more = replace(sample, photos=(replace(first, split="train", labels=(0, 1)), *others))
    with pytest.raises(InputError, match="run holds a model of other settings or data; give the same, or --overwrite"):
        _run(sample, _of(recipe, lr=0.5), out, resume=True)
    with pytest.raises(InputError, match="other settings or data"):
        _run(more, recipe, out, resume=True)
    stop = Hooks(every={2: lambda _: signal.raise_signal(signal.SIGTERM)})
    with pytest.raises(Interrupted):
        _run(sample, _of(recipe, stem="frozen"), tmp_path, hooks=lambda _: stop)
    with pytest.raises(InputError, match=r"checkpoint\.pt was made with other settings"):
        _run(sample, _of(recipe, stem="frozen", lr=0.5), tmp_path, resume=True)


def test_what_does_not_touch_the_weights_may_change(sample, recipe, finished):
    _, out = finished
    other = replace(_of(recipe, save_every=7), about="other words", inference=replace(recipe.inference, threshold=0.5))
    assert _run(sample, other, out, resume=True).fingerprint == finished[0].fingerprint


def test_a_collection_that_teaches_nothing_is_refused_by_name(sample, recipe, tmp_path):
    one = replace(sample, photos=tuple(photo for photo in sample.photos if photo.labels == (2,)))
    none = replace(sample, photos=tuple(replace(photo, labels=()) for photo in sample.photos))
    held_out = replace(sample, photos=sample.only("test").photos)
    with pytest.raises(InputError, match=r'sample.* has one tag only \("ladybird"\).* add some under another tag'):
        _run(one, recipe, tmp_path / "run")
    for collection in (none, held_out):
        with pytest.raises(InputError, match=r"sample.* has no tagged photos to train on; run bas check .*sample"):
            _run(collection, recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
