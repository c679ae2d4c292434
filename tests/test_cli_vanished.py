"""Photos that vanish or break between two stages of a command: named, left out, and the rest is done."""

import json
import shutil

import pytest
from test_cli import TINY, boxes

from torchbas.cli import main
from torchbas.cli.job import Job


@pytest.mark.parametrize("before", ["train", "label", "write"])
@pytest.mark.parametrize("f1", ["cached", "frozen"])
def test_label_leaves_out_what_vanishes_and_does_the_rest(photos, tmp_path, capsys, monkeypatch, before, f1):
    first, second, *_ = sorted(photos.rglob("*.*"))
    stage = getattr(Job, before)

    def lose_two(*given, **words):
        first.unlink(missing_ok=True)
        second.write_bytes(b"no photo")
        return stage(*given, **words)

    monkeypatch.setattr(Job, before, lose_two)
    assert main(["label", str(photos), "--out", str(tmp_path / "out"), *TINY[:-1], "--f1", f1]) == 0
    names = {one.relative_to(photos).as_posix() for one in (first, second)}
    content = json.loads((tmp_path / "out/run.json").read_text("utf-8"))
    said = capsys.readouterr().err
    found = {name for name, _ in boxes(tmp_path / "out")}
    if before == "write":  # their boxes were found by then
        assert (content["photos"], content["problems"]) == (18, [])
        return
    assert {problem["name"] for problem in content["problems"]} == names
    assert content["photos"] == 16
    assert not names & found
    for name in names:
        assert said.count(f"{name}: it could be read when this began. It is left out from here on.") == 1


def test_predict_leaves_out_what_vanishes(photos, tmp_path, capsys, monkeypatch):
    assert main(["label", str(photos), "--out", str(tmp_path / "out"), *TINY]) == 0
    first = min(photos.rglob("*.*"))
    localize = Job.localize

    def lose_one(*given):
        first.unlink()
        return localize(*given)

    monkeypatch.setattr(Job, "localize", lose_one)
    words = ["predict", str(photos), "--model", str(tmp_path / "out"), "--tags", "predicted", "--min-score", "0"]
    assert main([*words, "--out", str(tmp_path / "new")]) == 0
    assert "it could be read when this began" in capsys.readouterr().err
    content = json.loads((tmp_path / "new/run.json").read_text("utf-8"))
    assert (content["photos"], len(content["problems"])) == (17, 1)


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def stopped(monkeypatch, words: list[str]) -> None:
    """Run a command that is stopped after its last step, before the model is saved."""
    with monkeypatch.context() as patch:
        patch.setattr("torchbas.methods.trained.TrainedModel.save", stop)
        assert main([*words, "--save-every", "1"]) == 130


@pytest.mark.parametrize("command", ["label", "train"])
def test_a_stopped_run_goes_on_though_photos_are_gone(photos, tmp_path, capsys, monkeypatch, command):
    out = tmp_path / "out"
    words = [command, str(photos), "--out", str(out), *TINY[:-1]]
    stopped(monkeypatch, words)
    first, second, *_ = sorted(photos.rglob("*.*"))
    last_tag = max(folder for folder in photos.iterdir())
    lost = {first, second, *last_tag.iterdir()}
    names = {one.relative_to(photos).as_posix() for one in lost}
    first.unlink()
    second.write_bytes(b"no photo")
    shutil.rmtree(last_tag)
    capsys.readouterr()
    assert main([*words, "--save-every", "1", "--resume"]) == 0
    said = capsys.readouterr().err
    for name in names:
        assert said.count(f"{name}: it could be read when this began. It is left out from here on.") == 1
    content = json.loads((out / "run.json").read_text("utf-8"))
    assert {problem["name"] for problem in content["problems"]} == names
    card = json.loads(next(out.rglob("model.json")).read_text("utf-8"))
    assert last_tag.name in card["classes"]
    assert not list(out.rglob("photos.json"))
    if command == "label":
        assert content["photos"] == 18 - len(lost)
        assert not names & {name for name, _ in boxes(out)}


def test_other_photos_are_other_data_and_a_damaged_list_is_said(photos, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    words = ["train", str(photos), "--out", str(out), *TINY[:-1]]
    stopped(monkeypatch, words)
    first, second, *_ = sorted(photos.rglob("*.*"))
    first.unlink()
    added = second.with_name("added.jpg")
    shutil.copy(second, added)
    assert main([*words, "--save-every", "1", "--resume"]) == 2
    assert "other settings or data" in " ".join(capsys.readouterr().err.split())
    added.unlink()
    whole = (out / "photos.json").read_text("utf-8")
    for damaged in (whole[:40], "[]", '{"classes": [], "photos": {"a.jpg": [["tag"], ""]}}', '{"classes": [3]}'):
        (out / "photos.json").write_text(damaged, encoding="utf-8")
        assert main([*words, "--save-every", "1", "--resume"]) == 2
        assert "photos.json" in capsys.readouterr().err
    (out / "photos.json").write_text(whole, encoding="utf-8")
    assert main([*words, "--save-every", "1", "--resume"]) == 0


def test_a_photo_that_its_list_leaves_out_is_other_data(photos, tmp_path, capsys, monkeypatch):
    rows = [f"{one.relative_to(photos).as_posix()},{one.parent.name}" for one in sorted(photos.rglob("*.*"))]
    table = photos / "tags.csv"
    table.write_text("\n".join(["file,tags", *rows]), encoding="utf-8")
    words = ["train", str(table), "--out", str(tmp_path / "out"), *TINY[:-1]]
    stopped(monkeypatch, words)
    table.write_text("\n".join(["file,tags", *rows[1:]]), encoding="utf-8")
    assert main([*words, "--save-every", "1", "--resume"]) == 2
    assert "other settings or data" in " ".join(capsys.readouterr().err.split())
