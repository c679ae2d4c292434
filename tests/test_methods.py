"""Each method does to its images, features or labels what its paper says, and nothing else."""

from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchbas.cam import class_activation
from torchbas.config import Architecture
from torchbas.data import Batch
from torchbas.errors import InputError
from torchbas.methods import METHODS, load
from torchbas.methods.acol import ACoL, erase
from torchbas.methods.adl import ADL, attend_or_drop
from torchbas.methods.cam import CAM
from torchbas.methods.cutmix import CutMix, draw_box, paste
from torchbas.methods.gradcam import GradCAM, LayerCAM
from torchbas.methods.has import HaS, mask_patches
from torchbas.methods.spg import SPG, agreement
from torchbas.model.bas import BAS
from torchbas.model.classifier import pool
from torchbas.model.extractor import Extractor

COLORS = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
CLASSES = 4
ON_ANY = [name for name in METHODS if name != "sat"]
"""Methods for any network; sat is for transformers alone."""
ALONE = [name for name in ON_ANY if name not in ("clims", "w_ood")]
"""Methods that train on a batch and nothing else."""


def make(method, *, head: Literal["conv", "linear"] = "conv", **options):
    """16 px in, 16x16 features of 8 channels, 8x8 deep features of 12, BatchNorm inside."""
    torch.manual_seed(0)
    f1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    f2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU())
    architecture = Architecture(head=head, hidden=16)
    return method(Extractor(f1, f2, 8, 12), CLASSES, architecture, COLORS, method.read_options(options))


@pytest.fixture
def batch():
    torch.manual_seed(1)
    images = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8)
    target = torch.tensor([0, 1, 2, 3, 1, 1])
    index, size = torch.arange(6), torch.full((6, 2), 16)
    return Batch(images, target, F.one_hot(target, CLASSES).float(), index, size)


@pytest.fixture
def images(batch):
    return make(CAM).batch_images(batch)


def cross_entropy(logits, batch):
    return F.cross_entropy(logits, batch.target)


@pytest.mark.parametrize("name", ALONE)
def test_every_method_trains_all_its_weights_and_localizes_in_every_image(batch, images, name):
    model = make(load(name)).train()
    torch.stack(list(model.losses(batch, 0).values())).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    localized = model.eval().localize(images, batch.target)
    assert localized.logits.shape == (6, CLASSES)
    assert len(localized.heatmaps) == 6
    assert localized.heatmaps.isfinite().all()
    assert torch.allclose(localized.logits, model.logits(images), atol=1e-5)


@pytest.mark.parametrize("name", ON_ANY)
def test_a_batch_is_localized_as_each_of_its_images_alone(batch, images, name):
    model = make(load(name)).eval()
    together = model.localize(images, batch.target).heatmaps
    pairs = zip(images, batch.target, strict=True)
    alone = [model.localize(image[None], target[None]).heatmaps for image, target in pairs]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_the_registry_s_name_is_the_method_s_own(name):
    assert load(name).name == name


def test_localizing_leaves_no_gradient_and_needs_none(batch, images):
    for method in (GradCAM, LayerCAM):
        model = make(method).eval().requires_grad_(False)
        assert not model.localize(images, batch.target).heatmaps.requires_grad
        assert images.grad is None


def test_the_network_is_that_of_bas_to_the_last_random_number():
    architecture = Architecture(backbone="test_resnet", hidden=16)
    torch.manual_seed(3)
    ours = BAS.from_architecture(architecture, CLASSES).state_dict()
    for name in ON_ANY:
        torch.manual_seed(3)
        theirs = load(name).build(architecture, CLASSES, False, COLORS).state_dict()
        shared = [key for key in ours if not key.startswith("generator")]
        assert all(torch.equal(ours[key], theirs[key]) for key in shared), name


def test_an_unknown_method_gets_a_suggestion():
    with pytest.raises(InputError, match='no method "grad-cam": did you mean gradcam'):
        load("grad-cam")


def test_cam_is_the_class_map_whose_mean_is_the_score(batch, images):
    model = make(CAM).eval()
    localized = model.localize(images, batch.target)
    scores = localized.logits.gather(1, batch.target[:, None])[:, 0]
    assert torch.allclose(localized.heatmaps.mean(dim=(1, 2)), scores, atol=1e-6)


def test_cam_learns_from_cross_entropy_alone(batch, images):
    model = make(CAM).eval()
    assert torch.isclose(model.losses(batch, 0)["classify"], cross_entropy(model.logits(images), batch))


