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
from torchbas.training.feature_cache import CachedLoader, cache_features, feature_bytes, passes, worthwhile_views

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
TRAINING = Training(batch_size=6, resize=40, crop=36, seed=3)


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
        (Training(steps=30, batch_size=10, views=4), 100, 1000, 1),
        (Training(epochs=120, views=4), 1000, 2_500_000, 2),  # 2.5 GB a view, 6 GB in all
        (Training(epochs=120, views=4), 1000, 7_000_000, 0),
    ],
)
def test_views_that_are_used_twice_and_fit_on_the_disk_pay(training, samples, size, expected):
    assert worthwhile_views(training, samples, size) == expected


def test_a_view_takes_two_bytes_a_feature():
    model = tiny_bas().train()
    assert feature_bytes(model, crop=16) == 2 * 8 * 16 * 16
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

    features = cache_features(model, dataset, TRAINING, file, 2, workers=workers, forward=nullcontext, progress=watch)
    return features, torch.cat(seen).transpose(0, 1)


@pytest.fixture(scope="module")
def cached(model, tagged, tmp_path_factory):
    return _cache(model, tagged, tmp_path_factory.mktemp("cache") / "features.npy")


def test_the_features_are_f1_of_the_very_views_in_half_precision(cached, model, tagged):
    data, views = cached
    assert data.features.dtype == np.float16
    assert data.features.shape == (2, len(tagged.samples), 8, 36, 36)
    for features, images in zip(data.features, views, strict=True):
        with torch.no_grad():
            expected = model.f1(standardize(images, MEAN, STD))
        torch.testing.assert_close(torch.from_numpy(features).float(), expected, rtol=1e-3, atol=1e-4)
    assert not torch.equal(views[0], views[1])


def test_workers_make_the_same_features(cached, model, tagged, tmp_path):
    again, _ = _cache(model, tagged, tmp_path / "features.npy", workers=1)
    assert np.array_equal(again.features, cached[0].features)


def test_epochs_take_turns_with_the_views_and_mirror_every_second_time(cached):
    data, _ = cached
    seen = {}
    for epoch in range(8):
        order = Order(len(data), 6, seed=3)
        order.set_epoch(epoch)
        for batch in CachedLoader(data, order):
            for index, features in zip(batch.index.tolist(), batch.features.numpy(), strict=True):
                kept = data.features[:, index]
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
    data = cache_features(model, lost, TRAINING, file, 2, **words)
    assert [problem.name for problem in told] == [samples[4].name, samples[last].name]
    batch = data.batch([Draw(0, 4), Draw(0, last), Draw(0, 7)])
    assert batch.index.tolist() == [5, 0, 7]
    assert torch.equal(batch.labels, cached[0].labels[[5, 0, 7]])
    expected = cached[0].features[[0, 1, 1], [5, 0, 7]]  # views take turns by the photo that was drawn
    for one, other in zip(batch.features.numpy(), expected, strict=True):
        assert np.array_equal(one, other) or np.array_equal(one, other[..., ::-1])
    there = [number for number in range(last) if number != 4]
    assert torch.cat([one.index for one in data.every(5)]).tolist() == 2 * there
    nothing = replace(lost, samples=(samples[4], samples[last]))
    with pytest.raises(InputError, match="None of the photos"):
        cache_features(model, nothing, TRAINING, tmp_path / "other.npy", 2, **words)
