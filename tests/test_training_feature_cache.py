"""Features kept instead of photos: the same network, order and labels, only faster."""

import itertools
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import tiny_bas

from torchbas.config import Training
from torchbas.data import Draw, Order, standardize
from torchbas.errors import InputError
from torchbas.training.feature_cache import (
    CachedLoader,
    compute_features,
    feature_bytes,
    opened,
    passes,
    sides_of,
    worthwhile_views,
)
from torchbas.training.kept_features import kept_features

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
TRAINING = Training(batch_size=6, resize=40, crop=36, seed=3)
SEVERAL = replace(TRAINING, f1="cached", resolutions=(1.0, 1.5))


@pytest.mark.parametrize(
    ("training", "samples", "expected"),
    [
        (Training(epochs=7), 50, 7),
        (Training(steps=30, batch_size=10), 100, 3),
        (Training(steps=30, batch_size=10), 91, 3),  # nine full batches and one photo are an epoch, too
        (Training(steps=30, batch_size=32), 8, 30),  # a batch never holds a photo twice
        (Training(steps=30, batch_size=10, accumulate=5), 100, 15),
        (Training(epochs=7, batch_size=10, accumulate=5), 100, 7),
    ],
)
def test_passes_are_steps_over_steps_in_an_epoch(training, samples, expected):
    assert passes(training, samples) == expected


@pytest.mark.parametrize(
    ("training", "samples", "size", "expected"),
    [
        (Training(epochs=120, views=4), 1000, 1000, 4),
        (Training(epochs=7, views=4), 1000, 1000, 3),  # each view at least twice
        (Training(epochs=1), 1000, 1000, 0),
        (Training(epochs=1, f1="cached", resolutions=(1.0, 2.0)), 1000, 1000, 1),  # several were asked for
        (Training(epochs=12, f1="cached", resolutions=(1.0, 2.0)), 1000, 1000, 3),
        (Training(steps=30, batch_size=10, views=4), 100, 1000, 1),
        (Training(epochs=120, views=4), 1000, 2_500_000, 2),  # 2.5 GB a view, 6 GB in all
        (Training(epochs=120, views=4), 1000, 7_000_000, 0),
    ],
)
def test_views_that_are_used_twice_and_fit_on_the_disk_pay(training, samples, size, expected):
    assert worthwhile_views(training, samples, size) == expected


def test_kept_features_are_of_all_views_however_short_the_training():
    assert worthwhile_views(Training(epochs=1, views=4), 1000, 1000) == 0
    assert worthwhile_views(Training(epochs=1, views=4), 1000, 1000, kept=True) == 4
    assert worthwhile_views(Training(epochs=1, views=4), 1000, 2_500_000, kept=True) == 2


def test_a_view_takes_two_bytes_a_feature():
    model = tiny_bas().train()
    assert feature_bytes(model, Training(resize=40, crop=36)) == 2 * 8 * 36 * 36
    assert feature_bytes(model, SEVERAL) == 2 * 8 * (36 * 36 + 54 * 54)
    assert model.training


@pytest.fixture(scope="module")
def model():
    network = tiny_bas(classes=6)
    network.normalization = MEAN, STD
    network.freeze_f1()
    return network.train()


@pytest.fixture(scope="module")
def tagged(demo_set):
    """The photos to train on, every third with three tags."""
    samples = [
        replace(sample, labels=(0, 2, 5)) if number % 3 == 0 else sample
        for number, sample in enumerate(demo_set.only("train").samples)
    ]
    return replace(demo_set, samples=tuple(samples))


def _cache(model, dataset, file, workers=0):
    """The features and, as F1 saw them, the views: (views, photos, 3, H, W)."""
    seen = []

    def watch(batches, _):
        for batch in batches:
            seen.append(batch.images)
            yield batch

    features = compute_features(model, dataset, TRAINING, file, 2, workers=workers, forward=nullcontext, progress=watch)
    return features, torch.cat(seen).transpose(0, 1)


@pytest.fixture(scope="module")
def cached(model, tagged, tmp_path_factory):
    return _cache(model, tagged, tmp_path_factory.mktemp("cache") / "features.npy")


def test_the_features_are_f1_of_the_very_views_in_half_precision(cached, model, tagged):
    data, views = cached
    (cached,) = data.features
    assert cached.dtype == np.float16
    assert cached.shape == (2, len(tagged.samples), 8, 36, 36)
    for features, images in zip(cached, views, strict=True):
        with torch.no_grad():
            expected = model.f1(standardize(images, MEAN, STD))
        torch.testing.assert_close(torch.from_numpy(features).float(), expected, rtol=1e-3, atol=1e-4)
    assert not torch.equal(views[0], views[1])


