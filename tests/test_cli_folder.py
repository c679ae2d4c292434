"""What becomes of --out: planned first, one command at a time, never through a link, and as it was after a mistake."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from torchbas.cli import main
from torchbas.cli.folder import MARK, OutputFolder
from torchbas.errors import InputError
from torchbas.io import atomic_write
from torchbas.structures import Dataset

TINY = [
    *("--backbone", "test_resnet", "--weights", "none", "--hidden", "8", "--resize", "32", "--crop", "24"),
    *("--steps", "2", "--batch-size", "8", "--precision", "32-true", "--quiet"),
]
Content = dict[str, tuple[int, bytes] | None]


def content(folder: Path) -> Content:
    """Everything in a folder, with times and bytes."""
    return {
        str(place.relative_to(folder)): None if place.is_dir() else (place.stat().st_mtime_ns, place.read_bytes())
        for place in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def photos(demo_set: Dataset) -> Path:
    return demo_set.root / "train"


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    assert main(["label", str(photos), "--out", str(out), *TINY]) == 0
    return out


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def fails(*words: str | Path) -> None:
    """Run a command that ends with the exit code of the user's mistakes."""
    assert main([str(word) for word in words]) == 2


MISTAKES = {
    "backbone": ["label", "{photos}", "--overwrite", *TINY, "--backbone", "resnet10x"],
    "weights": ["label", "{photos}", "--overwrite", *TINY, "--weights", "absent.pth"],
    "device": ["label", "{photos}", "--overwrite", *TINY, "--device", "cuda:7"],
    "cut": ["label", "{photos}", "--overwrite", *TINY, "--cut", "absent"],
    "method": ["train", "{photos}", "--overwrite", *TINY, "--method", "has"],
    "settings": ["label", "{photos}", "--resume", *TINY, "--lr", "0.5"],
    "photos": ["label", "absent", "--overwrite", *TINY],
    "broken photos": ["label", "{broken}", "--overwrite", *TINY],
    "model": ["predict", "{photos}", "--overwrite", "--model", "absent"],
    "tags": ["predict", "{photos}", "--overwrite", "--model", "{run}", "--tags", "absent"],
    "min score": ["predict", "{photos}", "--overwrite", "--model", "{run}", "--min-score", "7"],
    "predicted photos": ["predict", "{broken}", "--overwrite", "--model", "{run}"],
    "evaluated model": ["eval", "{truth}", "--overwrite", "--model", "absent"],
    "evaluated photos": ["eval", "absent", "--overwrite", "--model", "{run}"],
    "maps": ["eval", "{truth}", "--overwrite", "--maps", "{broken}"],
    "labels": ["eval", "{truth}", "--overwrite", "--labels", "{broken}"],
    "analyzed file": ["analyze", "iou", "{broken}/cat/words.jpg", "--overwrite"],
    "demo's device": ["demo", "--overwrite", "--device", "cuda:7"],
    "seeds": ["segment", "{photos}", "--seeds", "{broken}", "--until", "seed"],
    "segment's device": ["segment", "{photos}", "--seeds", "{broken}", "--until", "seed", "--device", "cuda:7"],
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_leaves_the_folder_as_it_was(mistake, run, photos, tmp_path):
    broken = tmp_path / "broken"
    for tag in ("cat", "dog"):
        (broken / tag).mkdir(parents=True)
        (broken / tag / "words.jpg").write_text("no photo")
    places = {"photos": photos, "broken": broken, "run": run, "truth": photos.parent}
    words = [word.format_map(places) for word in MISTAKES[mistake]]
    if words[0] == "segment":  # whose folder may hold no model
        shutil.rmtree(run / "model")
    before = content(run)
    fails(*words, "--out", run)
    assert content(run) == before
    if "--resume" not in words:
        fails(*[word for word in words if word != "--overwrite"], "--out", tmp_path / "new/deep")
        assert not (tmp_path / "new").exists()


def test_other_settings_leave_a_stopped_run_as_it_was(photos, tmp_path, monkeypatch):
    out = tmp_path / "run"
    words = ["train", str(photos), "--out", str(out), *TINY, "--save-every", "1"]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("torchbas.methods.trained.TrainedModel.save", stop)
        assert main(words) == 130
    before = content(out)
    assert "checkpoint.pt" in before
    fails(*words, "--resume", "--lr", "0.5")
    assert content(out) == before
    assert main([*words, "--resume"]) == 0


def test_one_missing_heatmap_leaves_the_scores_of_before(demo_set, tmp_path):
    maps, out = tmp_path / "maps", tmp_path / "scores"
    names = [sample.name for sample in demo_set.samples if sample.split == "test"]
    for name in names:
        (maps / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(maps / f"{name}.npy", np.zeros((224, 224), np.float32))
    words = ["eval", str(demo_set.root), "--maps", str(maps), "--out", str(out), "--quiet"]
    assert main(words) == 0
    before = content(out)
    (maps / f"{names[-1]}.npy").unlink()
    fails(*words, "--overwrite")
    assert {name: content(out)[name] for name in before} == before


def test_stages_of_other_settings_leave_run_json(demo_set, finished, tmp_path):
    out = tmp_path / "out"
    words = ["segment", demo_set.root / "train", "--model", finished, "--out", out, "--quiet", "--refine", "crf"]
    words += ["--until", "refine", "--device", "cpu", "--scales", "1.0"]
    assert main([str(word) for word in words]) == 0
    before = content(out)
    fails(*words, "--cam-eval-thres", "0.4")
    assert content(out) == before


HOLD = """
import sys, time
from pathlib import Path
from torchbas.cli.folder import OutputFolder
folder = OutputFolder(Path(sys.argv[1]), overwrite=True, resume=True)
folder.begin()
print("begun", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(run: Path):
    """Another command that works in the folder."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


@pytest.mark.parametrize("flag", ["--overwrite", "--resume"])
def test_one_command_at_a_time_works_in_a_folder(flag, holder, run, photos, capsys):
    words = ["label", str(photos), "--out", str(run), *TINY, flag]
    before = content(run)
    assert main(words) == 2
    assert "in use by another command" in capsys.readouterr().err
    assert content(run) == before
    holder.kill()
    holder.wait()
    OutputFolder(run, overwrite=True).close()  # the dead keep nothing


def test_of_two_that_make_a_folder_one_comes_second(tmp_path):
    out = tmp_path / "out"
    second = OutputFolder(out, overwrite=False)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        first.stdout.readline()
        with pytest.raises(InputError, match="in use by another command"):
            second.begin()
        second.close()
        assert (out / MARK).is_file()
        first.kill()


@pytest.mark.parametrize("process", ["0", "1"])
def test_of_several_processes_the_first_one_looks_after_the_folder(process, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", process)
    folder = OutputFolder(tmp_path / "out", overwrite=False)
    folder.begin()
    assert (tmp_path / "out").exists() == (process == "0")
    folder.close()
    assert not (tmp_path / "out").exists()


LINKS = ["masks", "index.html", "model/log.csv", "boxes.coco.json", "model", MARK]


@pytest.mark.parametrize("link", LINKS)
def test_nothing_is_written_or_removed_behind_a_link(link, run, photos, tmp_path, capsys):
    mine = tmp_path / "mine"
    shutil.copytree(run / link, mine) if (run / link).is_dir() else shutil.copy(run / link, mine)
    shutil.rmtree(run / link) if (run / link).is_dir() else (run / link).unlink()
    (run / link).symlink_to(mine)
    before = content(tmp_path)
    fails("label", photos, "--out", run, *TINY, "--overwrite")
    assert f"{run / link} is a link" in capsys.readouterr().err
    assert content(tmp_path) == before


def test_the_folder_itself_may_be_a_link(finished, photos, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    words = ["predict", str(photos), "--model", str(finished), "--out", str(tmp_path / "out"), "--quiet"]
    assert main(words) == 0
    assert main([*words, "--overwrite"]) == 0
    assert (tmp_path / "real/run.json").is_file()


def test_what_killed_processes_have_begun_is_removed(finished, photos, tmp_path):
    out = tmp_path / "out"
    words = ["predict", str(photos), "--model", str(finished), "--out", str(out), "--quiet"]
    assert main(words) == 0
    with atomic_write(out / "masks/deep/0001.png") as partial:
        partial.touch()
    partial.touch()
    (out / ".mine.partial").touch()
    assert main([*words, "--overwrite"]) == 0
    assert not partial.exists()
    assert (out / ".mine.partial").exists()


def test_an_empty_folder_of_the_user_stays_empty(photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    fails("label", photos, "--out", out, *TINY, "--backbone", "resnet10x")
    assert list(out.iterdir()) == []


def test_a_folder_deleted_meanwhile_is_named(tmp_path):
    folder = OutputFolder(tmp_path / "out", overwrite=False)
    folder.begin()
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(InputError, match="out was deleted while this command wrote to it"):
        folder.begin()
    folder.close()


def test_where_nothing_was_written_nothing_is_left(tmp_path):
    folder = OutputFolder(tmp_path / "new/out", overwrite=False)
    folder.begin()
    (tmp_path / "new/out/model").mkdir()
    folder.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(run, photos, capsys):
    (run / MARK).chmod(0o400)
    fails("label", photos, "--out", run, *TINY, "--overwrite")
    assert "cannot be written" in capsys.readouterr().err


def test_a_manifest_is_whole(finished):
    assert json.loads((finished / "run.json").read_text())["command"] == "label"
