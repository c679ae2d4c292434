"""DeepLabV2 against torchvision's ResNet, slow sums and the reference's names."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet101
from torchvision.models.resnet import Bottleneck, ResNet

from torchbas.errors import InputError
from torchbas.wsss.segmenter.deeplab import ASPP, DeepLabV2, FrozenBatchNorm, MultiScale, pixel_losses
from torchbas.wsss.segmenter.pretrained import fill_trunk, read_trunk

LAYERS = (2, 1, 2, 1)
TINY = {"layers": LAYERS, "channels": (8, 16, 16, 16)}


def tiny(labels=3, **more):
    torch.manual_seed(0)
    return DeepLabV2(labels, **TINY, **more)


def with_running_statistics(network):
    """BatchNorms that do something: nothing is as it was initialized."""
    torch.manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.0)
            layer.bias.data.uniform_(-0.1, 0.1)
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.8, 1.2)
    return network.eval()


def msra_names(state, head="aspp."):
    """The same weights by the reference's names, written backwards from its description."""
    named = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[0] in ("conv1", "bn1"):
            named[f"layer1.conv1.{parts[0][:-1]}.{parts[1]}"] = tensor
        else:
            place = f"layer{int(parts[0][-1]) + 1}.block{int(parts[1]) + 1}"
            if parts[2] == "downsample":
                unit = f"shortcut.{['conv', 'bn'][int(parts[3])]}"
            else:
                unit = (
                    f"{dict(zip('123', ('reduce', 'conv3x3', 'increase'), strict=True))[parts[2][-1]]}.{parts[2][:-1]}"
                )
            named[f"{place}.{unit}.{parts[-1]}"] = tensor
    return {**named, f"{head}c0.weight": torch.zeros(3, 64, 3, 3), f"{head}c0.bias": torch.zeros(3)}


@pytest.mark.parametrize("style", ["caffe", "torchvision"])
@pytest.mark.parametrize(("side", "cells"), [(321, 41), (65, 9), (64, 8), (10, 2)])
def test_a_cell_is_eight_pixels(style, side, cells):
    expected = cells + (style == "caffe" and side == 64)  # its pool rounds up: 64 -> 32 -> 17 -> 9
    assert tiny(style=style).eval()(torch.rand(1, 3, side, side)).shape == (1, 3, expected, expected)


def test_resnet101_with_21_labels_has_the_backbone_s_weights_and_four_convolutions():
    with torch.device("meta"):
        backbone, ours = resnet101(), DeepLabV2(21)
    known = sum(weight.numel() for name, weight in backbone.named_parameters() if not name.startswith("fc."))
    assert sum(weight.numel() for weight in ours.parameters()) == known + 4 * (2048 * 21 * 9 + 21) == 44_048_532


def test_features_are_those_of_torchvision_with_the_same_strides_and_dilations():
    theirs, ours = with_running_statistics(ResNet(Bottleneck, LAYERS)), DeepLabV2(2, LAYERS, "torchvision").eval()
    for stage, rate in ((theirs.layer3, 2), (theirs.layer4, 4)):
        stage[0].conv2.stride = stage[0].downsample[0].stride = (1, 1)
        for block in stage:
            block.conv2.dilation = block.conv2.padding = (rate, rate)
    fill_trunk(ours.trunk, {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}, "file")
    features, image = {}, torch.rand(1, 3, 48, 40)
    theirs.layer4.register_forward_hook(lambda *args: features.update(found=args[2]))
    with torch.no_grad():
        theirs(image)
        torch.testing.assert_close(ours.trunk.forward_features(image), features["found"])


def test_caffe_s_strides_lie_in_the_first_convolution_and_its_pool_rounds_up():
    caffe, other = tiny(), tiny(style="torchvision")
    strides = {name: layer.stride for name, layer in caffe.named_modules() if isinstance(layer, nn.Conv2d)}
    two = [name for name, stride in strides.items() if stride == (2, 2)]
    assert two == ["trunk.conv1", "trunk.layer2.0.conv1", "trunk.layer2.0.downsample.0"]
    assert other.trunk.layer2[0].conv2.stride == (2, 2) != other.trunk.layer2[0].conv1.stride
    assert caffe.trunk.maxpool.ceil_mode
    assert not other.trunk.maxpool.ceil_mode


def test_the_pyramid_is_the_sum_of_its_taps():
    torch.manual_seed(0)
    pyramid, features = ASPP(2, 3, rates=(1, 2)), torch.rand(1, 2, 5, 6)
    slow = torch.zeros(3, 5, 6)
    for convolution, rate in zip(pyramid, (1, 2), strict=True):
        slow += convolution.bias[:, None, None]
        for y in range(5):
            for x in range(6):
                for i in range(3):
                    for j in range(3):
                        row, column = y + rate * (i - 1), x + rate * (j - 1)
                        if 0 <= row < 5 and 0 <= column < 6:
                            slow[:, y, x] += convolution.weight[:, :, i, j] @ features[0, :, row, column]
    torch.testing.assert_close(pyramid(features)[0], slow)


