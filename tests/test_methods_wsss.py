"""The methods of weakly supervised segmentation agree with slow forms of themselves, and each needs what it says."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from torchbas.cli.train import parse
from torchbas.config import Architecture, Objective
from torchbas.data import Batch, image_size
from torchbas.errors import InputError
from torchbas.export.voc import write_labels
from torchbas.methods import METHODS
from torchbas.methods.advcam import AdvCAM
from torchbas.methods.cam import CAM
from torchbas.methods.cda import CDA, Cutout, Pasting, paste, paste_layer, read_bank
from torchbas.methods.irn import IRN
from torchbas.methods.recam import ReCAM, class_features, reactivation
from torchbas.methods.trained import TrainedModel
from torchbas.model.classifier import pool
from torchbas.model.extractor import Extractor
from torchbas.structures import Dataset, Sample
from torchbas.training.recipe import train_recipe

COLORS = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
CLASSES = 4


def make(method, *, head="linear", **options):
    """16 px in, 16x16 features of 8 channels, 8x8 deep features of 12; named as in a ResNet."""
    torch.manual_seed(0)
    f1, f2 = nn.Sequential(), nn.Sequential(nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU())
    for name, layer in (("conv1", nn.Conv2d(3, 8, 3, padding=1)), ("bn1", nn.BatchNorm2d(8)), ("act1", nn.ReLU())):
        f1.add_module(name, layer)
    f1.add_module("layer1", nn.Conv2d(8, 8, 3, padding=1))
    architecture = Architecture(head=head, hidden=16)
    return method(Extractor(f1, f2, 8, 12), CLASSES, architecture, COLORS, method.read_options(options))


@pytest.fixture
def batch():
    torch.manual_seed(1)
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    labels = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 0]]).float()
    return Batch(images, torch.tensor([0, 1, 2, 2]), labels, torch.arange(4), torch.full((4, 2), 16))


@pytest.fixture
def images(batch):
    return make(CAM).batch_images(batch)


def test_seed_maps_are_the_positive_part_of_the_class_maps_of_the_tags(batch, images):
    model = make(CAM).eval()
    maps, class_maps = model.seed_maps(images, batch.labels), model.class_maps(model.features(images))
    for b in range(4):
        for k in range(CLASSES):
            assert torch.equal(maps[b, k], class_maps[b, k].clamp(min=0) * batch.labels[b, k])


def test_irn_trains_each_class_as_binary_and_keeps_first_layers_and_running_statistics(batch, images):
    model = make(IRN).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss = model.losses(batch, 0)["classify"]
    p = model.logits(images).sigmoid()
    expected = -(batch.labels * p.log() + (1 - batch.labels) * (1 - p).log()).mean(dim=1).mean()
    assert torch.isclose(loss, expected)
    loss.backward()
    learns = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    every = {name for name, _ in model.named_parameters()}
    assert every - learns == {"f1.conv1.weight", "f1.conv1.bias", "f1.bn1.weight", "f1.bn1.bias"}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not make(IRN, frozen_layers=["layer1"]).f1.layer1.weight.requires_grad


def test_class_features_are_those_of_the_full_product():
    torch.manual_seed(0)
    features, maps = torch.rand(2, 5, 4, 6, requires_grad=True), torch.randn(2, 3, 4, 6, requires_grad=True)
    found = class_features(features, maps)
    relu = maps.relu()
    scaled = relu / (F.adaptive_max_pool2d(relu, 1) + 1e-5)
    slow = (scaled[:, :, None] * features[:, None]).mean(dim=(3, 4))
    assert torch.allclose(found, slow, atol=1e-6)
    ours, theirs = (torch.autograd.grad(x.square().sum(), (features, maps), retain_graph=True) for x in (found, slow))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


def test_reactivation_is_a_softmax_per_present_class_then_a_mean_over_photos(batch):
    torch.manual_seed(0)
    logits = torch.randn(4, CLASSES, CLASSES)
    total = 0.0
    for b in range(4):
        present = batch.labels[b].nonzero()[:, 0]
        total += F.cross_entropy(logits[b, present], present).item()
    assert reactivation(logits, batch.labels).item() == pytest.approx(total / 4, abs=1e-6)
    assert reactivation(logits, torch.zeros(4, CLASSES)).item() == 0


@pytest.mark.parametrize("head", ["linear", "conv"])
def test_recam_s_maps_are_those_of_the_product_of_both_classifiers_weights(batch, images, head):
    model = make(ReCAM, head=head).eval()
    reads = nn.Sequential(model.f1, model.f2, *list(model.head)[:-1])(images)
    weights = model.head[-1].weight[:, :, 0, 0] * model.second_head.weight
    expected = torch.einsum("kc,bchw->bkhw", weights, reads)
    assert torch.allclose(model.seed_maps(images, torch.ones(4, CLASSES)), expected.relu(), atol=1e-6)
    localized = model.localize(images, batch.target)
    assert torch.allclose(localized.heatmaps, expected[torch.arange(4), batch.target], atol=1e-6)
    assert torch.allclose(localized.logits, model.logits(images), atol=1e-6)


def _plain_climb(model, image, label, iterations, stride=0.08, penalty=7.0, high=0.5):
    """AdvCAM as its paper says it, one photo and class, Grad-CAM by a backward pass of its own."""
    low, top = image.min(), image.max()
    image, total, first = image[None].clone(), 0, None
    for _ in range(iterations):
        image.requires_grad_()
        deep = model.deep_features(model.features(image))
        scores = model.head(deep).relu().mean(dim=(2, 3))[0]
        (gradient,) = torch.autograd.grad(scores[label], deep, retain_graph=True)
        maps = (gradient.mean(dim=(2, 3), keepdim=True) * deep).sum(dim=1).relu()[0]
        first = maps.detach() if first is None else first
        total = total + maps.detach()
        changed = ((maps - first).abs() * (maps / maps.max() > high)).sum()
        rise = scores[label] - (scores.sum() - scores[label]) - penalty * changed
        (gradient,) = torch.autograd.grad(rise, image)
        image = (image.detach() + stride * gradient / gradient.abs().max()).clamp(low, top)
    return total * maps.numel() / iterations


def test_advcam_climbs_all_classes_at_once_where_the_plain_loop_climbs_alone(batch, images):
    model = make(AdvCAM, iterations=6, at_once=3).eval()
    with torch.inference_mode():
        maps = model.seed_maps(images.clone(), batch.labels)
    for b in range(4):
        for k in range(CLASSES):
            slow = _plain_climb(model, images[b], k, 6) if batch.labels[b, k] else torch.zeros(8, 8)
            assert torch.allclose(maps[b, k], slow, atol=1e-5), (b, k)
    assert not maps.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_advcam_of_one_iteration_is_grad_cam(batch, images):
    one = make(AdvCAM, iterations=1).eval()
    class_maps = one.class_maps(one.features(images))
    share = (class_maps > 0).float().mean(dim=(2, 3), keepdim=True)
    expected = class_maps.relu() * share * batch.labels[:, :, None, None]
    assert torch.allclose(one.seed_maps(images, batch.labels), expected, atol=1e-6)


@pytest.fixture
def world(tmp_path):
    """A blue photo with a red box of class 1 in it, a photo of two classes, and their masks."""
    picture, mask = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint8)
    picture[..., 2], picture[4:14, 6:26], mask[4:14, 6:26] = 255, (255, 0, 0), 2
    mask[4, 6:10] = 255
    Image.fromarray(picture).save(tmp_path / "one.png")
    Image.fromarray(picture).save(tmp_path / "two.png")
    for name in ("one", "two"):
        write_labels(tmp_path / "masks" / f"{name}.png", mask)
    samples = (Sample(tmp_path / "one.png", "one.png", (1,)), Sample(tmp_path / "two.png", "two.png", (1, 2)))
    return Dataset(tmp_path, ("a", "b", "c", "d"), samples), tmp_path / "masks"


def test_the_bank_has_the_objects_of_photos_with_one_tag_and_a_mask_of_fair_size(world, tmp_path):
    samples, masks = world
    bank = read_bank(samples, masks)
    assert bank == {1: [Cutout(tmp_path / "one.png", masks / "one.png", 1, (6, 4, 26, 14))]}
    for share, kept in ((0.09, False), (0.11, True), (0.69, True), (0.71, False)):
        labels = np.zeros((100, 100), np.uint8)
        labels[: round(share * 100)] = 2
        write_labels(masks / "one.png", labels)
        if kept:
            assert len(read_bank(samples, masks)[1]) == 1
        else:
            with pytest.raises(InputError, match="has no mask"):
                read_bank(samples, masks)


def test_a_pasted_object_is_made_smaller_kept_whole_and_has_its_own_pixels_only(world):
    samples, masks = world
    (cutout,) = read_bank(samples, masks)[1]
    upright = paste_layer(Pasting(cutout, 0.0, 1.0, 0.0), 40, 50)
    rows, columns = upright[3].nonzero(as_tuple=True)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (30, 49, 0, 9)
    assert upright[3].sum() == 200 - 4  # ignored pixels of the mask stay behind
    shrunk = paste_layer(Pasting(cutout, 0.0, 0.5, 0.5), 20, 20)  # 20 pixels wide, 14 allowed
    assert abs(shrunk[3].sum().item() - 196 * 0.7**2) < 15
    for degrees in (-90.0, -35.0, 60.0, 90.0):
        for place in (0.0, 1.0):
            layer = paste_layer(Pasting(cutout, degrees, place, place), 64, 64)
            assert abs(layer[3].sum().item() - 196) < 12
            inside = cv2.erode(layer[3].numpy(), np.ones((3, 3)), borderValue=1) > 0
            assert (layer[0].numpy()[inside] > 250).all()
            assert (layer[2].numpy()[inside] < 5).all()
    tall = paste_layer(Pasting(cutout, 90.0, 0.0, 0.0), 64, 64)[3].nonzero()
    assert tall[:, 0].max() > 17 > 11 > tall[:, 1].max()


def test_every_second_photo_gets_an_object_of_a_class_it_lacks(world, batch):
    samples, masks = world
    bank = read_bank(samples, masks)
    batch = batch._replace(images=torch.full_like(batch.images, 7))
    pasted = paste(batch, bank)
    assert torch.equal(pasted.images[0::2], batch.images[0::2])
    assert torch.equal(pasted.images[1], batch.images[1])  # has the class already
    assert torch.equal(pasted.images[3], batch.images[3])
    batch = batch._replace(labels=batch.labels.roll(1, dims=0))
    pasted = paste(batch, bank)
    changed = (pasted.labels != batch.labels).nonzero().tolist()
    assert changed == [[place, 1] for place in (1, 3) if not batch.labels[place, 1]] != []
    for place, _ in changed:
        foreign = (pasted.images[place] != 7).any(dim=0)
        assert 5 < foreign.sum() < 200
        assert (pasted.images[place][0][foreign] > 100).float().mean() > 0.8  # red as the object is
    assert (batch.images == 7).all()


def test_masks_of_other_sizes_are_refused(world):
    samples, masks = world
    (cutout,) = read_bank(samples, masks)[1]
    write_labels(cutout.mask, np.full((5, 5), 2, np.uint8))
    with pytest.raises(InputError, match=r"one.png is not as large as .*one.png"):
        paste_layer(Pasting(cutout, 0.0, 0.0, 0.0), 40, 50)


def _train(dataset, recipe, method, out, weights=False, resume=False, **options):
    chosen = replace(recipe, method=method, options=Objective() if method == "bas" else options)
    return train_recipe(dataset, chosen, out, weights=weights, device="cpu", resume=resume)


@pytest.fixture(scope="module")
def short(recipe):
    training = replace(recipe.training, f1="train", steps=2, batch_size=8, lr=0.01)
    return replace(recipe, architecture=replace(recipe.architecture, head="linear"), training=training)


@pytest.fixture(scope="module")
def classifier(demo_set, short, tmp_path_factory):
    out = tmp_path_factory.mktemp("irn")
    return _train(demo_set, short, "irn", out, weights=False), out


def test_a_run_is_started_from_by_any_method_and_by_bas(demo_set, short, classifier, tmp_path):
    trained, run = classifier
    still = replace(short, training=replace(short.training, lr=1e-30, new_layers=1.0, weight_decay=0.0))
    recam = _train(demo_set, still, "recam", tmp_path / "recam", weights=run)
    bas = _train(demo_set, still, "bas", tmp_path / "bas", weights=run)
    again = _train(demo_set, still, "cam", tmp_path / "cam", weights=tmp_path / "bas")
    for model in (recam.model, bas.model, again.model):
        state = model.state_dict()
        named = {name: tensor for name, tensor in trained.model.state_dict().items() if name.endswith("weight")}
        assert all(torch.allclose(state[name], tensor) for name, tensor in named.items())
    assert TrainedModel.load(tmp_path / "recam").model.second_head.weight.shape == (6, recam.model.filters.shape[1])


def test_the_run_that_was_started_from_is_remembered_not_its_place(demo_set, short, classifier, tmp_path):
    trained, run = classifier
    trained.save(tmp_path / "moved")
    first = _train(demo_set, short, "recam", tmp_path / "recam", weights=run)
    again = _train(demo_set, short, "recam", tmp_path / "recam", weights=tmp_path / "moved", resume=True)
    assert again.fingerprint == first.fingerprint
    replace(trained, fingerprint="another").save(tmp_path / "moved")
    with pytest.raises(InputError, match="other settings"):
        _train(demo_set, short, "recam", tmp_path / "recam", weights=tmp_path / "moved", resume=True)


def test_colors_come_from_the_run(demo_set, short, classifier, tmp_path):
    trained, _ = classifier
    trained.save(tmp_path / "odd")
    card = json.loads((tmp_path / "odd" / "model.json").read_text())
    (tmp_path / "odd" / "model.json").write_text(json.dumps(card | {"mean": [0.1, 0.2, 0.3]}))
    other = _train(demo_set, short, "cam", tmp_path / "cam", weights=tmp_path / "odd")
    assert other.model.normalization[0] == (0.1, 0.2, 0.3)


def test_a_run_that_does_not_fit_is_refused(demo_set, short, classifier, tmp_path):
    _, run = classifier
    with pytest.raises(InputError, match=r"has no model\.json"):
        _train(demo_set, short, "cam", tmp_path / "x", weights=tmp_path)
    deeper = replace(short, architecture=replace(short.architecture, backbone="resnet18"))
    with pytest.raises(InputError, match=r"cannot be started from: its f1.* does not fit"):
        _train(demo_set, deeper, "cam", tmp_path / "x", weights=run)
    names = tuple(name.upper() for name in demo_set.classes)
    foreign = replace(demo_set, classes=names)
    _train(foreign, short, "cam", tmp_path / "y", weights=run)  # only the head is new
    with pytest.raises(InputError, match="recam goes on from a classifier of the same tags"):
        _train(foreign, short, "recam", tmp_path / "x", weights=run)


def test_recam_s_new_classifier_alone_learns_faster():
    assert ReCAM.new_layers == ("second_head",)


def test_cda_needs_a_bank_in_training_only(demo_set, short, tmp_path):
    with pytest.raises(InputError, match=r"cda pastes objects .* --bank"):
        _train(demo_set, short, "cda", tmp_path / "x", weights=False)
    for sample in demo_set.samples:
        labels = np.zeros(image_size(sample.path), np.uint8)
        labels[:24, :24] = sample.labels[0] + 1
        write_labels((tmp_path / "masks" / sample.name).with_suffix(".png"), labels)
    trained = _train(demo_set, short, "cda", tmp_path / "cda", weights=False, bank=str(tmp_path / "masks"))
    assert trained.model.bank.keys() == set(range(6))
    assert isinstance(TrainedModel.load(tmp_path / "cda").model, CDA)


def test_advcam_reads_a_model_of_irn(demo_set, short, classifier, tmp_path):
    trained, run = classifier
    untrained = replace(short, training=replace(short.training, steps=0))
    advcam = _train(demo_set, untrained, "advcam", tmp_path, weights=run, iterations=2)
    assert isinstance(advcam.model, AdvCAM)
    state = advcam.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in trained.model.state_dict().items())
    maps = advcam.model.eval().localize(torch.randn(2, 3, 48, 48), torch.tensor([0, 3])).heatmaps
    assert maps.min() >= 0
    assert pool(maps[:, None]).max() > 0


def test_the_command_gives_each_method_what_is_its_own_and_refuses_the_rest(capsys):
    def options(*words):
        return parse(["photos", "--out", "run", *words]).settings.options

    assert options("--method", "cda", "--bank", "masks") == CDA.Options(bank="masks")
    bas = options("--clip-model", "clip", "--prompts", "w.json")
    assert (bas.clip_model, bas.prompts) == ("clip", "w.json")
    assert options("--method", "recam", "--weights", "run") == ReCAM.Options()
    for words, message in (
        (("--method", "cda", "--ood", "photos"), "Unrecognized options: --ood"),
        (("--method", "clims", "--prompts", "w.json"), "give it as clip_model"),
        (("--method", "has", "--probability", "1.5"), "probability must be between 0 and 1"),
    ):
        with pytest.raises(SystemExit):
            options(*words)
        assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_the_command_knows_every_method():
    for method in METHODS:
        assert parse(["photos", "--out", "run", "--method", method]).method == method
