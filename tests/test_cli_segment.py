"""bas segment for a new user: mistakes, a whole job on discs, stopped and killed; bas eval --labels."""

import json
import multiprocessing
import shutil
import signal
from pathlib import Path

import discs
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from torchbas import data
from torchbas.cli import main
from torchbas.cli.progress import Stage
from torchbas.data import paint, read_mask
from torchbas.export.voc import write_labels
from torchbas.wsss import pipeline

TRAIN = "--backbone test_resnet --weights none --hidden 16 --resize 64 --crop 48 --steps 4 --precision 32-true --quiet"
BAS = TRAIN
TINY = [
    *("--segmenter-network", "deeplabv2_tiny", "--segmenter-weights", "none", "--scales", "0.5", "--quiet"),
    *("--segmenter.steps", "2", "--segmenter.crop", "33"),
    *("--irn-weights", "none", "--irn.crop", "48", "--irn.steps", "2"),
]
QUICK = [*TINY, "--refine", "none"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(pipeline, "BACKBONE", "test_resnet")


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    return discs.draw(tmp_path_factory.mktemp("voc"), 5, val=2).root.parent


@pytest.fixture(scope="module")
def bas(samples, tmp_path_factory) -> Path:
    """A run of bas train."""
    out = tmp_path_factory.mktemp("runs") / "bas"
    assert main(["train", str(samples), "--out", str(out), *BAS.split()]) == 0
    return out


@pytest.fixture(scope="module")
def seeds(samples, tmp_path_factory) -> Path:
    return discs.seeds_of(data.read(samples), tmp_path_factory.mktemp("seeds") / "blurred")


def refused(capsys, *words: str | Path) -> str:
    """What is said when a command ends with the exit code of the user's mistakes: one line."""
    assert main([str(word) for word in words]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("bas: ")
    return said


def ran(*words: str | Path) -> None:
    assert main([str(word) for word in words]) == 0


def test_from_a_model_to_predictions_and_where_to_find_them(samples, bas, tmp_path, capsys):
    out = tmp_path / "out"
    words = [word for word in TINY if word != "--quiet"]
    ran("segment", samples, "--model", bas, "--out", out, "--objects", "instances", *words)
    said = " ".join(capsys.readouterr().err.split())
    for place in ("masks", "instances/instances.coco.json", "predictions", "run.json"):
        assert str(out / place).replace(" ", "") in said.replace(" ", "")
        assert (out / place).exists()
    manifest = json.loads((out / "run.json").read_text())
    assert set(manifest["scores"]) == {"seed", "masks", "segmenter_val"}
    assert manifest["words"]["model"] == [str(bas)]
    ran("segment", samples, "--model", bas, "--out", out, "--objects", "instances", "--json", *TINY)
    assert json.loads(capsys.readouterr().out)["scores"] == manifest["scores"]


def test_tags_alone_end_with_a_segmenter_and_say_that_nothing_is_predicted(samples, bas, tmp_path, capsys):
    root = tmp_path / "photos"
    for sample in data.read(samples).samples:
        tag = discs.CLASSES[sample.labels[0]]
        (root / tag).mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.path, root / tag)
    words = [word for word in QUICK if word != "--quiet"]
    ran("segment", root, "--model", bas, "--out", tmp_path / "out", *words)
    assert "Nothing is predicted without a split val or test" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "out/segmenter/model.json").is_file()


