"""IRNet on a random backbone: what learns, what stays, its maps, stopping and resuming."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from torchbas.config import Training
from torchbas.data.pairs import PairBatch
from torchbas.errors import InputError, Interrupted
from torchbas.export.voc import write_labels
from torchbas.training.loop import Hooks
from torchbas.wsss.irn.network import IRNet, boundaries_of
from torchbas.wsss.irn.train import load_irnet, train_irnet

TINY = "test_resnet"
COLORS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TRAINING = Training(
    steps=6,
    batch_size=4,
    lr=0.02,
    momentum=0.0,
    nesterov=False,
    schedule="poly",
    crop=48,
    precision="32-true",
    save_every=100,
)


def _net(seed=0):
    torch.manual_seed(seed)
    net = IRNet(TINY, False, COLORS).eval()
    torch.nn.init.normal_(net.mean_displacement)
    return net


def _images(height, width, batch=2):
    return torch.randint(0, 256, (batch, 3, height, width), generator=torch.Generator().manual_seed(1)).byte()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Squares on noise, and where they are."""
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for k, (height, width) in enumerate([(48, 64), (64, 48), (48, 64), (50, 61), (48, 64), (64, 48)]):
        image, labels = rng.integers(0, 90, (height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
        labels[10:34, 8 : 32 + k], labels[:3] = 1 + k % 2, 255
        image[labels == 1 + k % 2] += 130
        Image.fromarray(image).save(folder / f"{k}.png")
        write_labels(folder / f"{k}_labels.png", labels)
    return [(folder / f"{k}.png", folder / f"{k}_labels.png") for k in range(6)]


def _train(pairs, out, training=TRAINING, **more):
    return train_irnet(pairs, training, out, backbone=TINY, weights=False, device="cpu", **more)


@pytest.fixture(scope="module")
def finished(pairs, tmp_path_factory):
    out = tmp_path_factory.mktemp("irn")
    return _train(pairs, out), out


def _same(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_a_stage_is_read_at_each_of_irn_s_strides():
    stages = IRNet("resnet50_wsss", False, COLORS)._features(torch.zeros(1, 3, 64, 64))
    assert [(x.shape[1], 64 // x.shape[2]) for x in stages] == [(64, 4), (256, 4), (512, 8), (1024, 16), (2048, 16)]


def test_a_network_without_a_resnet_s_stages_is_refused():
    with pytest.raises(InputError, match="mobilenetv1 is none"):
        IRNet("mobilenetv1", False, COLORS)


@pytest.mark.parametrize(("size", "grid"), [((64, 48), (16, 12)), ((37, 50), (10, 13)), ((1, 1), (1, 1))])
def test_images_may_have_any_size(size, grid):
    maps = _net().boundary_maps(_images(*size))
    assert maps.edge.shape == (2, *grid)
    assert maps.displacement.shape == (2, 2, *grid)
    assert 0 <= maps.edge.min() <= maps.edge.max() <= 1


def test_the_mirror_image_has_the_mirrored_maps():
    net, images = _net(), _images(48, 64)
    maps, mirrored = net.boundary_maps(images), net.boundary_maps(images.flip(3))
    sideways = torch.tensor([1, -1])[:, None, None]
    assert torch.allclose(mirrored.edge.flip(2), maps.edge, atol=1e-5)
    assert torch.allclose(mirrored.displacement.flip(3) * sideways, maps.displacement, atol=1e-5)


def test_the_mean_displacement_is_taken_off():
    net, images = _net(), _images(32, 48)
    before = net.boundary_maps(images).displacement
    net.mean_displacement += torch.tensor([3.0, 5.0])
    after = net.boundary_maps(images).displacement
    assert torch.allclose(before[:, 0] - after[:, 0], torch.tensor(3.0), atol=1e-5)
    assert torch.allclose(before[:, 1], after[:, 1], atol=1e-5)  # the mirror image has the opposite mean


def test_only_the_branches_learn():
    net = _net().train()
    assert not any(module.training for module in net.backbone.modules())
    labels = torch.zeros(2, 70, 90, dtype=torch.uint8)
    labels[:, 20:50, 10:60], labels[:, 60:] = 1, 255
    losses = net.losses(PairBatch(_images(70, 90), labels, torch.arange(2)), 0)
    torch.stack(list(losses.values())).sum().backward()
    learned = {name.split(".")[0] for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert learned == {"edge", "displacement"}
    assert all(p.grad is not None for p in [*net.edge.parameters(), *net.displacement.parameters()])


def test_labels_are_read_in_the_middle_of_each_cell(monkeypatch):
    seen = []
    monkeypatch.setattr("torchbas.wsss.irn.network.pair_losses", lambda *given: seen.append(given) or {})
    labels = torch.arange(64, dtype=torch.uint8).repeat(2, 64, 1)
    _net().losses(PairBatch(_images(64, 64), labels, torch.arange(2)), 0)
    assert seen[0][2][0, 0].tolist() == list(range(2, 64, 4))


def test_it_learns_where_a_bright_square_ends():
    net, images, labels = _net().train(), _images(48, 48) // 3, torch.zeros(2, 48, 48, dtype=torch.uint8)
    images[0, :, 10:40, 6:30] += 150
    images[1, :, 20:44, 12:44] += 150
    labels[0, 10:40, 6:30], labels[1, 20:44, 12:44] = 1, 2
    batch, totals = PairBatch(images, labels, torch.arange(2)), []
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.2)
    for _ in range(12):
        loss = torch.stack(list(net.losses(batch, 0).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(loss.item())
    assert totals[-1] < 0.8 * totals[0]


def test_the_mean_over_the_photos_is_none_afterwards(finished, pairs):
    net = finished[0].model
    means = [displacement.mean(axis=(1, 2)) for _, displacement in boundaries_of(net, [sample for sample, _ in pairs])]
    assert np.mean(means, axis=0)[0] == pytest.approx(0, abs=1e-5)
    assert net.mean_displacement.abs().max() > 0


def test_what_is_saved_is_what_is_loaded(finished):
    trained, out = finished
    loaded = load_irnet(out)
    assert _same(trained.model, loaded.model)
    assert not loaded.model.training
    assert (loaded.fingerprint, loaded.classes) == (trained.fingerprint, ("boundary",))
    assert {path.name for path in out.iterdir() if not path.name.startswith("events.")} == {
        "model.json",
        "model.safetensors",
        "log.csv",
    }


def test_a_stopped_run_that_goes_on_ends_where_a_straight_one_does(finished, pairs, tmp_path):
    stop = Hooks(every={3: lambda _: signal.raise_signal(signal.SIGINT)})
    with pytest.raises(Interrupted):
        _train(pairs, tmp_path, hooks=lambda _: stop)
    assert _same(_train(pairs, tmp_path, resume=True).model, finished[0].model)


def test_a_finished_run_is_not_trained_again(finished, pairs, monkeypatch):
    monkeypatch.setattr("torchbas.training.train.fit", lambda *_, **__: pytest.fail("trained"))
    assert _same(_train(pairs, finished[1], resume=True).model, finished[0].model)
    for changed in ({"made_of": ("other seeds",)}, {"training": replace(TRAINING, lr=0.5)}):
        with pytest.raises(InputError, match="holds a model of other settings or data"):
            _train(pairs, finished[1], resume=True, **changed)


def test_the_displacement_branch_learns_at_its_own_rate(pairs, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("torchbas.training.train.fit", lambda *_, new, **__: seen.append(new))
    _train(pairs, tmp_path)
    assert seen == [("displacement",)]


def test_photos_come_in_order_whatever_shares_a_batch(pairs):
    net, samples = _net(), [sample for sample, _ in pairs]
    alone = [next(iter(boundaries_of(net, [sample]))) for sample in samples]
    together = list(boundaries_of(net, samples, batch_size=2, workers=2))
    assert len(together) == len(samples)
    for (edge, displacement), (edge_alone, displacement_alone) in zip(together, alone, strict=True):
        assert edge == pytest.approx(edge_alone, abs=1e-5)
        assert displacement == pytest.approx(displacement_alone, abs=1e-4)
    assert [edge.shape for edge, _ in together] == [(12, 16), (16, 12), (12, 16), (13, 16), (12, 16), (16, 12)]


def test_a_photo_that_cannot_be_read_is_named(pairs, tmp_path):
    (tmp_path / "torn.jpg").write_bytes(b"no photo")
    with pytest.raises(InputError, match=r"torn\.jpg"):
        list(boundaries_of(_net(), [pairs[0][0], tmp_path / "torn.jpg"]))


def test_a_folder_of_something_else_is_refused(finished, tmp_path):
    card = json.loads((finished[1] / "model.json").read_text())
    del card["mean"]
    (tmp_path / "model.json").write_text(json.dumps(card))
    (tmp_path / "model.safetensors").write_bytes((finished[1] / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"model\.json describes a network that this version does not know"):
        load_irnet(tmp_path)
