"""The arrows of Figure 2: what flows where, and what does not flow back."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchbas.config import Architecture, Objective
from torchbas.losses import objective
from torchbas.model.bas import BAS
from torchbas.model.classifier import pool
from torchbas.model.extractor import Extractor
from torchbas.model.reflect import reflect_edges

TARGET = torch.tensor([0, 3, 1, 4])
LABELS = F.one_hot(TARGET, 5).float()


def _images():
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def _tiny(**changes):
    torch.manual_seed(0)
    f1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    f2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
    return BAS(Extractor(f1, f2, 8, 16), 5, Architecture(hidden=16, **changes))


def _reached(model, term):
    """The parts of the model that ``term`` trains."""
    model.zero_grad()
    term.backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    return {name.split(".")[0] for name in trained}


def test_the_prediction_is_the_mean_class_map_and_every_class_s_foreground(tiny_bas):
    tiny_bas.eval()
    features = tiny_bas.f1(_images())
    prediction = tiny_bas(_images())
    torch.testing.assert_close(prediction.logits, tiny_bas.head(tiny_bas.f2(features)).mean((2, 3)))
    torch.testing.assert_close(prediction.maps, tiny_bas.generator.conv(features).sigmoid())


def test_the_evidence_agrees_with_the_prediction(tiny_bas):
    tiny_bas.eval()
    prediction, evidence = tiny_bas(_images()), tiny_bas.evidence(_images(), TARGET)
    rows = torch.arange(4)
    torch.testing.assert_close(evidence.logits, prediction.logits)
    torch.testing.assert_close(evidence.activation, prediction.logits[rows, TARGET])
    torch.testing.assert_close(evidence.foreground[:, 0], prediction.maps[rows, TARGET])


@pytest.mark.parametrize(
    ("detached", "guided"), [(False, {"f1", "generator", "f2", "head"}), (True, {"f1", "generator"})]
)
def test_each_loss_trains_what_it_should(detached, guided):
    model = _tiny(guidance_detached=detached).train()
    nn.init.constant_(model.head[-1].bias, 1.0)  # S > 0, else there is nothing to suppress
    trained = {}
    for name in ("classify", "guide", "suppress", "area"):
        terms = objective(model.evidence(_images(), TARGET), TARGET, LABELS, Objective())
        trained[name] = _reached(model, terms[name])
    assert trained == {
        "classify": {"f1", "f2", "head"},
        "guide": guided,
        "suppress": {"f1", "generator"},
        "area": {"f1", "generator"},
    }


def test_suppression_reaches_f1_through_the_generator_alone():
    model = _tiny().train()
    nn.init.constant_(model.head[-1].bias, 1.0)
    nn.init.zeros_(model.generator.conv.weight)  # no way back through the generator
    terms = objective(model.evidence(_images(), TARGET), TARGET, LABELS, Objective())
    assert _reached(model, terms["suppress"]) == {"generator"}


def test_detaching_guidance_changes_no_value():
    images = _images()
    plain, detached = _tiny().evidence(images, TARGET), _tiny(guidance_detached=True).evidence(images, TARGET)
    torch.testing.assert_close(plain, detached)


def test_without_suppression_nothing_is_masked(tiny_bas):
    features = tiny_bas.features(_images())
    once, twice = (tiny_bas.evidence_from(features, TARGET, suppression=look) for look in (False, True))
    torch.testing.assert_close(once.activation_background, once.activation)
    assert not once.activation_background.requires_grad
    for name in ("logits", "logits_foreground", "activation", "foreground"):
        torch.testing.assert_close(getattr(once, name), getattr(twice, name))
    assert not torch.allclose(twice.activation_background, twice.activation)


def test_hiding_in_the_image_looks_at_the_masked_image_with_all_of_the_network():
    model = _tiny(mask_at="image").train()
    images = _images()
    features = model.features(images)
    foreground = model.generator.of(features, TARGET[:, None])
    masked = images * (1 - F.interpolate(foreground, (16, 16), mode="bilinear"))
    expected = copy.deepcopy(model)(masked.detach()).logits
    before = copy.deepcopy(model.state_dict())
    hidden = model.background_logits(features, foreground, images)
    torch.testing.assert_close(hidden, expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.zero_grad()
    hidden[:, 0].sum().backward()
    assert all(parameter.grad is None for parameter in [*model.f2.parameters(), *model.head.parameters()])
    assert model.generator.conv.weight.grad.abs().sum() > 0


def test_hiding_in_the_image_asks_for_the_image():
    model = _tiny(mask_at="image")
    with pytest.raises(ValueError, match="needs the images"):
        model.evidence_from(model.features(_images()), TARGET)


def test_relu_before_pooling_never_lets_a_place_speak_against_a_class():
    plain, rectified = _tiny(), _tiny(relu_before_pooling=True)
    features = plain.eval().features(_images())
    maps = plain.class_maps(features)
    assert maps.min() < 0
    torch.testing.assert_close(rectified.eval().class_maps(features), maps.relu())
    assert (rectified(_images()).logits >= 0).all()


def test_a_frozen_f1_learns_nothing_and_keeps_its_statistics():
    model = _tiny()
    model.freeze_f1()
    before = copy.deepcopy(model.f1.state_dict())
    model.train()
    assert not model.f1.training
    assert model.f2.training
    terms = objective(model.evidence(_images(), TARGET), TARGET, LABELS, Objective())
    assert _reached(model, sum(terms.values())) == {"generator", "f2", "head"}
    assert all(torch.equal(value, before[name]) for name, value in model.f1.state_dict().items())
    nn.Sequential(model).eval().train()
    assert not model.f1.training, "also when a module around it is set to training"


def test_the_linear_head_is_one_convolution_without_bias():
    model = _tiny(head="linear")
    assert [tuple(p.shape) for p in model.head.parameters()] == [(5, 16, 1, 1)]
    assert [tuple(p.shape) for p in model.generator.parameters()] == [(5, 8, 3, 3)]


def test_pooling_is_done_in_fp32():
    ones = torch.full((1, 1, 64, 64), 1.0 + 2**-7, dtype=torch.bfloat16)
    assert pool(ones).dtype == torch.float32
    assert pool(ones).item() == 1.0 + 2**-7


def test_a_wrong_shape_is_refused(tiny_bas):
    with pytest.raises(Exception, match="Float"):
        tiny_bas.generator(torch.randn(8, 16, 16))


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["mobilenetv1", "vgg16", "resnet10t"])
def test_a_photo_of_one_color_has_no_frame_where_its_edges_are_reflected(backbone):
    torch.manual_seed(0)
    gray = torch.full((1, 3, 96, 96), 0.7)
    spread = {}
    for mode in ("zeros", "reflect"):
        model = BAS.from_architecture(Architecture(backbone, padding_mode=mode, hidden=8), 5).eval()
        features, maps = model.features(gray), model(gray).maps
        assert torch.allclose(maps[:, [2]], model.generator.of(features, torch.tensor([[2]])), atol=1e-6)
        every = (features, maps, model.class_maps(features))
        spread[mode] = [float((one.amax((2, 3)) - one.amin((2, 3))).max() / one.abs().max()) for one in every]
    assert min(spread["zeros"]) > 1e-3
    assert max(spread["reflect"]) < 1e-4


def test_what_is_smaller_than_its_padding_repeats_its_edge():
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 3, kernel_size=5, padding=2, stride=2)
    plain = copy.deepcopy(conv)
    reflect_edges(conv)
    assert conv.state_dict().keys() == plain.state_dict().keys()
    for size, mode in (((1, 7), "replicate"), ((2, 2), "replicate"), ((3, 4), "reflect")):
        x = torch.randn(1, 2, *size)
        expected = F.conv2d(F.pad(x, (2, 2, 2, 2), mode=mode), plain.weight, plain.bias, stride=2)
        torch.testing.assert_close(conv(x), expected)
