"""bas label --model: an earlier model goes on with other photos, and what cannot be gone on with is refused."""

import json
import shutil

import pytest

import torchbas as tb
from torchbas.cli import main
from torchbas.data import read

SHORT = ("--steps", "4", "--batch-size", "8", "--precision", "32-true", "--quiet", "--format", "coco")
NETWORK = ("--backbone", "test_resnet", "--weights", "none", "--resize", "64", "--crop", "48")
FIRST, LATER = ("leaf", "mushroom", "snail"), ("fish",)


@pytest.fixture(scope="module")
def root(demo_set, tmp_path_factory):
    """Photos of three tags, of another one, of one that is known, and what bas label has made of the first."""
    root = tmp_path_factory.mktemp("going_on")
    for sample in demo_set.samples:
        tag, there = demo_set.classes[sample.labels[0]], sample.split == "train"
        part = "first" if tag in FIRST and there else "later" if tag in LATER else "known" if tag == "snail" else None
        if part:
            (root / part / tag).mkdir(parents=True, exist_ok=True)
            shutil.copy(sample.path, root / part / tag)
    assert main(["label", str(root / "first"), "--out", str(root / "labels"), *NETWORK, *SHORT]) == 0
    return root


def label(root, photos, out, *words, model="labels"):
    return main(["label", str(root / photos), "--out", str(out), "--model", str(root / model), *SHORT, *words])


def categories(out):
    return [one["name"] for one in json.loads((out / "boxes.coco.json").read_text())["categories"]]


def test_a_new_tag_comes_after_the_known_ones_and_the_card_says_where_it_began(root, tmp_path):
    assert label(root, "later", tmp_path / "out") == 0
    assert categories(tmp_path / "out") == [*FIRST, *LATER]
    cards = [json.loads((folder / "model/model.json").read_text()) for folder in (root / "labels", tmp_path / "out")]
    assert cards[1]["began_from"] == [cards[0]["fingerprint"], 3]
    assert cards[1]["architecture"] == cards[0]["architecture"]
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run["words"]["model"] == str(root / "labels")
    assert run["went_on"]["known_tags"] == [*FIRST]
    assert run["went_on"]["new_tags"] == [*LATER]
    assert 0 <= run["went_on"]["same_tag"] <= run["went_on"]["remembered_photos"] == 9
    known = {tag for tag, *_ in cards[0]["shapes"]}
    assert [one for one in cards[1]["shapes"] if one[0] in known] == cards[0]["shapes"]
    for name in ("layercam", "enlarged"):
        assert {*cards[0]["inference"][name]} <= {*cards[1]["inference"][name]}


def test_known_tags_are_localized_as_by_the_model_itself(root, tmp_path):
    assert label(root, "known", tmp_path / "out") == 0
    found = {(one.name, one.label): one.xyxy for one in tb.predict(root / "known", root / "labels")}
    assert found == {(one.name, one.label): one.xyxy for one in tb.predict(root / "known", tmp_path / "out")}
    assert json.loads((tmp_path / "out/run.json").read_text())["went_on"]["new_tags"] == []


def test_a_stopped_command_resumes_to_the_same_files(root, tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert label(root, "later", whole) == 0

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("torchbas.cli.job.Job.write", stop)
        assert label(root, "later", stopped) == 130
    assert label(root, "later", stopped, "--resume") == 0
    for name in ("boxes.coco.json", "model/model.safetensors", "model/model.json"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes()


def test_corrected_boxes_of_the_same_photos_are_learned_without_another_training(root, tmp_path):
    dataset = read(root / "first")
    images = [{"id": n, "file_name": one.name} for n, one in enumerate(dataset.samples)]
    boxes = [
        {"image_id": n, "category_id": one.labels[0], "bbox": [10, 12, 20, 22]} for n, one in enumerate(dataset.samples)
    ]
    tags = [{"id": n, "name": tag} for n, tag in enumerate(dataset.classes)]
    content = {"images": images, "annotations": boxes, "categories": tags}
    (tmp_path / "corrections.json").write_text(json.dumps(content))
    assert label(root, "first", tmp_path / "out", "--corrected", str(tmp_path / "corrections.json")) == 0
    found = json.loads((tmp_path / "out/boxes.coco.json").read_text())["annotations"]
    assert [one["bbox"] for one in found] == [[10, 12, 20, 22]] * 9
    assert json.loads((tmp_path / "out/model/model.json").read_text())["corrections"][1] == 9


def test_in_python(root, tmp_path):
    found = tb.label(root / "later", tmp_path, model=root / "labels", steps=2, precision="32-true")
    assert {one.label for one in found} <= {"fish"}
    assert tb.load(tmp_path).classes == (*FIRST, *LATER)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["later", "--weights", "none"], "--weights are the model's own with --model"),
        (["later", "--recipe", "small"], "--recipe is the model's own"),
        (["later", "--backbone", "resnet18"], "--backbone is the model's own"),
        (["later", "--crop", "40"], "--crop is the model's own"),
        (["later", "--model", "{root}/absent"], "absent is no folder of a trained model"),
        (["later", "--model", "{root}/model.pth.tar"], "model.pth.tar is no folder of a trained model"),
        (["later", "--model", "{root}/later"], "has no model.json"),
        (
            ["later", "--model", "{root}/cam"],
            "holds a model that is of cam, recipe quick, and only those with a linear probe",
        ),
        (
            ["later", "--out", "{root}/labels", "--overwrite"],
            "holds the model that is gone on with: choose another --out",
        ),
        (["first"], "was made of the same photos of"),
    ],
)
def test_what_cannot_be_gone_on_with_is_said_in_one_sentence(root, tmp_path, capsys, words, said):
    (root / "model.pth.tar").write_bytes(b"")
    if "{root}/cam" in words and not (root / "cam").is_dir():
        how = ["--recipe", "quick_joint", "--method", "cam", "--steps", "1", "--precision", "32-true", "--quiet"]
        main(["train", str(root / "first"), "--out", str(root / "cam"), *NETWORK, *how])
        said = said.replace("recipe quick,", "recipe quick_joint,")
    photos, *more = (word.format(root=root) for word in words)
    assert label(root, photos, tmp_path / "out", *more) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert said in error
    assert error.count("bas: ") == 1
    assert not (tmp_path / "out").exists()
