"""Photos that vanish or break between two stages of a command: named, left out, and the rest is done."""

import json
import shutil

import pytest
from test_cli import TINY, boxes

from torchbas.cli import main
from torchbas.cli.job import Job


@pytest.fixture
def photos(demo_set, tmp_path):
    """Photos by tag."""
    for sample in demo_set.only("train").samples:
        folder = tmp_path / "photos" / demo_set.classes[sample.labels[0]]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.path, folder)
    return tmp_path / "photos"


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
