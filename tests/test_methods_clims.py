"""CLIP's losses on maps: by hand, its prompts, its files, and training of CLIMS and BAS with them."""

import json
import math
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchbas.config import Architecture
from torchbas.errors import InputError
from torchbas.losses import background_text_matching, cooccurring_background_suppression, object_text_matching
from torchbas.methods.clip_loss import SURROUNDINGS, CLIPLoss, read_sentences
from torchbas.methods.trained import TrainedModel
from torchbas.model.clip import CLIP, load_clip
from torchbas.training.recipe import train_recipe

DEVICE = torch.device("cpu")
WORDS = {"a photo of red.": [1.0, 0, 0], "a photo of green.": [0, 1.0, 0], "a photo of tree.": [0.6, 0, 0.8]}


def eye(side=8):
    """A CLIP that sees the mean color above the middle gray, and knows some words."""
    network = nn.Conv2d(3, 3, 1, bias=False).requires_grad_(False)
    network.weight.copy_(torch.eye(3)[..., None, None])

    def read(sentences):
        return torch.stack([torch.tensor(WORDS.get(sentence, [0.0, 0.0, 1.0])) for sentence in sentences])

    return CLIP(network, side, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), lambda x: network(x).mean(dim=(2, 3)), read)


def test_the_losses_are_logarithms_of_clamped_cosines():
    similarity = torch.tensor([0.25, -0.3, 1.0])
    assert object_text_matching(similarity).item() == pytest.approx(
        (-math.log(0.25) - math.log(1e-4) - math.log(0.9999)) / 3
    )
    assert background_text_matching(similarity).item() == pytest.approx(
        (-math.log(0.75) - math.log(0.9999) - math.log(1e-4)) / 3, rel=1e-3
    )
    around = torch.tensor([[0.27, 0.25, 0.5], [0.1, 0.2, 0.26]], requires_grad=True)
    loss = cooccurring_background_suppression(around, 0.26)
    assert loss.item() == pytest.approx((-math.log(0.73) - math.log(0.5)) / 2)
    (gradient,) = torch.autograd.grad(loss, around)
    assert torch.equal(gradient > 0, torch.tensor([[True, False, True], [False, False, False]]))


def test_no_surroundings_cost_nothing():
    assert cooccurring_background_suppression(torch.zeros(3, 0)).item() == 0


def test_clip_gets_the_object_alone_and_the_rest_alone():
    """Left half red, right half green: the map of the red half is right for red and wrong for green."""
    images = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    images[:, 0, :, :8], images[:, 1, :, 8:] = 255, 255
    half = torch.zeros(2, 8, 8)
    half[:, :, :4] = 1
    clip_loss = CLIPLoss(eye(), read_sentences(("red", "green")), weights=(1.0, 1.0, 1.0))
    first = torch.zeros(2, dtype=torch.int64)
    red, green = (clip_loss(images, half[:1], first[:1], torch.tensor([label])) for label in (0, 1))
    assert red["clip_object"] < 0.05 < 3 < green["clip_object"]
    assert red["clip_rest"] < 0.2 < 3 < green["clip_rest"]
    both = clip_loss(images, half, first, torch.tensor([0, 1]))
    for name, loss in both.items():
        assert torch.isclose(loss, (red[name] + green[name]) / 2)
    tree = -math.log(1 - 0.6)  # the cosine of red and tree; the other surroundings are blue
    assert red["clip_surroundings"].item() == pytest.approx(tree, abs=0.05)


def test_the_losses_are_weighted():
    clip_loss = CLIPLoss(eye(), read_sentences(("red", "green")))
    plain = CLIPLoss(eye(), read_sentences(("red", "green")), weights=(1.0, 1.0, 1.0))
    images = torch.randint(0, 256, (2, 3, 12, 12), dtype=torch.uint8)
    asked = torch.rand(2, 4, 4), torch.arange(2), torch.tensor([1, 0])
    ours, theirs = clip_loss(images, *asked), plain(images, *asked)
    assert [round((ours[name] / theirs[name]).item(), 3) for name in list(ours)[:2]] == [10.0, 24.0]


def test_gradient_reaches_the_map_and_not_clip():
    clip = eye()
    maps = torch.full((1, 4, 4), 0.5, requires_grad=True)
    images = torch.randint(0, 256, (1, 3, 12, 12), dtype=torch.uint8)
    terms = CLIPLoss(clip, read_sentences(("red", "green")))(images, maps, torch.tensor([0]), torch.tensor([0]))
    torch.stack(list(terms.values())).sum().backward()
    assert maps.grad.abs().min() > 0
    assert clip.network.weight.grad is None


def test_words_are_the_classes_own_but_for_a_person():
    said = read_sentences(("potted_plant", "person", "water"))
    assert said.classes == ("a photo of potted plant.", "a photo of player.", "a photo of water.")
    assert said.surroundings == tuple(f"a photo of {word}." for word in SURROUNDINGS if word != "water")


def test_words_may_be_given(tmp_path):
    file = tmp_path / "words.json"
    file.write_text(json.dumps({"template": "one {}", "classes": {"cat": "kitten"}, "surroundings": ["sofa"]}))
    said = read_sentences(("cat", "person"), file)
    assert said.classes == ("one kitten", "one person")
    assert said.surroundings == ("one sofa",)
    for content in ("[]", "{", '{"words": {}}', '{"template": "no place"}', '{"classes": ["cat"]}'):
        file.write_text(content)
        with pytest.raises(InputError, match=r"words.json is not understood"):
            read_sentences(("cat",), file)
    file.write_text('{"classes": {"dog": "hound"}}')
    with pytest.raises(InputError, match='"dog", but that is none of the classes'):
        read_sentences(("cat",), file)


