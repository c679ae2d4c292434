"""Models on disk: what is saved comes back, and the authors' checkpoints mean here what they mean there.

That our networks agree in every output with independent copies of the authors' (authors_networks.py) proves strides,
pools, padding, order and weight mapping at once.
"""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch
from authors_networks import NETWORKS, ResSegmentation
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from torchbas import api
from torchbas.bounds import built
from torchbas.config import Architecture
from torchbas.errors import InputError
from torchbas.model.bas import BAS
from torchbas.model.checkpoints import load_authors, read_authors
from torchbas.model.weights import load_network, normalization, save_network

K = 3


def _theirs(family: str) -> nn.Module:
    """One of the authors' networks, its numbers random."""
    make, features, late, _ = NETWORKS[family]
    network = make()
    if family == "resnet50_wsss":
        network.classifier_cls = nn.Conv2d(late, K, 1, bias=False)
    else:
        convs = nn.Conv2d(late, 1024, 3, padding=1), nn.Conv2d(1024, 1024, 3, padding=1), nn.Conv2d(1024, K, 1)
        network.classifier_cls = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])
    bias = family != "resnet50_wsss"
    network.classifier_loc = nn.Sequential(nn.Conv2d(features, K, 3, padding=1, bias=bias), nn.Sigmoid())
    return network


def _lively(network: nn.Module) -> nn.Module:
    """Numbers that matter in every layer, yet keep the signal alive to the end."""
    torch.manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.dim() == 4:
            nn.init.kaiming_normal_(tensor)
        elif name.endswith("num_batches_tracked"):
            tensor.fill_(7)
        elif name.endswith(("running_var", "weight")):
            tensor.uniform_(0.5, 1.0)
        else:
            tensor.normal_(std=0.1)
    return network


def _hollow(family: str) -> nn.Module:
    """The same names and shapes, one stored number each: what only reads names needs no 200 MB."""
    with torch.device("meta"):
        network = _theirs(family)
    hollow = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in network.state_dict().items()}
    network.load_state_dict(hollow, assign=True)
    return network


def _checkpoint(network: nn.Module, path: Path, *, parallel: bool = False) -> Path:
    """A file as the authors' training scripts save it, on one GPU or under DistributedDataParallel."""
    state = {f"module.{name}" if parallel else name: tensor for name, tensor in network.state_dict().items()}
    bare = parallel and isinstance(network, ResSegmentation)
    content = state if bare else {"model": state, "best_thr": 0.1, "epoch": 3}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize("family", NETWORKS)
def test_the_authors_checkpoint_computes_here_what_it_computed_there(family, tmp_path):
    theirs = _lively(_theirs(family))
    path = _checkpoint(theirs, tmp_path / "best_gt.pth.tar")
    ours = api.load(path).model.double()
    path.unlink()
    theirs = theirs.double()
    size = NETWORKS[family][3]
    for training in (True, False):  # evaluation comes second, so it also compares the running statistics
        ours.train(training)
        theirs.train(training)
        images = torch.randn(2, 3, size, size, dtype=torch.float64)
        with torch.no_grad():
            expected = theirs.first(images)
            features = ours.features(images)
            torch.testing.assert_close(features, expected)
            class_maps = theirs.classifier_cls(theirs.second(expected))
            torch.testing.assert_close(ours.class_maps(features), class_maps)
            maps = theirs.classifier_loc(expected)
            torch.testing.assert_close(ours.generator(features).double(), maps, rtol=1e-5, atol=1e-6)
        assert expected.std() > 0.1
        assert class_maps.std() > 0.1
        assert maps.std() > 0.01


@pytest.mark.parametrize("family", NETWORKS)
def test_a_checkpoint_says_which_network_it_is(family, tmp_path):
    theirs = _hollow(family)
    one = read_authors(_checkpoint(theirs, tmp_path / "one.pth.tar"))
    many = read_authors(_checkpoint(theirs, tmp_path / "many.pth.tar", parallel=True))
    assert (one.family, one.num_classes) == (many.family, many.num_classes) == (family, K)
    assert one.state.keys() == many.state.keys() == theirs.state_dict().keys()


def test_a_checkpoint_of_another_network_or_class_count_is_refused(tmp_path):
    path = _checkpoint(_hollow("resnet50_wsss"), tmp_path / "segmentation.pth.tar")
    for backbone, classes in (("mobilenetv1", K), ("resnet50_wsss", K + 1)):
        with pytest.raises(InputError, match=r"segmentation\.pth\.tar does not hold"):
            load_authors(BAS.from_architecture(Architecture(backbone, head="linear"), classes), path)
    load_authors(BAS.from_architecture(Architecture("resnet50_wsss", head="linear"), K), path)


