"""Local weight files: the right tensor in the right place, or one sentence that says why not."""

import logging
import re
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from torchbas.errors import InputError
from torchbas.model.extractor import Extractor, build_extractor
from torchbas.model.pretrained import load_backbone, read_state


def _save(content: object, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in content.items()}, path)
    else:
        torch.save(content, path)
    return path


def _numbered(shapes: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One number of its own for every tensor, so that each can be told from all others and files stay small."""
    return {name: torch.rand(()).expand(tensor.shape) for name, tensor in shapes.items()}


def _trunk(extractor: Extractor) -> dict[str, torch.Tensor]:
    return {**extractor.f1.state_dict(), **extractor.f2.state_dict()}


def _resnet50() -> dict[str, torch.Tensor]:
    """torchvision's names and shapes, classifier included."""
    with torch.device("meta"):
        shapes = torchvision.models.resnet50().state_dict()
    return _numbered(shapes)


def _mobilenet() -> dict[str, torch.Tensor]:
    """The reference layout of MobileNetV1: a plain row of fourteen blocks."""
    sizes = [(3, 32), (32, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), *[(512, 512)] * 5]
    blocks = []
    for i, (c_in, c_out) in enumerate([*sizes, (512, 1024), (1024, 1024)]):
        if i == 0:
            blocks.append(nn.Sequential(nn.Conv2d(c_in, c_out, 3, bias=False), nn.BatchNorm2d(c_out)))
        else:
            depthwise = nn.Conv2d(c_in, c_in, 3, groups=c_in, bias=False), nn.BatchNorm2d(c_in), nn.ReLU()
            blocks.append(nn.Sequential(*depthwise, nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out)))
    network = nn.ModuleDict({"model": nn.Sequential(*blocks), "fc": nn.Linear(1024, 10)})
    return _numbered(network.state_dict())


@pytest.mark.parametrize(("backbone", "name"), [("resnet50", "r50.pth"), ("resnet50_wsss", "r50.safetensors")])
def test_torchvision_weights_land_where_their_names_say(tmp_path, backbone, name):
    state = _resnet50()
    extractor = build_extractor(backbone, weights=_save(state, tmp_path / name))
    ours = _trunk(extractor)
    assert ours.keys() == {key for key in state if not key.startswith("fc.")}
    assert all(torch.equal(ours[key], state[key].to(ours[key].dtype)) for key in ours)


def test_vgg_weights_land_where_their_names_say(tmp_path):
    with torch.device("meta"):
        names = torchvision.models.vgg16().features.state_dict()
    state = _numbered({f"features.{name}": weight for name, weight in names.items()})
    ours = _trunk(
        build_extractor("vgg16", weights=_save({**state, "classifier.6.bias": torch.rand(9)}, tmp_path / "v.pt"))
    )
    assert ours.keys() == state.keys()
    assert all(torch.equal(ours[key], state[key]) for key in state)


def test_mobilenet_weights_land_in_order(tmp_path):
    state = _mobilenet()
    wrapped = {"state_dict": {f"module.{name}": weight for name, weight in state.items()}, "epoch": 3}
    ours = _trunk(build_extractor("mobilenetv1", weights=_save(wrapped, tmp_path / "m.pth")))
    weights = [weight for name, weight in ours.items() if not name.endswith("num_batches_tracked")]
    theirs = [w for name, w in state.items() if not name.startswith("fc") and not name.endswith("num_batches_tracked")]
    assert len(weights) == len(theirs)
    assert all(torch.equal(a, b) for a, b in zip(weights, theirs, strict=True))


@pytest.mark.parametrize("backbone", ["vit_small_patch16_dinov3", "convnext_atto", "mobilenetv3_small_050"])
def test_any_other_network_reads_the_file_of_the_whole(tmp_path, backbone):
    whole = _numbered(timm.create_model(backbone).state_dict())
    halves = _trunk(build_extractor(backbone, weights=_save(whole, tmp_path / "whole.pth")))
    for name, weight in halves.items():
        assert torch.equal(weight, whole[name.removeprefix("network.")].to(weight.dtype)), name


def test_half_precision_is_widened(tmp_path):
    state = {name: weight.half() for name, weight in _resnet50().items()}
    ours = _trunk(build_extractor("resnet50", weights=_save(state, tmp_path / "half.pth")))
    assert ours["conv1.weight"].dtype == torch.float32
    assert torch.equal(ours["conv1.weight"], state["conv1.weight"].float())


def test_an_inception_that_ends_at_mixed_7a_is_taken_with_a_warning(tmp_path, caplog):
    state = _trunk(build_extractor("inceptionv3"))
    early = _numbered({name: w for name, w in state.items() if not name.startswith(("Mixed_7b", "Mixed_7c"))})
    path = _save(early, tmp_path / "inception.pth")
    with caplog.at_level(logging.WARNING):
        ours = _trunk(build_extractor("inceptionv3", weights=path))
    assert "Mixed_7b and Mixed_7c" in caplog.text
    assert torch.equal(ours["Mixed_7a.branch3x3_1.conv.weight"], early["Mixed_7a.branch3x3_1.conv.weight"])
    del early["Mixed_7a.branch3x3_1.conv.weight"]
    with pytest.raises(InputError, match=r"it lacks Mixed_7a"):
        build_extractor("inceptionv3", weights=_save(early, path))


def _refused(path: Path, *words: str) -> None:
    extractor = build_extractor("resnet18")
    with pytest.raises(InputError, match=re.escape(path.name)) as error:
        load_backbone(extractor.f1, extractor.f2, path)
    assert all(word in str(error.value) for word in words), error.value


def test_another_network_is_refused_with_what_it_looks_like(tmp_path):
    path = tmp_path / "weights.pth"
    _refused(_save({"features.0.weight": torch.rand(64, 3, 3, 3)}, path), "lacks conv1.weight, bn1.weight", "a VGG")
    _refused(_save({"a.b": torch.rand(1)}, path), "lacks", "its names begin with a.b")
    state = _numbered(_trunk(build_extractor("resnet18")))
    _refused(_save({**state, "conv1.weight": torch.rand(64, 4, 7, 7)}, path), "other shapes of conv1.weight")
    _refused(_save({**state, "layer3.2.conv1.weight": torch.rand(1)}, path), "layer3.2.conv1.weight", "a ResNet")
    del state["layer4.1.bn2.bias"]
    _refused(_save(state, path), "lacks layer4.1.bn2.bias;")


def test_a_file_that_is_none_is_refused(tmp_path):
    _refused(tmp_path / "absent.pth", "do not exist")
    for name in ("junk.pth", "junk.safetensors"):
        (tmp_path / name).write_bytes(b"not weights")
        _refused(tmp_path / name, "cannot be read")
        (tmp_path / name).write_bytes(b"")
        _refused(tmp_path / name, "cannot be read")
    _refused(_save({"epoch": 3}, tmp_path / "none.pth"), "no weights")
    _refused(_save([torch.rand(1)], tmp_path / "list.pth"), "no weights")


def test_a_file_that_would_run_code_is_not_opened(tmp_path):
    torch.save(nn.Linear(1, 1), tmp_path / "module.pth")
    _refused(tmp_path / "module.pth", "cannot be read")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_short_anywhere_is_refused(tmp_path, zipped):
    path = tmp_path / "cut.pth"
    torch.save({"model": {"a.weight": torch.rand(3, 3)}, "epoch": 3}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    assert list(read_state(path)) == ["a.weight"]
    for length in range(0, len(whole), 53):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.pth cannot be read"):
            read_state(path)