def test_workers_make_the_same_features(cached, model, tagged, tmp_path):
    again, _ = _cache(model, tagged, tmp_path / "features.npy", workers=1)
    assert np.array_equal(again.features[0], cached[0].features[0])


def test_epochs_take_turns_with_the_views_and_mirror_every_second_time(cached):
    data, _ = cached
    seen = {}
    for epoch in range(8):
        order = Order(len(data), 6, seed=3)
        order.set_epoch(epoch)
        for batch in CachedLoader(data, order):
            for index, features in zip(batch.index.tolist(), batch.features.numpy(), strict=True):
                kept = data.features[0][:, index]
                (at,) = np.flatnonzero((np.concatenate([kept, kept[..., ::-1]]) == features).all((1, 2, 3)))
                seen.setdefault(index, []).append(int(at))
    assert all([at % 2 for at in turns] == [(turns[0] + epoch) % 2 for epoch in range(8)] for turns in seen.values())
    assert {turns[0] % 2 for turns in seen.values()} == {0, 1}, "an epoch mixes the views"
    mirrored = np.mean([at >= 2 for turns in seen.values() for at in turns])
    assert 0.4 < mirrored < 0.6


def test_an_epoch_holds_every_photo_once_in_the_order_photos_would_come(cached):
    data, _ = cached
    order = Order(len(data), 7, seed=3)
    loader = CachedLoader(data, order)
    loader.set_epoch(2)
    indices = [batch.index.tolist() for batch in loader]
    assert indices == [[draw.index for draw in draws] for draws in order]
    assert len(indices) == len(loader) == 3
    assert sorted(itertools.chain(*indices)) == list(range(18))


def test_a_resumed_epoch_goes_on_with_the_same_batches(cached):
    data, _ = cached
    straight = CachedLoader(data, Order(len(data), 4, seed=3))
    straight.set_epoch(5)
    expected = list(straight)
    resumed = CachedLoader(data, Order(len(data), 4, seed=3))
    for start in range(6):
        resumed.set_epoch(5, start)
        batches = list(resumed)
        assert len(batches) == 5 - start
        for batch, other in zip(batches, expected[start:], strict=True):
            assert all(torch.equal(column, twin) for column, twin in zip(batch, other, strict=True))
    resumed.set_epoch(6)
    assert not torch.equal(next(iter(resumed)).index, expected[0].index)


def test_every_tag_is_a_label_and_each_in_turn_the_target(cached, tagged):
    data, _ = cached
    drawn = {}
    for epoch in range(20):
        loader = CachedLoader(data, Order(len(data), 6, seed=3))
        loader.set_epoch(epoch)
        for batch in loader:
            for index, labels, target in zip(batch.index.tolist(), batch.labels, batch.target.tolist(), strict=True):
                assert tuple(labels.nonzero()[:, 0].tolist()) == tagged.samples[index].labels
                drawn.setdefault(index, set()).add(target)
    assert [tuple(sorted(drawn[index])) for index in range(18)] == [sample.labels for sample in tagged.samples]


def test_a_photo_that_vanished_gives_way_to_the_next(cached, model, tagged, tmp_path):
    samples, last = list(tagged.samples), len(tagged.samples) - 1
    for number in (4, last):
        samples[number] = replace(samples[number], path=tmp_path / f"{number}.png")
    file, told = tmp_path / "features.npy", []
    lost = replace(tagged, samples=tuple(samples))
    words = {"forward": nullcontext, "progress": lambda batches, _: batches, "unreadable": told.append}
    data = compute_features(model, lost, TRAINING, file, 2, **words)
    assert [problem.name for problem in told] == [samples[4].name, samples[last].name]
    batch = data.batch([Draw(0, 4), Draw(0, last), Draw(0, 7)])
    assert batch.index.tolist() == [5, 0, 7]
    assert torch.equal(batch.labels, cached[0].labels[[5, 0, 7]])
    expected = cached[0].features[0][[0, 1, 1], [5, 0, 7]]  # views take turns by the photo that was drawn
    for one, other in zip(batch.features.numpy(), expected, strict=True):
        assert np.array_equal(one, other) or np.array_equal(one, other[..., ::-1])
    there = [number for number in range(last) if number != 4]
    assert torch.cat([one.index for one in data.every(5)]).tolist() == 2 * there
    nothing = replace(lost, samples=(samples[4], samples[last]))
    with pytest.raises(InputError, match="None of the photos"):
        compute_features(model, nothing, TRAINING, tmp_path / "other.npy", 2, **words)


HOW = {"forward": nullcontext, "progress": lambda batches, _: batches}


