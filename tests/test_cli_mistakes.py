"""A command that ends with the exit code of a mistake leaves --out as it was."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from torchbas.cli import main
from torchbas.structures import Dataset

TINY = [
    *("--backbone", "test_resnet", "--weights", "none", "--hidden", "8", "--resize", "40", "--crop", "36"),
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
    try:
        code = main([str(word) for word in words])
    except SystemExit as end:  # a flag that cannot be understood
        code = end.code
    assert code == 2


MISTAKES = {
    "backbone": ["label", "{photos}", "--overwrite", *TINY, "--backbone", "resnet10x"],
    "weights": ["label", "{photos}", "--overwrite", *TINY, "--weights", "absent.pth"],
    "device": ["label", "{photos}", "--overwrite", *TINY, "--device", "cuda:7"],
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