@pytest.mark.parametrize("layer", ["f2", "f1"])
def test_layer_cam_weighs_every_place_by_its_own_positive_gradient(batch, images, layer):
    model = make(LayerCAM, layer=layer).eval()
    maps = model.localize(images, batch.target).heatmaps
    features = model.features(images[:1]).detach()
    weighed = (model.deep_features(features).detach() if layer == "f2" else features).requires_grad_()
    rest = model.head if layer == "f2" else nn.Sequential(model.f2, model.head)
    (gradient,) = torch.autograd.grad(pool(rest(weighed))[0, batch.target[0]], weighed)
    expected = np.zeros(weighed.shape[2:])
    for channel in range(weighed.shape[1]):
        for y in range(weighed.shape[2]):
            for x in range(weighed.shape[3]):
                expected[y, x] += max(0.0, gradient[0, channel, y, x].item()) * weighed[0, channel, y, x].item()
    assert np.allclose(maps[0], np.maximum(expected, 0), atol=1e-6)


def test_grad_cam_before_gap_and_a_linear_head_is_cam_s_positive_part(batch, images):
    """There a channel's gradient is its weight over the number of places."""
    cam = make(CAM, head="linear").eval().localize(images, batch.target)
    grad = make(GradCAM, head="linear").eval().localize(images, batch.target)
    assert torch.allclose(grad.heatmaps * 64, cam.heatmaps.relu(), atol=1e-5)
    assert torch.allclose(grad.logits, cam.logits, atol=1e-6)


def test_grad_cam_of_the_features_has_their_resolution(batch, images):
    maps = make(GradCAM, layer="f1").eval().localize(images, batch.target).heatmaps
    assert maps.shape == (6, 16, 16)
    assert (maps >= 0).all()


def test_has_masks_about_its_share_of_the_patches_and_leaves_the_others_as_they_were():
    torch.manual_seed(0)
    images = torch.rand(64, 3, 20, 24) + 1
    masked = mask_patches(images, grid=4, probability=0.3)
    patches = masked.unflatten(3, (4, 6)).unflatten(2, (4, 5)).movedim(4, 3)  # B 3 rows columns 5 6
    gone = (patches == 0).flatten(4).all(dim=4).all(dim=1)
    assert (masked == 0).float().mean() == gone.float().mean()
    assert torch.equal(masked[masked != 0], images[masked != 0])
    assert gone.float().mean().item() == pytest.approx(0.3, abs=0.05)  # 1024 patches: three standard deviations
    assert len({tuple(image.flatten().tolist()) for image in gone}) > 60


def test_has_masks_in_training_only(batch, images):
    model = make(HaS, grid=2, probability=1.0)
    assert not model.batch_images(batch).any()
    plain = make(CAM).eval().localize(images, batch.target)
    assert torch.equal(model.eval().localize(images, batch.target).heatmaps, plain.heatmaps)


def test_acol_erases_what_reaches_the_threshold():
    features = torch.rand(2, 5, 4, 4) + 0.1
    attention = torch.rand(2, 4, 4)
    attention[0, 0, 0] = 0.6
    erased = erase(features, attention, 0.6)
    high = (attention >= 0.6)[:, None].expand_as(features)
    assert high[0, 0, 0, 0]
    assert not erased[high].any()
    assert torch.equal(erased[~high], features[~high])


def test_acol_s_second_head_sees_zeros_where_the_first_is_high_and_teaches_it_nothing(batch, images):
    model = make(ACoL, erase_threshold=0.5).eval()
    read = []
    model.second_head.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    first, second = model.both_class_maps(model.features(images), batch.target)
    cam = class_activation(first, batch.target)
    low, high = cam.amin(dim=(1, 2), keepdim=True), cam.amax(dim=(1, 2), keepdim=True)
    top = (cam - low) / (high - low) >= 0.5 + 1e-3
    assert top.any()
    assert not read[0].movedim(1, 3)[top].any()
    second.sum().backward()
    assert all(parameter.grad is None for parameter in model.head.parameters())
    assert all(parameter.grad is not None for parameter in model.f1.parameters())


def test_acol_s_map_is_the_larger_of_both_heads_normalized_maps(batch, images):
    model = make(ACoL).eval()
    localized = model.localize(images, batch.target)
    pair = [
        class_activation(maps, batch.target) for maps in model.both_class_maps(model.features(images), batch.target)
    ]
    scaled = [(m - m.amin((1, 2), True)) / (m.amax((1, 2), True) - m.amin((1, 2), True)) for m in pair]
    assert torch.allclose(
        localized.heatmaps, torch.maximum(*scaled), atol=1e-3
    )  # the authors' 1e-5 against a tiny range
    assert torch.allclose(localized.logits, pool(model.both_class_maps(model.features(images), batch.target)[0]))


def test_adl_drops_exactly_the_most_discriminative_places():
    torch.manual_seed(0)
    features = torch.rand(3, 7, 5, 5)
    out = attend_or_drop(features, rate=1.0, gamma=0.8)
    for before, after in zip(features, out, strict=True):
        mean = before.mean(dim=0)
        top = mean >= 0.8 * mean.max()
        assert 0 < top.sum() < 25
        assert not after[:, top].any()
        assert torch.equal(after[:, ~top], before[:, ~top])


