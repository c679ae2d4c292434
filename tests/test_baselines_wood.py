"""W-OoD: centres, distances and harder strangers by hand, and a training that can be stopped."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from torchbas.baselines.train import load, train
from torchbas.baselines.wood import k_means, separation
from torchbas.data import normalise, open_image, training_loader, whole_view
from torchbas.engine import Hooks
from torchbas.errors import InputError, Interrupted


def test_k_means_is_lloyd_s_algorithm_from_the_first_points():
    torch.manual_seed(0)
    points = torch.randn(60, 3)
    centres = points[:4].numpy().copy()
    for _ in range(10):
        nearest = np.linalg.norm(points.numpy()[:, None] - centres, axis=2).argmin(axis=1)
        centres = np.stack([points.numpy()[nearest == k].mean(axis=0) for k in range(4)])
    assert np.allclose(k_means(points, 4), centres, atol=1e-5)


def test_a_centre_without_points_stays_where_it_was():
    points = torch.tensor([[0.0, 0.0], [0.0, 0.0], [4.0, 0.0], [6.0, 0.0]])
    assert k_means(points, 3).tolist() == [[0.0, 0.0], [0.0, 0.0], [5.0, 0.0]]


def test_separation_is_near_its_own_centres_and_far_from_the_nearest_strangers():
    torch.manual_seed(0)
    features, own, foreign = torch.randn(4, 5), torch.randn(3, 5), torch.randn(10, 5)
    labels = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 1]]).float()
    close = sum((features[b] - own[k]).norm() for b in range(4) for k in range(3) if labels[b, k])
    pairs = sorted((features[b] - foreign[k]).norm().item() for b in range(4) for k in range(10))
    expected = (close.item() - sum(pairs[:8])) / 40
    assert separation(features, labels, own, foreign, nearest=0.2).item() == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def short(recipe):
    training = replace(recipe.training, stem="train", steps=4, batch_size=8, lr=0.01)
    return replace(recipe, architecture=replace(recipe.architecture, head="linear"), training=training)


@pytest.fixture(scope="module")
def places(sample, short, tmp_path_factory):
    """A trained classifier, and photos of nothing."""
    root = tmp_path_factory.mktemp("wood")
    train(sample, short, "irn", root / "irn", weights=False, device="cpu")
    (root / "ood").mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(root / "ood" / f"{number}.png")
    return root


def _run(sample, recipe, places, out, **options):
    given = {"ood": places / "ood", "clusters": 3} | options
    return train(sample, recipe, "wood", out, weights=places / "irn", device="cpu", **given)


def test_centres_are_those_of_the_classifier_that_training_starts_from(sample, short, places, tmp_path):
    trained = _run(sample, short, places, tmp_path / "wood")
    first = load(places / "irn").model.eval()
    photos = sample.only("train").photos
    side = short.training.resize
    margin = (side - short.training.crop) // 2

    def seen(path):
        view = whole_view(open_image(path), side)[:, margin : side - margin, margin : side - margin]
        with torch.no_grad():
            return first.deep_features(first.features(normalise(view[None], *first.normalisation))).mean(dim=(2, 3))[0]

    for label in (0, 3):
        expected = torch.stack([seen(photo.path) for photo in photos if label in photo.labels]).mean(dim=0)
        assert torch.allclose(trained.model.own[label], expected, atol=1e-5)
    strangers = torch.stack([seen(path) for path in sorted((places / "ood").iterdir())])
    assert torch.allclose(trained.model.foreign, k_means(strangers, 3), atol=1e-5)


def test_a_harder_stranger_has_a_higher_top_score_one_stride_away(places):
    model = load(places / "irn", "wood").model.eval()
    torch.manual_seed(0)
    images = torch.randn(3, 3, 48, 48)
    harder = model.harder(images)
    assert torch.allclose((harder - images).abs().amax(dim=(1, 2, 3)), torch.full((3,), 0.07), atol=1e-5)
    assert (model.logits(harder).amax(dim=1) > model.logits(images).amax(dim=1)).all()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_strangers_learn_that_they_are_nothing(sample, short, places, tmp_path, monkeypatch):
    model = _run(sample, short, places, tmp_path / "wood").model
    images = torch.randn(8, 3, 48, 48)
    monkeypatch.setattr(model, "meet", lambda count: images[:count])
    batch = next(iter(_batches(sample, short)))
    terms = model(batch, 0)
    logits = model.logits(model.harder(images[: len(batch.images)]))
    assert torch.isclose(terms["strangers"], 0.25 * F.softplus(logits).mean(), atol=1e-6)
    assert terms.keys() == {"classify", "separate", "strangers"}


def _batches(sample, recipe):
    return training_loader(sample.only("train"), 8, 0, recipe.training.resize, recipe.training.crop)


def test_a_stopped_run_that_goes_on_ends_where_a_straight_one_does(sample, short, places, tmp_path):
    straight = _run(sample, short, places, tmp_path / "straight")
    stop = Hooks(every={2: lambda _: signal.raise_signal(signal.SIGINT)})
    with pytest.raises(Interrupted):
        _run(sample, short, places, tmp_path / "stopped", hooks=lambda _: stop)
    resumed = _run(sample, short, places, tmp_path / "stopped", resume=True)
    state = resumed.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in straight.model.state_dict().items())
    assert "own" not in state


def test_what_is_missing_is_named(sample, short, places, tmp_path):
    with pytest.raises(InputError, match="give a folder of them as --ood"):
        train(sample, short, "wood", tmp_path / "x", weights=places / "irn", device="cpu")
    with pytest.raises(InputError, match="has 5 photos, fewer than the 50 groups"):
        _run(sample, short, places, tmp_path / "x", clusters=50)
    with pytest.raises(InputError, match="wood goes on from a classifier"):
        train(sample, short, "wood", tmp_path / "x", weights=False, device="cpu", ood=places / "ood")