def test_each_resolution_holds_the_same_views_at_its_size_and_batches_take_turns(model, tagged, tmp_path):
    assert sides_of(SEVERAL) == [(40, 36), (60, 54)]
    data = compute_features(model, tagged, SEVERAL, tmp_path / "features.npy", 2, **HOW)
    assert [cached.shape for cached in data.features] == [(2, 18, 8, 36, 36), (2, 18, 8, 54, 54)]
    for (resize, crop), cached in zip(sides_of(SEVERAL), data.features, strict=True):
        alone = replace(TRAINING, resize=resize, crop=crop)
        expected = compute_features(model, tagged, alone, tmp_path / f"{crop}.npy", 2, **HOW)
        assert np.array_equal(cached, expected.features[0])
    loader, sides = CachedLoader(data, Order(len(data), 6, seed=3)), []
    for epoch in range(2):
        loader.set_epoch(epoch)
        sides += [batch.features.shape[3] for batch in loader]
    assert sides == [36, 54, 36, 54, 36, 54]
    loader.set_epoch(1, 2)
    assert [batch.features.shape[3] for batch in loader] == [54]
    assert {tuple(batch.features.shape[2:]) for batch in data.every(7)} == {(36, 36), (54, 54)}


def _kept(model, dataset, folder, training=TRAINING, precision="32-true"):
    """Features out of the folder, and how many batches were computed for it."""
    counted = []

    def watch(batches, _):
        for batch in batches:
            counted.append(1)
            yield batch

    how = HOW | {"progress": watch, "unreadable": lambda _: None}
    folder.mkdir(exist_ok=True)
    return kept_features(folder, model, dataset, training, 2, precision=precision, **how), len(counted)


def test_kept_features_are_computed_once(cached, model, tagged, tmp_path):
    first, computed = _kept(model, tagged, tmp_path / "cache")
    again, nothing = _kept(model, tagged, tmp_path / "cache")
    assert computed
    assert not nothing
    for one in (first, again):
        assert np.array_equal(one.features[0], cached[0].features[0])
    assert sorted(file.suffix for file in (tmp_path / "cache").iterdir()) == [".json", ".npy"]


def test_kept_features_of_anything_else_are_others(model, tagged, tmp_path):
    for sample in tagged.samples:
        (tmp_path / sample.path.name).write_bytes(sample.path.read_bytes())
    own = tuple(replace(sample, path=tmp_path / sample.path.name) for sample in tagged.samples)
    photos, folder = replace(tagged, samples=own), tmp_path / "cache"
    assert _kept(model, photos, folder)[1]
    assert _kept(model, photos, folder, replace(TRAINING, seed=4))[1]
    assert _kept(model, photos, folder, replace(TRAINING, crop=34))[1]
    assert _kept(model, photos, folder, precision="bf16-mixed")[1]
    assert not _kept(model, photos, folder, replace(TRAINING, steps=7, lr=0.5))[1]
    other = tiny_bas(classes=6)
    other.normalization = MEAN, STD
    other.freeze_f1()
    with torch.no_grad():
        next(other.f1.parameters()).mul_(1.001)
    assert _kept(other, photos, folder)[1]
    own[3].path.write_bytes(own[4].path.read_bytes())
    assert _kept(model, photos, folder)[1]


def test_damaged_kept_features_are_computed_again(cached, model, tagged, tmp_path):
    _kept(model, tagged, tmp_path)
    (array,) = tmp_path.glob("*.npy")
    (card,) = tmp_path.glob("*.json")
    for break_it in (lambda: array.write_bytes(b"?"), lambda: card.write_text("{"), card.unlink, array.unlink):
        break_it()
        data, computed = _kept(model, tagged, tmp_path)
        assert computed
        assert np.array_equal(data.features[0], cached[0].features[0])
    assert not _kept(model, tagged, tmp_path)[1]


def test_kept_features_remember_the_photos_that_they_lack(model, tagged, tmp_path):
    samples = (replace(tagged.samples[0], path=tmp_path / "gone.png"), *tagged.samples[1:])
    lost = replace(tagged, samples=samples)
    first, _ = _kept(model, lost, tmp_path / "cache")
    again, computed = _kept(model, lost, tmp_path / "cache")
    assert not computed
    assert first.there.tolist() == again.there.tolist() == list(range(1, 18))


def test_a_stopped_computation_leaves_nothing(model, tagged, tmp_path):
    def stop(batches, _):
        yield next(iter(batches))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_features(tmp_path, model, tagged, TRAINING, 2, precision="32-true", **(HOW | {"progress": stop}))
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_shape_is_refused(model, tmp_path):
    opened(tmp_path / "features.npy", model, TRAINING, 2, 3, "w+")
    with pytest.raises(ValueError, match="holds"):
        opened(tmp_path / "features.npy", model, TRAINING, 1, 3, "r")
