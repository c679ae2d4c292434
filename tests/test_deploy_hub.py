"""Models on the Hugging Face Hub, here a stand-in over HTTP: pushed, read again, and nothing but data is fetched."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hub_stand_in import stand_in
from huggingface_hub import ModelCard, constants

import torchbas as tb
from torchbas.cli import main
from torchbas.config import Architecture
from torchbas.deploy.hub import readme, run_facts
from torchbas.errors import InputError
from torchbas.inference.localizer import Localizer
from torchbas.io import write_manifest
from torchbas.methods.bas import BASMethod
from torchbas.model import hub as reached

NORMALIZATION = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
PHOTO = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)


@pytest.fixture
def the_hub(monkeypatch, tmp_path):
    with stand_in() as (address, repositories, asked):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(reached, "getproxies", dict)
        monkeypatch.setenv("HF_TOKEN", "hf_stand_in")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield repositories, asked


@pytest.fixture
def model() -> Localizer:
    network = BASMethod.build(Architecture("test_resnet", hidden=16), 3, False, NORMALIZATION).eval()
    return Localizer(
        network, ("cat", "dog", "a|b<c>"), 64, 48, recipe="small", changes={"lr": 0.5}, pretrained=("some.pth", "")
    )


@pytest.fixture
def run(model, tmp_path):
    """As bas label leaves it."""
    model.save(tmp_path / "labels/model")
    tags = [{"tag": "cat", "photos": 7, "state": "alive"}]
    words = {"data": "/elsewhere/secret"}
    write_manifest(tmp_path / "labels", {"command": "label", "words": words, "photos": 20, "tags": tags})
    return tmp_path / "labels"


def test_what_was_pushed_is_loaded_by_its_name(the_hub, model, run):
    repositories, asked = the_hub
    address = tb.load(run).push_to_hub("me/pets", run)
    assert address.endswith("/me/pets/commit/" + "a" * 40)
    assert set(repositories["me/pets"]) == {"README.md", "model.json", "model.safetensors"}
    assert {"private True None", "private None private"} & {*asked}
    again = tb.load("me/pets")
    assert replace(again, model=model.model) == model
    assert [one.xyxy for one in again(PHOTO)] == [one.xyxy for one in model(PHOTO)]


def test_only_weights_and_card_are_fetched(the_hub, model, tmp_path):
    repositories, asked = the_hub
    model.push_to_hub("me/pets")
    repositories["me/pets"] |= {"model.py": b"raise SystemExit", "pytorch_model.bin": b"\x80", "config.json": b"{}"}
    asked.clear()
    tb.load("me/pets")
    fetched = {path.name for path in (tmp_path / "cache").rglob("snapshots/*/*")}
    assert fetched == {"model.json", "model.safetensors"}
    assert not any("model.py" in one or "pytorch_model" in one for one in asked)


def test_a_folder_comes_before_the_hub(the_hub, model, tmp_path, monkeypatch):
    model.save(tmp_path / "me/pets")
    monkeypatch.chdir(tmp_path)
    assert tb.load("me/pets").classes == model.classes
    assert the_hub[1] == []


def test_a_name_that_is_none_and_a_repository_of_something_else_are_one_sentence_each(the_hub, model):
    the_hub[0]["me/other"] = {"config.json": b"{}"}
    for name, said in (("me/nothing", "no model of that name"), ("me/other", "no model of torchbas")):
        with pytest.raises(InputError, match=said):
            tb.load(name)
    for name in ("pets", "a/b/c", "me/..", ""):
        with pytest.raises(InputError, match="give user/name"):
            model.push_to_hub(name)


@pytest.mark.usefixtures("the_hub")
def test_without_a_token_or_a_network_the_sentence_says_what_to_do(model, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(InputError, match="hf auth login"):
        model.push_to_hub("me/pets")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"the Hub does not answer.*--format hub"):
        model.push_to_hub("me/pets")


def test_the_command_writes_the_repository_without_a_network_and_pushes_on_request(the_hub, run, tmp_path, capsys):
    repositories, asked = the_hub
    words = ["export", str(run), "--format", "hub", "--json", "--quiet", "--out"]
    assert main([*words, str(tmp_path / "a")]) == 0
    assert asked == []
    assert {path.name for path in (tmp_path / "a/hub").iterdir()} == {"README.md", "model.json", "model.safetensors"}
    assert tb.load(tmp_path / "a/hub").classes == tb.load(run).classes
    capsys.readouterr()
    assert main([*words, str(tmp_path / "b"), "--push", "me/pets"]) == 0
    assert "me/pets" in json.loads(capsys.readouterr().out)["pushed"]
    assert repositories["me/pets"]["model.safetensors"] == (tmp_path / "b/hub/model.safetensors").read_bytes()
    assert main([*words, str(tmp_path / "c"), "--push", "pets"]) == 2
    assert not (tmp_path / "c").exists()


def test_the_readme_says_what_is_known_and_names_no_path(model, run):
    text = readme(model, run_facts(run / "model"), "me/pets")
    card = ModelCard(text)
    assert (card.data.library_name, card.data.base_model) == ("torchbas", None)
    assert "| training photos | 20 |" in text
    assert "| settings changed | lr 0.5 |" in text
    assert "began from some.pth" in text
    assert "secret" not in text
    assert "not here: no true boxes" in text
    assert "| cat | 7 | alive |" in text
    assert r"| a\|b\<c\> |" in text
    assert 'tb.load("me/pets")' in text


@pytest.mark.parametrize(
    ("pretrained", "said", "base"),
    [
        (
            ("resnet50.tv_in1k", "bsd-3-clause"),
            "timm/resnet50.tv\\_in1k, license bsd-3-clause; ImageNet's labels",
            "timm/resnet50.tv_in1k",
        ),
        (("none", ""), "nothing: they began at random", None),
        (("mine.pth", ""), "not known: they began from mine.pth, which has", None),
        (("", ""), "not known |", None),
    ],
)
def test_the_readme_says_what_the_weights_had_seen(model, pretrained, said, base):
    text = readme(replace(model, pretrained=pretrained), {}, "me/pets")
    assert f"| what the weights had seen before | {said}" in text
    assert ModelCard(text).data.base_model == base


def test_scores_on_corrected_boxes_are_in_the_readme(model):
    learned = replace(model, corrections=("abc", 40, 0.5, 0.75, 0.6))
    assert "75% of 40 correct" in readme(learned, {}, "me/pets")