@pytest.fixture(scope="module")
def short(recipe):
    training = replace(recipe.training, f1="train", steps=2, batch_size=8, lr=0.01)
    return replace(recipe, architecture=replace(recipe.architecture, head="linear"), training=training)


@pytest.fixture
def known(monkeypatch):
    """Every path leads to the little CLIP."""
    monkeypatch.setattr("torchbas.methods.clip_loss.load_clip", lambda *_: eye())


def _train(dataset, recipe, method, out, weights=False, **options):
    return train_recipe(dataset, replace(recipe, method=method, options=options), out, weights=weights, device="cpu")


def _columns(run):
    return (run / "log.csv").read_text().splitlines()[0].split(",")


@pytest.mark.usefixtures("known")
def test_clims_learns_from_clip_alone_and_does_not_keep_it(demo_set, short, tmp_path):
    _train(demo_set, short, "irn", tmp_path / "irn")
    with pytest.raises(InputError, match="clims compares maps with sentences by a CLIP: give NAME:FILE"):
        _train(demo_set, short, "clims", tmp_path / "x", weights=tmp_path / "irn")
    run = tmp_path / "clims"
    trained = _train(demo_set, short, "clims", run, weights=tmp_path / "irn", clip_model="any")
    assert {"clip_object", "clip_rest", "clip_surroundings", "area"} <= set(_columns(run))
    assert "classify" not in _columns(run)
    kept = TrainedModel.load(run).model
    assert kept.clip_loss is None
    assert all(torch.equal(value, kept.state_dict()[name]) for name, value in trained.model.state_dict().items())


@pytest.mark.usefixtures("known")
def test_bas_adds_clip_s_losses(demo_set, short, tmp_path):
    _train(demo_set, short, "bas", tmp_path / "bas", classifier_steps=0, clip_model="any")
    assert {"classify", "area", "clip_object", "clip_rest", "clip_surroundings"} <= set(_columns(tmp_path / "bas"))


def test_clip_needs_the_photos_and_a_map_per_class(demo_set, recipe, short, tmp_path):
    with pytest.raises(InputError, match="learns from the photos: --f1 frozen or train"):
        _train(demo_set, recipe, "bas", tmp_path, clip_model="any")
    class_agnostic = replace(short, architecture=Architecture("test_resnet", head="linear", class_agnostic=True))
    with pytest.raises(InputError, match="CLIP compares the map of one class"):
        _train(demo_set, class_agnostic, "bas", tmp_path, clip_model="any")


def test_what_is_no_clip_is_refused(tmp_path):
    with pytest.raises(InputError, match="give NAME:FILE"):
        load_clip("ViT-B-32", DEVICE)
    with pytest.raises(InputError, match="give NAME:FILE"):
        load_clip(f"ViT-B-32:{tmp_path}/none.pt", DEVICE)


def test_a_missing_library_is_named_with_the_command_that_brings_it(tmp_path, monkeypatch):
    (tmp_path / "clip.pt").touch()
    for library, source, command in (
        ("open_clip", f"ViT-B-32:{tmp_path}/clip.pt", r"pip install 'torch-bas\[clip\]'"),
        ("transformers", tmp_path, "pip install transformers"),
    ):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(InputError, match=command):
            load_clip(source, DEVICE)


def test_open_clip_is_read_from_a_file(tmp_path):
    open_clip = pytest.importorskip("open_clip")
    tower = {"width": 32, "layers": 1}
    vision = {**tower, "image_size": 32, "patch_size": 16, "head_width": 16}
    text = {**tower, "context_length": 77, "vocab_size": 49408, "heads": 2}
    config = tmp_path / "tiny-clip.json"
    config.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(config)
    network = open_clip.create_model("tiny-clip").eval()
    torch.save(network.state_dict(), tmp_path / "clip.pt")
    clip = load_clip(f"tiny-clip:{tmp_path}/clip.pt", DEVICE)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    assert clip.side == 32
    assert torch.allclose(clip.image_features(images), F.normalize(network.encode_image(images), dim=1), atol=1e-6)
    words = ["a photo of cat.", "sea"]
    read = network.encode_text(open_clip.get_tokenizer("tiny-clip")(words))
    assert torch.allclose(clip.text_features(words), F.normalize(read, dim=1), atol=1e-6)
    (gradient,) = torch.autograd.grad(clip.image_features(images).sum(), images)
    assert gradient.any()
    with pytest.raises(InputError, match="did you mean tiny-clip"):
        load_clip(f"tinyclip:{tmp_path}/clip.pt", DEVICE)
    (tmp_path / "other.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"other\.pt does not hold tiny-clip"):
        load_clip(f"tiny-clip:{tmp_path}/other.pt", DEVICE)
    with pytest.raises(InputError, match="files of its own from the Hub"):
        load_clip(f"ViT-B-16-SigLIP:{tmp_path}/clip.pt", DEVICE)


def test_transformers_clip_is_read_from_a_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={**tower, "vocab_size": 60, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    network = transformers.CLIPModel(config).eval()
    network.save_pretrained(tmp_path)
    letters = [*"abcdefghijklmnopqrstuvwxyz.", *(f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz.")]
    vocabulary = {token: place for place, token in enumerate(["<|startoftext|>", "<|endoftext|>", *letters])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer"}')
    clip = load_clip(tmp_path, DEVICE)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    assert clip.side == 32
    seen = network.visual_projection(network.vision_model(pixel_values=images).pooler_output)
    assert torch.allclose(clip.image_features(images), F.normalize(seen, dim=1), atol=1e-6)
    assert clip.text_features(["a cat.", "sea"]).shape == (2, 8)
    (gradient,) = torch.autograd.grad(clip.image_features(images).sum(), images)
    assert gradient.any()
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="is no CLIPModel"):
        load_clip(tmp_path, DEVICE)
