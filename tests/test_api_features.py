"""Which pretrained network ``quick`` learns on, what is said of it, and what stays as the user chose it."""

import json
from dataclasses import replace

import pytest
from huggingface_hub import constants

import torchbas as tb
from torchbas import api, recipes
from torchbas.cli import main
from torchbas.errors import InputError
from torchbas.model.hub import on_this_machine
from torchbas.model.weights import pretrained_of

DINO = "vit_small_patch14_dinov2.lvd142m"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the Hub's client that holds nothing; call it to lay weights there by timm's name."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    def lay(name):
        folder = tmp_path / f"cache/models--timm--{name}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs/main").write_text("a" * 40)
        (folder / "snapshots" / ("a" * 40)).mkdir(parents=True)
        (folder / "snapshots" / ("a" * 40) / "model.safetensors").write_bytes(b"weights")

    return lay


def test_quick_gives_way_to_better_features_where_they_lie_on_this_machine(cache):
    quick = recipes.load("quick")
    assert api.usable(quick, True) is quick
    cache(DINO)
    assert api.usable(quick, True) == recipes.load("dinov2")


def test_what_the_user_chose_stays(cache):
    cache(DINO)
    quick = recipes.load("quick")
    for stays in (
        recipes.load("small"),
        recipes.load("frozen"),
        recipes.with_settings(quick, {"backbone": "resnet50"}),
    ):
        assert api.usable(stays, True) is stays
    for weights in (False, "mobilenet.pth"):
        assert api.usable(quick, weights) is quick
    changed = api.usable(recipes.with_settings(quick, {"steps": 77, "threshold": 0.3}), True)
    assert (changed.name, changed.training.steps, changed.inference.threshold) == ("dinov2", 77, 0.3)
    assert changed.changes == {"steps": 77, "threshold": 0.3}
    assert changed.architecture == recipes.load("dinov2").architecture


def test_weights_are_looked_for_without_the_hub(cache):
    assert not on_this_machine(DINO)
    assert not on_this_machine("vit_small_patch14_dinov2.no_such_tag")
    assert not on_this_machine("test_vit")
    cache(DINO)
    assert on_this_machine(DINO)


def test_names_and_licenses_are_timms(tmp_path):
    assert pretrained_of(DINO, True) == (DINO, "apache-2.0")
    assert pretrained_of("resnet50", True) == ("resnet50.tv_in1k", "bsd-3-clause")
    assert pretrained_of("vit_small_patch16_dinov3.lvd1689m", True)[1] == "dinov3-license"
    assert pretrained_of("resnet50", tmp_path / "secret" / "mine.pth") == ("mine.pth", "")
    assert pretrained_of("resnet50", False) == ("none", "")
    assert pretrained_of("resnet18.no_such_tag", True) == pretrained_of("no_such_network", True) == ("", "")


def test_check_says_which_features_and_under_what_license(cache, demo_set, capsys, monkeypatch):
    monkeypatch.setattr(api, "estimate", lambda *_, **__: 60.0)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["check", str(demo_set.root), "--json"]) == 0
    said = capsys.readouterr()
    features = {"recipe": "quick", "weights": "mobilenetv1_100.ra4_e3600_r224_in1k", "license": "apache-2.0"}
    assert json.loads(said.out)["features"] == {**features, "here": False, "usable": False}
    assert "cannot be fetched from here: give bas label --weights FILE" in " ".join(said.err.split())
    assert "license apache-2.0), which will be fetched" in " ".join(said.err.split())
    cache(DINO)
    assert main(["check", str(demo_set.root), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["features"] == {
        **features,
        "recipe": "dinov2",
        "weights": DINO,
        "here": True,
        "usable": True,
    }
    assert f"{DINO} (license apache-2.0), which lie on this machine" in " ".join(said.err.split())


def test_the_card_says_what_a_model_began_from_and_keeps_it(demo_set, recipe, tmp_path):
    first = tb.train(demo_set, tmp_path / "first", recipe=recipe, weights=False)
    assert first.pretrained == ("none", "")
    replace(first, pretrained=(DINO, "apache-2.0")).save(tmp_path / "first")
    again = tb.train(demo_set, tmp_path / "again", recipe=recipe, weights=tmp_path / "first")
    assert json.loads((tmp_path / "again/model.json").read_text())["pretrained"] == [DINO, "apache-2.0"]
    assert tb.load(tmp_path / "again").pretrained == again.pretrained == (DINO, "apache-2.0")


@pytest.mark.usefixtures("cache")
def test_weights_that_do_not_exist_are_named_in_one_sentence(demo_set, tmp_path, capsys):
    words = ["train", str(demo_set.root), "--out", str(tmp_path / "out"), "--backbone"]
    for backbone in ("resnet18.no_such_tag", "no_such_network"):
        assert main([*words, backbone]) == 2
        said = capsys.readouterr().err
        assert backbone in said
        assert "features:" not in said


def test_weights_on_this_machine_that_are_damaged_are_named(cache, demo_set, tmp_path):
    cache(DINO)
    with pytest.raises(InputError, match=r"pretrained weights .*dinov2.* cannot be fetched"):
        tb.train(demo_set, tmp_path / "out", recipe="dinov2")


def test_the_command_says_where_features_are_kept_and_when_they_are_there(
    demo_set, recipe, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(recipes, "built_in", lambda: {"quick": recipe})
    words = ["train", str(demo_set.root), "--weights", "none", "--feature-cache", str(tmp_path / "cache"), "--out"]
    said, stages = [], []
    for name in ("first", "second"):
        assert main([*words, str(tmp_path / name)]) == 0
        said.append(" ".join(capsys.readouterr().err.split()))
        stages.append(json.loads((tmp_path / name / "run.json").read_text())["seconds"])
    assert "features kept in" in said[0]
    assert "features of an earlier training, from" in said[1]
    assert ["computing features" in one for one in stages] == [True, False]
