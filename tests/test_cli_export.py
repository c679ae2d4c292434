"""bas export: an earlier run's results for other tools, without the model; a mistake leaves everything as it was."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from findings import three
from test_cli_folder import content

from torchbas.cli import main
from torchbas.cli.folder import MARK
from torchbas.export.results import save
from torchbas.io import write_manifest


@pytest.fixture
def labels(tmp_path) -> Path:
    """Photos in ``photos/`` and what a command has found in them."""
    (tmp_path / "photos").mkdir()
    save(three(tmp_path / "photos"), tmp_path / "labels", ["coco"])
    write_manifest(tmp_path / "labels", {"photo_folder": "../photos"})
    (tmp_path / "labels" / MARK).touch()
    return tmp_path / "labels"


def export(*words: str | Path) -> int:
    return main(["export", *map(str, words), "--quiet"])


def test_formats_are_written_and_described(labels, tmp_path, capsys):
    out = tmp_path / "out"
    assert export(labels, "--out", out, "--format", "cvat", "yolo", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["photos"], answer["objects"], answer["objects_per_tag"]["cat"]) == (3, 3, 1)
    assert {place.name for place in out.iterdir()} == {MARK, "run.json", "boxes.cvat.xml", "masks.cvat.xml", "yolo"}
    assert json.loads((out / "run.json").read_text())["photo_folder"] == "../photos"


def test_what_was_exported_is_exported_again(labels, tmp_path):
    assert export(labels, "--out", tmp_path / "a", "--format", "coco") == 0
    assert export(tmp_path / "a", "--out", tmp_path / "b", "--format", "coco", "yolo") == 0
    assert (tmp_path / "b/masks.coco.json").read_bytes() == (labels / "masks.coco.json").read_bytes()


def test_an_earlier_export_is_replaced_only_on_request(labels, tmp_path, capsys):
    out = tmp_path / "out"
    assert export(labels, "--out", out, "--format", "cvat") == 0
    before = content(out)
    assert export(labels, "--out", out, "--format", "voc-xml") == 2
    assert "holds a finished run" in capsys.readouterr().err
    assert content(out) == before
    assert export(labels, "--out", out, "--format", "voc-xml", "--overwrite") == 0
    assert {place.name for place in out.iterdir()} == {MARK, "run.json", "Annotations"}


MISTAKES = {
    "no folder": (["{absent}", "--out", "{new}", "--format", "cvat"], "does not exist"),
    "no results": (["{photos}", "--out", "{new}", "--format", "cvat"], "holds no results"),
    "its own folder": (["{labels}", "--out", "{labels}", "--format", "cvat", "--overwrite"], "one inside the other"),
    "inside it": (["{labels}", "--out", "{labels}/new", "--format", "cvat"], "one inside the other"),
    "above the file": (
        ["{labels}/masks.coco.json", "--out", "{labels}", "--format", "cvat", "--overwrite"],
        "one inside the other",
    ),
    "no format": (["{labels}", "--out", "{new}", "--format"], "--format names no format"),
    "among the photos": (["{labels}", "--out", "{photos}/new", "--format", "yolo"], "lies inside"),
    "no photos": (["{labels}", "--out", "{new}", "--format", "yolo", "--photos", "{absent}"], "is no folder"),
    "other photos": (["{labels}", "--out", "{new}", "--format", "yolo", "--photos", "{labels}"], "is not there"),
    "another JSON": (["{labels}/run.json", "--out", "{new}", "--format", "cvat"], "is not understood"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_changes_nothing(mistake, labels, tmp_path, capsys):
    places = {name: tmp_path / name for name in ("labels", "photos", "new", "absent")}
    words, said = MISTAKES[mistake]
    before = {place.relative_to(tmp_path): place.stat().st_mtime_ns for place in tmp_path.rglob("*")}
    assert export(*(word.format_map(places) for word in words)) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert {place.relative_to(tmp_path): place.stat().st_mtime_ns for place in tmp_path.rglob("*")} == before
    assert labels.is_dir()


def test_photos_are_not_needed_where_none_is_copied(labels, tmp_path, capsys):
    (tmp_path / "photos/a.jpg").unlink()
    assert export(labels, "--out", tmp_path / "out", "--format", "cvat", "label-studio", "voc-xml", "voc", "coco") == 0
    assert export(labels, "--out", tmp_path / "yolo", "--format", "yolo") == 2
    assert "photos/a.jpg is not there: give the folder" in capsys.readouterr().err


def test_it_needs_no_torch(labels, tmp_path):
    words = ["export", str(labels), "--out", str(tmp_path / "out"), "--format", "cvat", "--quiet"]
    program = f"import sys; from torchbas.cli import main; main({words}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
