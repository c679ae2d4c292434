"""Refiners by flag: what bas predict does with them, and that results say what their weights have seen."""

import json

import pytest

import torchbas as tb
from torchbas.cli import main
from torchbas.config import Architecture, Inference
from torchbas.inference.localizer import Localizer
from torchbas.methods.bas import BASMethod
from torchbas.refiners import guard
from torchbas.refiners.sam2 import network


@pytest.fixture(scope="module")
def model(tmp_path_factory, demo_set):
    """A model whose card says crf."""
    folder = tmp_path_factory.mktemp("model")
    tiny = BASMethod.build(Architecture("test_resnet", hidden=16), 6, False, ((0.5, 0.4, 0.3), (0.2, 0.3, 0.25)))
    inference = Inference(threshold=0.4, refine=("crf",))
    Localizer(tiny, demo_set.classes, resize=64, crop=48, inference=inference).save(folder)
    return folder


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tiny_sam import save_tiny_sam

    network.cache_clear()
    return save_tiny_sam(tmp_path_factory.mktemp("weights") / "sam2")


def predicted(photos, model, out, *words):
    assert main(["predict", str(photos), "--model", str(model), "--out", str(out), "--min-score", "0", *words]) == 0
    return json.loads((out / "run.json").read_text()), json.loads((out / "masks.coco.json").read_text())


def test_results_by_sam_2_say_what_it_has_seen(photos, model, sam, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(guard, "LOST", 0.0)
    words = ["--refine", "sam2", "--refiner-weights", str(sam)]
    run, masks = predicted(photos, model, tmp_path / "out", *words)
    assert "masks that people drew or corrected" in run["seen"]
    assert "SAM 2 (sam2)" in run["seen"]
    said = capsys.readouterr().err
    assert said.count("masks that people drew") == 1
    assert "masks that people drew" in (tmp_path / "out/index.html").read_text()
    assert {one["attributes"]["method"] for one in masks["annotations"]} == {"bas+sam2"}
    assert {one.method for one in tb.read_results(tmp_path / "out").detections} == {"bas+sam2"}


def test_other_stages_say_nothing_and_none_is_none(photos, model, tmp_path, capsys):
    found = {}
    for name, words in {"own": (), "none": ("--refine", "none"), "both": ("--refine", "shift", "crf")}.items():
        run, found[name] = predicted(photos, model, tmp_path / name, *words)
        assert "seen" not in run
        assert {one["attributes"]["method"] for one in found[name]["annotations"]} == {"bas"}
    assert "people" not in capsys.readouterr().err
    boxes = {name: [one["segmentation"] for one in one["annotations"]] for name, one in found.items()}
    assert boxes["own"] != boxes["none"] != boxes["both"] != boxes["own"]
    plain = [*tb.predict(photos, model, tags="predicted", refine="none")]
    assert len(plain) == len(boxes["none"])


@pytest.mark.usefixtures("sam")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--refine", "none", "crf"), "none alone"),
        (("--refine", "crf", "shift"), "shift first"),
        (("--refiner-weights", "somewhere"), "add sam2 to refine"),
        (("--refine", "sam2", "--refiner-weights", "{tmp}"), "cannot be read as SAM 2"),
    ],
)
def test_what_does_not_go_together_is_one_sentence_and_nothing_is_written(photos, model, tmp_path, capsys, words, said):
    given = [word.format(tmp=tmp_path) for word in words]
    out = tmp_path / "out"
    assert main(["predict", str(photos), "--model", str(model), "--out", str(out), *given]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not out.exists()


@pytest.mark.usefixtures("sam")
def test_weights_that_cannot_be_had_are_found_out_before_the_training(photos, tmp_path, capsys):
    words = ["label", str(photos), "--out", str(tmp_path / "out"), "--weights", "none", "--backbone", "test_resnet"]
    assert main([*words, "--refine", "sam2", "--refiner-weights", str(tmp_path)]) == 2
    assert "cannot be read as SAM 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
