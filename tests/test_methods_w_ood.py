"""W-OoD: centers, distances and harder OoD photos by hand, and a training that can be stopped."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from torchbas.data import open_image, standardize, training_loader, whole_view
from torchbas.errors import InputError, Interrupted
from torchbas.methods.trained import TrainedModel
from torchbas.methods.w_ood import k_means, separation
from torchbas.training.loop import Hooks
from torchbas.training.recipe import train_recipe


def test_k_means_is_lloyd_s_algorithm_from_the_first_points():
    torch.manual_seed(0)
    points = torch.randn(60, 3)
    centers = points[:4].numpy().copy()
    for _ in range(10):
        nearest = np.linalg.norm(points.numpy()[:, None] - centers, axis=2).argmin(axis=1)
        centers = np.stack([points.numpy()[nearest == k].mean(axis=0) for k in range(4)])
    assert np.allclose(k_means(points, 4), centers, atol=1e-5)


def test_a_center_without_points_stays_where_it_was():
    points = torch.tensor([[0.0, 0.0], [0.0, 0.0], [4.0, 0.0], [6.0, 0.0]])
    assert k_means(points, 3).tolist() == [[0.0, 0.0], [0.0, 0.0], [5.0, 0.0]]


def test_separation_is_near_its_own_centers_and_far_from_the_nearest_ood_centers():
    torch.manual_seed(0)
    features, own, foreign = torch.randn(4, 5), torch.randn(3, 5), torch.randn(10, 5)
    labels = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 1]]).float()
    close = sum((features[b] - own[k]).norm() for b in range(4) for k in range(3) if labels[b, k])
    pairs = sorted((features[b] - foreign[k]).norm().item() for b in range(4) for k in range(10))
    expected = (close.item() - sum(pairs[:8])) / 40
    assert separation(features, labels, own, foreign, nearest=0.2).item() == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def short(recipe):
    training = replace(recipe.training, f1="train", steps=4, batch_size=8, lr=0.01)
    return replace(recipe, architecture=replace(recipe.architecture, head="linear"), training=training)


@pytest.fixture(scope="module")
def places(demo_set, short, tmp_path_factory):
    """A trained classifier, and photos without any of the classes."""
    root = tmp_path_factory.mktemp("w_ood")
    _train(demo_set, short, "irn", root / "irn")
    (root / "ood").mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(root / "ood" / f"{number}.png")
    return root


def _train(dataset, recipe, method, out, *, options=(), **how):
    chosen = replace(recipe, method=method, options=dict(options))
    return train_recipe(dataset, chosen, out, **{"weights": False, "device": "cpu"} | how)


def _run(demo_set, recipe, places, out, clusters=3, **how):
    options = {"ood": str(places / "ood"), "clusters": clusters}
    return _train(demo_set, recipe, "w_ood", out, options=options, weights=places / "irn", **how)


def test_centers_are_those_of_the_classifier_that_training_starts_from(demo_set, short, places, tmp_path):
    trained = _run(demo_set, short, places, tmp_path / "w_ood")
    first = TrainedModel.load(places / "irn").model.eval()
    samples = demo_set.only("train").samples
    side = short.training.resize
    margin = (side - short.training.crop) // 2

    def mean_features(path):
        view = whole_view(open_image(path), side)[:, margin : side - margin, margin : side - margin]
        with torch.no_grad():
            features = first.features(standardize(view[None], *first.normalization))
            return first.deep_features(features).mean(dim=(2, 3))[0]

    for label in (0, 3):
        expected = torch.stack([mean_features(sample.path) for sample in samples if label in sample.labels]).mean(dim=0)
        assert torch.allclose(trained.model.class_centers[label], expected, atol=1e-5)
    ood = torch.stack([mean_features(path) for path in sorted((places / "ood").iterdir())])
    assert torch.allclose(trained.model.ood_centers, k_means(ood, 3), atol=1e-5)


def test_a_harder_ood_photo_has_a_higher_top_score_one_step_away(demo_set, short, places, tmp_path):
    untrained = replace(short, training=replace(short.training, steps=0))
    model = _train(demo_set, untrained, "w_ood", tmp_path, weights=places / "irn").model.eval()
    torch.manual_seed(0)
    images = torch.randn(3, 3, 48, 48)
    harder = model.harder(images)
    model.freeze_f1()
    assert torch.equal(model.harder(images), harder), "the same through a frozen F1, which features() gives no gradient"
    assert torch.allclose((harder - images).abs().amax(dim=(1, 2, 3)), torch.full((3,), 0.07), atol=1e-5)
    assert (model.logits(harder).amax(dim=1) > model.logits(images).amax(dim=1)).all()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_ood_photos_are_trained_to_have_no_class(demo_set, short, places, tmp_path, monkeypatch):
    model = _run(demo_set, short, places, tmp_path / "w_ood").model
    images = torch.randn(8, 3, 48, 48)
    monkeypatch.setattr(model, "draw_ood", lambda count, _: images[:count])
    batch = next(iter(_batches(demo_set, short)))
    terms = model.losses(batch, 0)
    logits = model.logits(model.harder(images[: len(batch.images)]))
    assert torch.isclose(terms["ood"], 0.25 * F.softplus(logits).mean(), atol=1e-6)
    assert terms.keys() == {"classify", "separate", "ood"}


def _batches(demo_set, recipe):
    return training_loader(demo_set.only("train"), 8, 0, recipe.training.resize, recipe.training.crop)


def test_a_stopped_run_that_goes_on_ends_where_a_straight_one_does(demo_set, short, places, tmp_path):
    straight = _run(demo_set, short, places, tmp_path / "straight")
    stop = Hooks(every={2: lambda _: signal.raise_signal(signal.SIGINT)})
    with pytest.raises(Interrupted):
        _run(demo_set, short, places, tmp_path / "stopped", hooks=lambda _: stop)
    resumed = _run(demo_set, short, places, tmp_path / "stopped", resume=True)
    state = resumed.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in straight.model.state_dict().items())
    assert not {"class_centers", "ood_centers"} & state.keys()


def test_what_is_missing_is_named(demo_set, short, places, tmp_path):
    with pytest.raises(InputError, match="give a folder of them as --ood"):
        _train(demo_set, short, "w_ood", tmp_path / "x", weights=places / "irn")
    with pytest.raises(InputError, match="has 5 photos, fewer than the 50 groups"):
        _run(demo_set, short, places, tmp_path / "x", clusters=50)
    with pytest.raises(InputError, match="w_ood goes on from a classifier"):
        _train(demo_set, short, "w_ood", tmp_path / "x", options={"ood": str(places / "ood")})