def test_weights_of_a_plain_classifier_are_no_checkpoint_of_the_authors(tmp_path):
    torch.save({"layer4.0.conv1.weight": torch.rand(1)}, tmp_path / "resnet.pth.tar")
    with pytest.raises(InputError, match=r"resnet\.pth\.tar is no BAS checkpoint"):
        read_authors(tmp_path / "resnet.pth.tar")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classifier_loc.0.weight", torch.tensor(3.0)),
        ("classifier_loc.0.weight", torch.zeros(1, 1, 1, 1).expand(10**9, 1024, 3, 3)),
        ("classifier_loc.0.weight", torch.zeros(0, 1024, 3, 3)),
        ("classifier_loc.0.weight", torch.zeros(3, 3).to_sparse()),
        ("classifier_loc.0.weight", torch.zeros(3, 1024, 3, 3, device="meta")),
        ("classifier_loc.0.weight", torch.zeros(3, 1024, 3, 3, dtype=torch.complex64)),
        ("conv1.weight", torch.full((64, 3, 7, 7), float("nan"))),
        ("conv1.weight", torch.zeros(())),
        ("classifier_cls", torch.zeros(3)),
    ],
)
def test_a_strange_checkpoint_of_the_authors_is_refused_by_name(tmp_path, name, value):
    state = {**_hollow("resnet50_wsss").state_dict(), name: value}
    torch.save({"model": state}, tmp_path / "strange.pth.tar")
    with pytest.raises(InputError, match=r"strange\.pth\.tar"):
        api.load(tmp_path / "strange.pth.tar")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_checkpoint_of_the_authors_with_other_bytes_is_read_or_refused_by_name(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes.pth.tar"
    state = {"layer4.0.conv1.weight": torch.rand(1), "classifier_loc.0.weight": torch.rand(1, 1, 1, 1)}
    torch.save(state, path, _use_new_zipfile_serialization=data.draw(st.booleans()))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, 2**20), min_size=1, max_size=3)):  # its length is chance
        content[place % len(content)] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    said = str(path)
    try:
        read_authors(path)
    except InputError as error:
        said = str(error)
    assert said.startswith(str(path))


ARCHITECTURE = Architecture("resnet18", hidden=8)
CARD = {
    "architecture": json.loads(json.dumps(dataclasses.asdict(ARCHITECTURE))),
    "classes": ["cat", "dog <é>"],
    "threshold": 0.3,
}


def load(folder):
    """The network of a card, and the card."""
    return load_network(
        folder,
        lambda card: BAS.from_architecture(
            built(Architecture, card["architecture"], "architecture"), len(card["classes"])
        ),
    )


@pytest.fixture(scope="module")
def model() -> BAS:
    torch.manual_seed(0)
    return BAS.from_architecture(ARCHITECTURE, num_classes=2).eval()


@pytest.fixture
def folder(tmp_path, model) -> Path:
    save_network(model, tmp_path / "run" / "model", CARD)
    return tmp_path / "run" / "model"


def test_what_is_saved_comes_back(folder, model):
    loaded, card = load(folder)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(loaded.eval()(images), model(images), strict=True):
            assert torch.equal(a, b)
    assert card == CARD
    assert loaded.architecture == ARCHITECTURE
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]


def test_any_memory_layout_can_be_saved(tmp_path, model):
    save_network(model.to(memory_format=torch.channels_last), tmp_path, CARD)
    loaded, _ = load(tmp_path)
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), model.state_dict().values(), strict=True)
    )


def test_a_save_that_fails_leaves_the_old_model(folder, model):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(TypeError):
        save_network(model, folder, {**CARD, "classes": {"no", "list"}})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def _refused(folder: Path, *words: str) -> None:
    with pytest.raises(InputError) as error:
        load(folder)
    assert all(word in str(error.value) for word in words), error.value


def test_a_card_that_cannot_be_used_is_refused_by_name(folder):
    path = folder / "model.json"
    path.write_text("{")
    _refused(folder, str(path), "not valid JSON")
    for card in ([], {"architecture": {}}, {**CARD, "classes": 2}, {**CARD, "classes": [1]}):
        path.write_text(json.dumps(card))
        _refused(folder, str(path), "does not describe a model")
    for change in ({"wings": 2}, {"hidden": 0}):
        path.write_text(json.dumps({**CARD, "architecture": {**CARD["architecture"], **change}}))
        _refused(folder, str(path), "does not know")
    path.unlink()
    _refused(folder, str(folder), "has no model.json")


def test_weights_that_do_not_belong_to_the_card_are_refused(folder):
    path = folder / "model.json"
    path.write_text(json.dumps({**CARD, "classes": ["a", "b", "c"]}))
    _refused(folder, str(folder / "model.safetensors"), "does not fit")
    path.write_text(json.dumps(CARD))
    (folder / "model.safetensors").write_bytes(b"broken")
    _refused(folder, str(folder / "model.safetensors"), "broken")
    (folder / "model.safetensors").unlink()
    _refused(folder, str(folder), "has no model.safetensors")


def test_a_path_is_never_looked_up_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("asked the Hub"))
    for folder in ("./user/name", "/no/such", "~/user/name", "name", "a/b/c", tmp_path / "absent", Path("user/name")):
        with pytest.raises(InputError, match=re.escape(str(folder))):
            load(folder)


def test_a_repository_is_fetched_without_its_other_files(folder, monkeypatch):
    asked = []

    def download(name, *, allow_patterns):
        asked.append((name, sorted(allow_patterns)))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load("user/name")[1] == CARD
    assert asked == [("user/name", ["model.json", "model.safetensors"])]


def test_a_hub_out_of_reach_is_said_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="user/name"):
        load("user/name")


def test_normalization_is_that_of_the_weights():
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    half = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    for backbone in NETWORKS:
        assert normalization(backbone, "file.pth") == normalization(backbone, weights=False) == imagenet
        assert normalization(backbone, weights=True) == (half if backbone == "mobilenetv1" else imagenet)
    assert normalization("vit_tiny_patch16_224", weights=True) == half
    assert normalization("resnet18.a1_in1k", weights=True) == imagenet
