"""A format that cannot be written is refused before anything is trained, computed or removed."""

from types import SimpleNamespace

import pytest

from torchbas import api
from torchbas.cli import main
from torchbas.cli.folder import MARK


@pytest.fixture
def many(tmp_path):
    """A folder of 255 tags with an empty photo each: whoever opens one has begun to work."""
    for n in range(255):
        (tmp_path / f"photos/{n}").mkdir(parents=True)
        (tmp_path / f"photos/{n}/1.jpg").touch()
    return tmp_path / "photos"


@pytest.fixture
def old(tmp_path):
    """A finished run."""
    (tmp_path / "out").mkdir()
    for name in (MARK, "run.json", "index.html"):
        (tmp_path / "out" / name).touch()
    return tmp_path / "out"


@pytest.mark.parametrize(
    "words",
    [
        ["label", "--overwrite"],
        ["label", "--overwrite", "--format", "coco", "voc"],
        ["predict", "--overwrite", "--model", "run"],
        ["segment", "--model", "run", "--format", "voc"],
    ],
)
def test_more_tags_than_a_format_holds_leave_the_old_run_alone(many, old, words, monkeypatch, capsys):
    monkeypatch.setattr(api, "load", lambda _: SimpleNamespace(classes=tuple(map(str, range(255)))))
    assert main([words[0], str(many), "--out", str(old), *words[1:]]) == 2
    said = capsys.readouterr().err
    assert 'the format "voc" holds 254 classes, but there are 255. Choose among the others: --format coco' in said
    assert {file.name for file in old.iterdir()} == {MARK, "run.json", "index.html"}