def test_adl_else_weighs_by_the_sigmoid_of_the_mean():
    features = torch.rand(2, 3, 4, 4)
    expected = features / (1 + torch.exp(-features.mean(dim=1, keepdim=True)))
    assert torch.allclose(attend_or_drop(features, rate=0.0, gamma=0.8), expected)


def test_adl_drops_as_often_as_its_rate_says():
    torch.manual_seed(0)
    features = torch.rand(1, 3, 4, 4) + 0.1
    drops = sum((attend_or_drop(features, rate=0.75, gamma=0.9) == 0).any().item() for _ in range(400))
    assert drops / 400 == pytest.approx(0.75, abs=0.07)


def test_adl_acts_behind_f1_and_f2_and_in_training_only(batch, images):
    model, plain = make(ADL, rate=1.0, gamma=0.0), make(CAM)
    assert torch.equal(
        model.eval().localize(images, batch.target).heatmaps, plain.eval().localize(images, batch.target).heatmaps
    )
    model.train()
    assert not model.features(images).any()
    assert not model.deep_features(images.new_ones(2, 8, 16, 16)).any()


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_labels_weigh_as_much_as_the_pixels_of_each_photo(seed):
    torch.manual_seed(seed)
    images = torch.arange(1.0, 6.0)[:, None, None, None].expand(5, 3, 14, 18)  # each photo has its own color
    pasted, partner, share = paste(images, *draw_box(14, 18, beta=1.0, probability=1.0))
    foreign = pasted != images
    changed = partner != torch.arange(5)
    assert torch.allclose(foreign[changed].float().mean(dim=(1, 2, 3)), torch.tensor(share))
    assert torch.equal(pasted[foreign], images[partner][foreign])


def test_cutmix_boxes_fill_any_share_and_touch_any_place():
    torch.manual_seed(0)
    boxes = [draw_box(16, 16, beta=1.0, probability=1.0) for _ in range(500)]
    covered = np.zeros((16, 16))
    for rows, columns in boxes:
        covered[rows, columns] += 1
    shares = [(rows.stop - rows.start) * (columns.stop - columns.start) / 256 for rows, columns in boxes]
    assert covered.min() > 0
    assert min(shares) < 0.05
    assert max(shares) > 0.7  # the largest are cut off at the border


def test_cutmix_mixes_the_losses_by_the_share(batch, images, monkeypatch):
    model = make(CutMix).eval()
    box = slice(0, 4), slice(4, 12)
    monkeypatch.setattr("torchbas.methods.cutmix.draw_box", lambda *_: box)
    torch.manual_seed(5)
    loss = model.losses(batch, 0)["classify"]
    torch.manual_seed(5)
    pasted, partner, share = paste(images, *box)
    logits = model.logits(pasted)
    assert share == 32 / 256
    mixed = (1 - share) * F.one_hot(batch.target, CLASSES) + share * F.one_hot(batch.target[partner], CLASSES)
    assert torch.isclose(loss, F.cross_entropy(logits, mixed))


def test_cutmix_leaves_a_batch_alone_with_probability_zero(batch, images):
    model = make(CutMix, probability=0.0).eval()
    assert torch.isclose(model.losses(batch, 0)["classify"], cross_entropy(model.logits(images), batch))


def test_spg_learns_from_confident_places_alone():
    teacher = torch.tensor([[[0.9, 0.71, 0.7], [0.3, 0.1, 0.099]]])
    logits = torch.tensor([[[2.0, -1.0, 5.0], [5.0, 5.0, 0.5]]], requires_grad=True)
    loss = agreement(logits, teacher, (0.7, 0.1))
    expected = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(1.0)) + np.log1p(np.exp(0.5))) / 3
    assert loss.item() == pytest.approx(expected)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.equal(gradient != 0, torch.tensor([[[True, True, False], [False, False, True]]]))


def test_spg_takes_seven_tenths_of_the_maximum_where_nothing_reaches_the_threshold():
    teacher = torch.tensor([[[0.4, 0.29, 0.27]], [[0.6, 0.5, 0.4]]])
    logits = torch.zeros(2, 1, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(agreement(logits, teacher, (0.5, 0.0)), logits)
    assert torch.equal(gradient < 0, torch.tensor([[[True, True, False]], [[True, False, False]]]))


def test_spg_s_masks_teach_without_learning(batch):
    """What supervises a branch gets no gradient from it: B2's loss leaves the head alone, C's leaves B1 and B2."""
    model = make(SPG, width=8).train()
    untouched = {"b2": model.head, "b1": model.branches["second"], "c": model.branches["shared"]}
    for loss, teacher in untouched.items():
        model.zero_grad()
        model.losses(batch, 0)[loss].backward()
        assert all(parameter.grad is None for parameter in teacher.parameters()), loss


def test_spg_s_map_is_cam(batch, images):
    model, plain = make(SPG).eval(), make(CAM).eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    assert torch.equal(model.localize(images, batch.target).heatmaps, plain.localize(images, batch.target).heatmaps)