def test_the_masks_come_out_as_what_bas_label_writes(samples, bas, tmp_path, capsys):
    out = tmp_path / "out"
    ran("segment", samples, "--model", bas, "--out", out, "--until", "refine", "--json", *QUICK)
    answer = json.loads(capsys.readouterr().out)
    assert {one["tag"] for one in answer["tags"]} <= set(discs.CLASSES)
    assert (out / "index.html").stat().st_size > 1000
    content = json.loads((out / "masks.coco.json").read_text())
    names = {one["id"]: one["file_name"] for one in content["images"]}
    assert sorted(names.values()) == [f"train_{n}.png" for n in range(5)]
    drawn = {}
    for one in content["annotations"]:
        mask = coco_mask.decode(one["segmentation"]).astype(bool)
        rows, columns = np.nonzero(mask)
        left, top = columns.min(), rows.min()
        assert one["bbox"] == [left, top, columns.max() + 1 - left, rows.max() + 1 - top]
        labels = drawn.setdefault(names[one["image_id"]], np.zeros(mask.shape, np.uint8))
        labels[mask] = 1 + discs.CLASSES.index(content["categories"][one["category_id"] - 1]["name"])
    assert drawn
    for name, labels in drawn.items():
        ours = read_mask(out / "masks" / Path(name).with_suffix(".png"))
        assert ((ours != labels) & (labels > 0)).sum() == 0
        assert ((ours != labels).mean()) < 0.02  # specks


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give --model, a run of: bas train"),
        (["--model", "nowhere"], "nowhere is no folder of a model"),
        (["--model", "{samples}"], "has no model.json"),
        (["--model", "{bas}", "--foreground", "{bas}"], "has a map for each class: train one with --class-agnostic"),
        (["--seeds", "nowhere"], "--seeds nowhere is no folder"),
        (["--seeds", "{samples}"], "is missing: make the seeds again"),
        (["--seeds", "{seeds}", "--cam-eval-thres", "image_specific"], "image_specific needs a BAS model"),
        (["--model", "{bas}", "--device", "cuda:77"], "--device cuda:77 cannot be used here"),
        (["--model", "{bas}", "--segmenter-weights", "no.pth"], "--segmenter-weights no.pth is no file"),
        (["--model", "{bas}", "--images", "nowhere"], "nowhere"),
        (
            ["--seeds", "{seeds}", "--segmenter-initialization", "coco_segmentation", "--segmenter-weights", "auto"],
            "fetched",
        ),
    ],
)
def test_a_mistake_is_one_sentence(samples, bas, seeds, tmp_path, capsys, words, sentence):
    filled = [word.format(samples=samples, bas=bas, seeds=seeds) for word in words]
    assert sentence in refused(capsys, "segment", samples, "--out", tmp_path / "out", *QUICK, *filled)
    assert not (tmp_path / "out/masks").exists()


def test_results_go_neither_among_the_photos_nor_where_nothing_can_be_written(samples, bas, tmp_path, capsys):
    assert "choose another --out" in refused(capsys, "segment", samples, "--model", bas, "--out", samples / "out")
    assert "holds a model" in refused(capsys, "segment", samples, "--model", bas, "--out", bas)
    assert (bas / "run.json").is_file()
    (tmp_path / "file").touch()
    words = ["segment", samples, "--model", bas, "--out", tmp_path / "file/out", *QUICK]
    assert "cannot be written" in refused(capsys, *words)


def test_models_of_other_classes_are_refused(samples, bas, tmp_path, capsys):
    for tag in ("red", "yellow"):
        (tmp_path / "other" / tag).mkdir(parents=True)
        Image.new("RGB", (20, 20), tag).save(tmp_path / "other" / tag / "1.png")
    other = tmp_path / "run"
    ran("train", tmp_path / "other", "--out", other, *BAS.split())
    words = ["segment", samples, "--out", tmp_path / "out", *QUICK, "--model"]
    assert "was trained with other classes (red, yellow" in refused(capsys, *words, other)
    assert "have other classes: train both on the same data" in refused(capsys, *words, bas, other)


def test_bas_chooses_the_thresholds_of_another_method_s_seeds(samples, bas, seeds, tmp_path, capsys):
    words = ["segment", samples, "--seeds", seeds, "--cam-eval-thres", "image_specific", "--out", tmp_path / "out"]
    words += QUICK
    ran(*words, "--threshold-model", bas, "--until", "refine")
    assert (tmp_path / "out/thresholds").is_dir()
    assert [path.name for path in (tmp_path / "out/seeds").iterdir()] == [seeds.name]
    other = tmp_path / "other"
    ran("train", samples, "--out", other, *BAS.split(), "--seed", "1")
    for until in ("seed", "refine"):  # another model, other thresholds
        assert "other settings" in refused(capsys, *words, "--threshold-model", other, "--until", until)
    ran("train", samples, "--out", tmp_path / "cam", "--method", "cam", *TRAIN.split())
    assert "is no BAS model" in refused(capsys, *words, "--threshold-model", tmp_path / "cam")
    ran("segment", samples, "--model", tmp_path / "cam", "--out", tmp_path / "maps", *QUICK, "--until", "seed")
    assert len(list((tmp_path / "maps/seeds/cam").glob("*.npz"))) == 5


def test_two_sources_of_one_name_have_a_folder_each(samples, bas, seeds, tmp_path):
    shutil.copytree(seeds, tmp_path / "bas")
    words = ["segment", samples, "--model", bas, bas, "--seeds", tmp_path / "bas", "--out", tmp_path / "out"]
    ran(*words, *QUICK, "--until", "seed")
    assert sorted(path.name for path in (tmp_path / "out/seeds").iterdir()) == ["bas", "bas_2", "bas_3"]


