"""Photos that show none of the tags, on the command line: hints, words that are kept, and a run of one tag."""

import json

import pytest
from test_cli import TINY, boxes, refused

import torchbas as tb
from torchbas.cli import main
from torchbas.data import make_demo_dataset


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A bare folder of drawn fish, of drawings that stand for good parts, and of some in ``_background``."""
    root = tmp_path_factory.mktemp("parts")
    drawn = make_demo_dataset(root / "drawn", 4, 1, size=64).only("train")
    for sample in drawn.samples:
        tag = {"fish": "fish", "snail": "good", "leaf": "_background"}.get(sample.path.parent.name)
        if tag:
            (root / "photos" / tag).mkdir(parents=True, exist_ok=True)
            sample.path.rename(root / "photos" / tag / sample.path.name)
    return root / "photos"


def _checked(capsys, *words):
    assert main(["check", *map(str, words), "--no-estimate", "--json"]) == 0
    said = capsys.readouterr()
    return json.loads(said.out), " ".join(said.err.split())


def test_check_counts_background_photos_and_names_tags_that_sound_like_them(parts, capsys):
    answer, said = _checked(capsys, parts)
    assert (answer["tags"], answer["untagged"]) == ({"fish": 4, "good": 4}, 4)
    hint = 'tag "good": if its photos show none of the other tags, add --background good.'
    assert answer["hints"] == [hint]
    assert "background photos: 4" in said
    assert hint in said
    answer, said = _checked(capsys, parts, "--background", "good")
    assert (answer["tags"], answer["untagged"], answer["hints"]) == ({"fish": 4}, 8, [])
    assert "background photos: 8" in said
    assert f"bas label {parts} --background good --out FOLDER" in said


def test_check_says_what_label_would_refuse_and_how_to_mend_it(parts, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/fish").symlink_to(parts / "fish")
    answer, said = _checked(capsys, tmp_path / "photos")
    sentence = refused(capsys, "label", tmp_path / "photos", "--out", tmp_path / "out", *TINY)
    assert sentence == f"bas: {answer['refused']}"
    assert f"bas label will refuse these photos: {answer['refused']}" in said
    assert "_background" in answer["refused"]


def test_label_learns_one_tag_from_the_photos_without_it_and_keeps_the_words(parts, tmp_path, capsys):
    words = ["label", str(parts), "--background", "good", "--out", str(tmp_path / "out"), *TINY[:-1]]
    assert TINY[-1] == "--quiet"
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "\n8 photos without a tag: learned as background\n" in said
    assert "With --weights none this recipe's network stays random" in " ".join(said.split())
    content = json.loads((tmp_path / "out/run.json").read_text("utf-8"))
    assert content["words"]["background"] == ["good"]
    assert tb.load(tmp_path / "out").classes == ("fish",)
    assert {name.partition("/")[0] for name, _ in boxes(tmp_path / "out")} <= {"fish"}
    other = words[:2] + words[4:]
    assert "other settings or data" in refused(capsys, *other, "--resume")


def test_label_says_where_photos_without_a_tag_are_left_out(parts, tmp_path, capsys):
    words = ["train", str(parts), "--out", str(tmp_path / "run"), "--recipe", "quick_joint", *TINY[:-1]]
    assert main([*words, "--classifier-steps", "2"]) == 0
    assert "\n4 photos have no tag and are left out\n" in capsys.readouterr().err


def test_a_model_with_background_tags_is_scored_and_predicts_on_the_photos_it_learned(parts, tmp_path, capsys):
    run, photos = tmp_path / "run", tmp_path / "photos"
    photos.mkdir()
    for tag in ("fish", "good"):
        (photos / tag).symlink_to(parts / tag)
    words = [str(photos), "--background", "good"]
    assert main(["train", *words, "--out", str(run), *TINY[:-1]]) == 0
    assert f"bas eval {photos} --background good --model {run}" in " ".join(capsys.readouterr().err.split())
    truth = {sample.name: {"boxes": [[0, 0, 9, 9]]} for sample in tb.data.read(photos).samples}
    (photos / "truth.json").write_text(json.dumps(truth))
    assert main(["eval", *words, "--model", str(run), "--no-ten-crop", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 4
    out = ["--out", str(tmp_path / "out"), "--tags", "known", "--quiet", "--format", "coco", "--json"]
    assert main(["predict", *words, "--model", str(run), *out]) == 0
    assert json.loads(capsys.readouterr().out)["photos"] == 8
    assert 'does not know the tag "good"' in refused(capsys, "eval", photos, "--model", run, "--quiet")


def test_an_unknown_background_tag_is_refused_before_any_work(parts, tmp_path, capsys):
    for command in ("label", "train"):
        words = [command, parts, "--out", tmp_path / "out", "--background", "god", "--weights", "none"]
        assert refused(capsys, *words).endswith('has no tag "god"; it has fish, good.')
    assert not (tmp_path / "out").exists()


def test_python_takes_the_same_words(parts, recipe, tmp_path):
    found = tb.label(parts, tmp_path, background="good", recipe=recipe, weights=False, compute=tb.api.Compute("cpu"))
    assert {one.label for one in found} <= {"fish"}
    assert tb.load(tmp_path).classes == ("fish",)