def test_the_pyramid_starts_small_and_unbiased():
    torch.manual_seed(0)
    weights = torch.cat([convolution.weight.flatten() for convolution in ASPP(64, 21)])
    assert weights.std().item() == pytest.approx(0.01, rel=0.02)
    assert all((convolution.bias == 0).all() for convolution in ASPP(64, 21))


def test_frozen_batchnorm_keeps_everything_while_the_network_trains():
    network = tiny().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items() if "bn" in name}
    network(torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(torch.equal(before[name], network.state_dict()[name]) for name in before)
    trained = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert trained == {name for name, _ in network.named_parameters() if "conv" in name or "aspp" in name} | {
        name for name, _ in network.named_parameters() if "downsample.0" in name
    }
    assert all(isinstance(layer, FrozenBatchNorm) for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    assert not any(isinstance(layer, FrozenBatchNorm) for layer in tiny(frozen=False).modules())


def test_three_scales_and_their_maximum_are_trained():
    network = tiny().eval()
    images = torch.rand(2, 3, 41, 57)
    with torch.no_grad():
        trained = MultiScale(network).trained_logits(images)
        resize = lambda size: network(F.interpolate(images, size, mode="bilinear", align_corners=False))  # noqa: E731
        whole, middle, small = network(images), resize((30, 42)), resize((20, 28))
        upsample = lambda logits: F.interpolate(logits, whole.shape[2:], mode="bilinear", align_corners=False)  # noqa: E731
        largest = torch.maximum(torch.maximum(whole, upsample(middle)), upsample(small))
        torch.testing.assert_close(
            trained, {"scale_1": whole, "scale_0.75": middle, "scale_0.5": small, "max": largest}
        )
        torch.testing.assert_close(MultiScale(network)(images), largest)


def test_an_image_of_one_pixel_is_no_smaller_at_half_its_size():
    assert MultiScale(tiny().eval())(torch.rand(1, 3, 1, 1)).shape[:2] == (1, 3)


def test_the_loss_is_the_mean_log_probability_of_the_label_in_each_cell_s_middle():
    torch.manual_seed(0)
    logits_of = {"a": torch.randn(2, 3, 2, 3), "b": torch.randn(2, 3, 4, 2)}
    labels = torch.randint(0, 3, (2, 8, 12), dtype=torch.uint8)
    labels[0, :5, :7] = 255
    terms = pixel_losses(logits_of, labels)
    for name, logits in logits_of.items():
        height, width = logits.shape[2:]
        seen = []
        for image in range(2):
            for y in range(height):
                for x in range(width):
                    label = int(labels[image, int((y + 0.5) * 8 / height), int((x + 0.5) * 12 / width)])
                    if label != 255:
                        seen.append(-logits[image, :, y, x].log_softmax(0)[label])
        assert 0 < len(seen) < 2 * height * width
        torch.testing.assert_close(terms[name], torch.stack(seen).mean())


def test_a_batch_of_ignored_pixels_has_no_loss_and_no_gradient():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = pixel_losses({"a": logits}, torch.full((1, 4, 4), 255, dtype=torch.uint8))["a"]
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("prefix", ["", "base.", "scale.", "module.base."])
def test_the_reference_s_names_are_understood(tmp_path, prefix):
    source = with_running_statistics(tiny())
    torch.save({prefix + k: v for k, v in msra_names(source.trunk.state_dict()).items()}, tmp_path / "msra.pth")
    found, ours = read_trunk(tmp_path / "msra.pth"), tiny().eval()
    fill_trunk(ours.trunk, found.state, "file")
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(ours.trunk.forward_features(image), source.trunk.forward_features(image))
    assert (found.style, found.dense) == ("caffe", True)


def test_torchvision_s_names_are_understood_and_its_classifier_is_no_pixel_label(tmp_path):
    state = {**tiny(style="torchvision").trunk.state_dict(), "fc.weight": torch.zeros(7, 64), "fc.bias": torch.zeros(7)}
    torch.save({name: tensor.half() for name, tensor in state.items()}, tmp_path / "half.pth")
    found = read_trunk(tmp_path / "half.pth")
    assert (found.style, found.dense) == ("torchvision", False)
    assert {tensor.dtype for name, tensor in found.state.items() if "weight" in name} == {torch.float32}
    fill_trunk(tiny(style="torchvision").trunk, found.state, "file")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("layer3.1.conv2.weight"),
        lambda state: state.update({"layer3.2.conv2.weight": torch.zeros(1)}),
        lambda state: state.update({"layer3.1.conv2.weight": torch.zeros(1)}),
    ],
    ids=["missing", "one block too many", "another shape"],
)
def test_weights_of_another_network_are_refused(change):
    state = dict(tiny().trunk.state_dict())
    change(state)
    with pytest.raises(
        InputError, match=r"other\.pth is not this network \(layer3\.[12]\.conv2\.weight does not fit\)"
    ):
        fill_trunk(tiny().trunk, state, "other.pth")