@pytest.fixture
def heard():
    """Ctrl-C is heard even where the tests themselves run in the background of a script, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_between_two_photos_the_same_command_goes_on(samples, bas, tmp_path, monkeypatch, capsys, number):
    written = []

    def write(path, seed):
        if len(written) == 2:
            signal.raise_signal(number)
        written.append(path)
        write_seed(path, seed)

    write_seed = pipeline.write_seed
    words = ["segment", str(samples), "--model", str(bas), "--out", str(tmp_path / "out"), *QUICK, "--until", "seed"]
    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "write_seed", write)
        assert main(words) == 130
    assert signal.getsignal(signal.SIGTERM) == handler
    assert capsys.readouterr().err.splitlines()[-1] == "bas: Stopped. Go on with the same command."
    before = {path: path.stat().st_mtime_ns for path in written}
    assert main(words) == 0
    assert len(written) == 2
    assert {path: path.stat().st_mtime_ns for path in written} == before
    assert len(list((tmp_path / "out/seeds/bas").glob("*.npz"))) == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_was_stopped_says_what_is_saved(samples, seeds, tmp_path, monkeypatch, capsys, number):
    words = ["segment", str(samples), "--seeds", str(seeds), "--out", str(tmp_path / "out"), *QUICK]
    with monkeypatch.context() as patch:
        patch.setattr(Stage, "step", lambda *_: signal.raise_signal(number))
        assert main(words) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "bas: Stopped after step 1 of 2; all of it is saved. Go on with the same command."
    assert main(words) == 0


DEADLY = {
    "reading blurred": 2,
    "finding confident labels": 3,
    "learning boundaries": 1,
    "walking at random": 2,
    "separating objects": 2,
    "training the segmenter": 1,
    "labeling with the segmenter": 1,
}


@pytest.mark.slow
def test_killed_in_any_stage_it_ends_as_if_it_had_never_been(samples, seeds, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torchbas.wsss.pipeline", "torch.utils.tensorboard"])

    def run(out: Path, *deadly: str | int) -> int | None:
        child = context.Process(target=discs.run, args=(samples, seeds, out, *deadly))
        child.start()
        child.join()
        return child.exitcode

    def results(out: Path) -> dict[str, bytes]:
        files = [path for path in out.rglob("*") if path.suffix in (".png", ".npz", ".json", ".safetensors")]
        return {str(path.relative_to(out)): path.read_bytes() for path in files}

    assert run(tmp_path / "whole") == 0
    killed = tmp_path / "killed"
    for work, at in DEADLY.items():
        assert run(killed, work, at) == -signal.SIGKILL, work
    assert run(killed) == 0
    assert results(killed) == results(tmp_path / "whole")


def test_label_maps_of_anybody_are_scored(samples, seeds, tmp_path, capsys):
    folder = tmp_path / "found"
    val = data.read(samples).only("val").samples
    for sample in val:
        ground_truth = read_mask(sample.mask)
        write_labels(
            folder / f"{sample.path.stem}.png", np.where(ground_truth == 255, 0, ground_truth).astype(np.uint8)
        )
    ran("eval", samples, "--labels", folder, "--out", tmp_path / "out", "--json")
    scores = json.loads(capsys.readouterr().out)
    assert (scores["miou"], scores["photos"]) == (100, 2)
    assert json.loads((tmp_path / "out/run.json").read_text())["iou"] == scores["iou"]
    (folder / f"{val[0].path.stem}.png").unlink()
    assert "holds no label map of val_0" in refused(capsys, "eval", samples, "--labels", folder)
    assert "holds no PNG that is named like" in refused(capsys, "eval", samples, "--labels", seeds)
    assert "is no folder" in refused(capsys, "eval", samples, "--labels", tmp_path / "nowhere")
    assert "scores one thing" in refused(capsys, "eval", samples, "--labels", folder, "--maps", folder)


def test_true_masks_of_coco_are_painted_in_two_lines(tmp_path):
    content = {
        "categories": [{"id": 1, "name": "red"}, {"id": 7, "name": "green"}],
        "images": [{"id": 3, "file_name": "a.jpg", "height": 40, "width": 56}],
        "annotations": [{"id": 1, "image_id": 3, "category_id": 7, "segmentation": [[8, 8, 40, 8, 40, 30, 8, 30]]}],
    }
    (tmp_path / "coco/annotations").mkdir(parents=True)
    (tmp_path / "coco/train2014").mkdir()
    (tmp_path / "coco/annotations/instances_train2014.json").write_text(json.dumps(content))
    Image.new("RGB", (56, 40)).save(tmp_path / "coco/train2014/a.jpg")
    for sample, labels in paint(tmp_path / "coco", data.read(tmp_path / "coco").samples):
        write_labels(tmp_path / "truth" / f"{sample.path.stem}.png", labels)
    ran("eval", tmp_path / "coco", "--masks", tmp_path / "truth", "--labels", tmp_path / "truth")
