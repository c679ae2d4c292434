"""--out: one command at a time, nothing through a link, nothing left where nothing was written."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from torchbas.cli.folder import MARK, OutputFolder
from torchbas.errors import InputError
from torchbas.io import MANIFEST, partial_of

HOLD = """
import sys, time
from pathlib import Path
from torchbas.cli.folder import OutputFolder
folder = OutputFolder(Path(sys.argv[1]), overwrite=True, resume=True)
folder.begin()
print("begun", flush=True)
time.sleep(600)
"""


@contextmanager
def another_command(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that works in the folder, and is killed."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a finished command has left."""
    run = tmp_path / "run"
    (run / "masks/deep").mkdir(parents=True)
    for name in (MARK, MANIFEST, "index.html", "masks/deep/1.png", "model.json"):
        (run / name).write_text(name)
    return run


def content(folder: Path) -> dict[str, str | None]:
    """Everything in a folder."""
    places = sorted(folder.rglob("*"))
    return {str(place.relative_to(folder)): None if place.is_dir() else place.read_text() for place in places}


def test_nothing_is_removed_before_the_work_begins_and_then_only_what_is_replaced(run):
    before = content(run)
    folder = OutputFolder(run, overwrite=True)
    assert content(run) == before
    folder.begin(MANIFEST, "masks", "*.html")
    assert set(content(run)) == {MARK, "model.json"}
    folder.close()
    assert folder.kept
    assert set(content(run)) == {MARK, "model.json"}


def test_work_that_goes_on_keeps_all_but_the_manifest(run):
    before = content(run)
    folder = OutputFolder(run, overwrite=True, resume=True)
    folder.begin(MANIFEST, "masks")
    folder.close()
    assert set(before) - set(content(run)) == {MANIFEST}


@pytest.mark.parametrize("overwrite", [True, False])
def test_one_command_at_a_time_works_in_a_folder(overwrite, run):
    with another_command(run):
        before = content(run)
        with pytest.raises(InputError, match="run is in use by another command"):
            OutputFolder(run, overwrite=overwrite, resume=True)
        assert content(run) == before
    OutputFolder(run, overwrite=True).close()  # the dead keep nothing


def test_of_two_that_make_a_folder_one_comes_second(tmp_path):
    out = tmp_path / "out"
    second = OutputFolder(out, overwrite=False)
    with another_command(out):
        with pytest.raises(InputError, match="in use by another command"):
            second.begin()
        second.close()
        assert (out / MARK).is_file()


@pytest.mark.parametrize("process", ["0", "1"])
def test_of_several_processes_the_first_one_looks_after_the_folder(process, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", process)
    folder = OutputFolder(tmp_path / "out", overwrite=False)
    folder.begin()
    assert (tmp_path / "out").exists() == (process == "0")
    folder.close()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("link", [MARK, MANIFEST, "index.html", "masks", "masks/deep", "masks/deep/1.png"])
def test_nothing_is_written_or_removed_behind_a_link(link, run, tmp_path):
    (run / link).rename(tmp_path / "mine")
    (run / link).symlink_to(tmp_path / "mine")
    before = content(tmp_path)
    with pytest.raises(InputError, match=f"{run / link} is a link"):
        OutputFolder(run, overwrite=True)
    assert content(tmp_path) == before


def test_a_link_to_nothing_is_a_link(run):
    (run / "gone").symlink_to("nowhere")
    with pytest.raises(InputError, match="gone is a link"):
        OutputFolder(run, overwrite=True)


def test_the_folder_itself_may_be_a_link(run, tmp_path):
    (tmp_path / "out").symlink_to(run)
    folder = OutputFolder(tmp_path / "out", overwrite=True)
    folder.begin(MANIFEST, "masks", "index.html")
    folder.close()
    assert set(content(run)) == {MARK, "model.json"}


def test_what_killed_processes_have_begun_is_removed(run):
    left = [partial_of(run / name) for name in ("run.json", "masks/deep/1.png")]
    for place in left:
        place.touch()
    (run / ".mine.partial").touch()
    folder = OutputFolder(run, overwrite=True)
    assert all(place.exists() for place in left)
    folder.begin()
    folder.close()
    assert not any(place.exists() for place in left)
    assert (run / ".mine.partial").exists()


def test_a_folder_deleted_meanwhile_is_named(tmp_path):
    folder = OutputFolder(tmp_path / "out", overwrite=False)
    folder.begin()
    for place in (tmp_path / "out" / MARK, tmp_path / "out"):
        place.unlink() if place.is_file() else place.rmdir()
    with pytest.raises(InputError, match="out was deleted while this command wrote to it"):
        folder.begin()
    folder.close()


@pytest.mark.parametrize("there", [True, False])
def test_where_nothing_was_written_nothing_is_left(there, tmp_path):
    out = tmp_path / "new/out"
    if there:
        out.mkdir(parents=True)
    folder = OutputFolder(out, overwrite=False)
    folder.begin()
    (out / "model/deep").mkdir(parents=True)
    folder.close()
    assert not folder.kept
    assert [*tmp_path.rglob("*")] == ([out.parent, out] if there else [])


@pytest.mark.parametrize("name", ["n" * 5000, "f/out"])
def test_a_folder_that_cannot_be_is_named(name, tmp_path):
    (tmp_path / "f").touch()
    with pytest.raises(InputError, match="cannot be written"):
        OutputFolder(tmp_path / name, overwrite=False).begin()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(run):
    (run / MARK).chmod(0o400)
    with pytest.raises(InputError, match="cannot be written"):
        OutputFolder(run, overwrite=True)
