"""The command line as a new user meets it: first the mistakes, then a whole small job with messy photos in it."""

import csv
import json
import shutil
import signal
from pathlib import Path

import pytest
from PIL import Image

import torchbas as tb
from torchbas.api import Compute
from torchbas.cli import main
from torchbas.cli.progress import Stage
from torchbas.data import make_demo_dataset

EVIL = 'a/b "c" <script>alert(1)</script>'
SHORT = [
    *("--backbone", "resnet18", "--weights", "none", "--hidden", "16", "--resize", "64", "--crop", "48"),
    *("--steps", "4", "--batch-size", "8", "--precision", "32-true", "--quiet"),
]
TINY = SHORT


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of drawn photos, some with a hostile tag, and of photos as phones, printers and full disks make them."""
    root = tmp_path_factory.mktemp("messy")
    samples = [(sample.name, sample.path, sample.split) for sample in make_demo_dataset(root, 3, 1, size=64).samples]
    rows = [(name, EVIL if path.parent.name == "fish" else path.parent.name, split) for name, path, split in samples]
    with Image.open(samples[0][1]) as drawn:
        exif = drawn.getexif()
        exif[0x0112] = 6  # to be turned by a quarter
        drawn.resize((60, 40)).save(root / "turned.jpg", exif=exif)
        drawn.convert("CMYK").save(root / "printer.jpg")
        drawn.resize((1, 1)).save(root / "dot.png")
    (root / "empty.jpg").touch()
    (root / "half.jpg").write_bytes(samples[0][1].read_bytes()[:300])
    (root / "words.jpg").write_text("this is no photo")
    rows += [(name, "snail;leaf", "train") for name in ("turned.jpg", "printer.jpg", "dot.png")]
    rows += [(name, "leaf", "train") for name in ("empty.jpg", "half.jpg", "words.jpg")]
    return write_csv(root / "photos.csv", rows)


@pytest.fixture(scope="module")
def labeled(messy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``bas label`` makes of them."""
    out = tmp_path_factory.mktemp("labels") / "out"
    assert main(["label", str(messy), "--out", str(out), *TINY]) == 0
    return out


def write_csv(file: Path, rows: list[tuple[str, str, str]]) -> Path:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "tags", "split"), *rows])
    return file


def boxes(out: Path) -> dict[tuple[str, str], list[float]]:
    """Photo and tag to the box that was written for it."""
    content = json.loads((out / "boxes.coco.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    tags = {category["id"]: category["name"] for category in content["categories"]}
    return {(names[one["image_id"]], tags[one["category_id"]]): one["bbox"] for one in content["annotations"]}


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """What is said when a command ends with the exit code of the user's mistakes: one line."""
    assert main([str(word) for word in words]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("bas: ")
    return said


def test_an_unknown_command_gets_a_suggestion(capsys):
    assert '"bas label"' in refused(capsys, "lable", "photos")


@pytest.mark.parametrize("command", ["label", "train"])
def test_missing_data_is_named(command, tmp_path, capsys):
    said = refused(capsys, command, tmp_path / "photos", "--out", tmp_path / "out")
    assert f"{tmp_path / 'photos'} does not exist" in said
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_named(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    assert "holds no photos" in refused(capsys, "label", tmp_path / "photos", "--out", tmp_path / "out")


def test_one_tag_is_not_enough(tmp_path, capsys):
    (tmp_path / "photos/cat").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "photos/cat/1.png")
    said = refused(capsys, "label", tmp_path / "photos", "--out", tmp_path / "out", "--weights", "none", "--quiet")
    assert 'one tag only ("cat")' in said


def test_results_cannot_land_among_the_photos(messy, capsys):
    words = ["predict", messy.parent, "--model", "m", "--out", messy.parent / "o"]
    assert "choose another --out" in refused(capsys, *words)
    assert not (messy.parent / "o").exists()


def test_a_missing_weights_file_is_named_before_any_work(messy, tmp_path, capsys):
    said = refused(capsys, "label", messy, "--out", tmp_path / "out", "--weights", tmp_path / "w.pth")
    assert f"{tmp_path / 'w.pth'} is no file" in said
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there_is_named(messy, tmp_path, capsys):
    said = refused(capsys, "eval", messy, "--model", tmp_path / "model", "--quiet")
    assert str(tmp_path / "model") in said


def test_a_list_that_names_missing_photos_is_refused_with_the_next_move(tmp_path, capsys):
    listed = write_csv(tmp_path / "photos.csv", [("1.jpg", "cat", ""), ("2.jpg", "dog", "")])
    said = refused(capsys, "label", listed, "--out", tmp_path / "out")
    assert "photos.csv line 2" in said
    assert f"run bas check {listed}" in said


def test_recipes_lists_all_and_prints_one(capsys):
    assert main(["recipes"]) == 0
    assert {"quick", "small", "cub_resnet50"} <= {line.split(" ")[0] for line in capsys.readouterr().out.splitlines()}
    assert main(["recipes", "cub_resnet50"]) == 0
    assert "'gt_known': 95.41" in capsys.readouterr().out
    assert main(["recipes", "quick", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "quick"
    assert 'did you mean "small"?' in refused(capsys, "recipes", "smal")


def test_check_names_what_cannot_be_used_and_counts_the_rest(messy, capsys):
    listed = messy.with_name("more.csv")
    listed.write_text(f"{messy.read_text()}gone.jpg,leaf,\n")
    assert main(["check", str(listed), "--json", "--no-estimate", "--quiet"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["photos"] == 6 * 4 + 3
    assert answer["tags"][EVIL] == 4
    assert answer["several_tags"] == 3
    assert answer["with_boxes"] == 6 * 4
    assert {problem["name"] for problem in answer["problems"]} >= {"gone.jpg", "empty.jpg", "half.jpg", "words.jpg"}


def test_label_finishes_and_names_what_it_skipped(labeled):
    run = json.loads((labeled / "run.json").read_text())
    assert run["photos"] == 6 * 4 + 3
    assert run["objects"] + len(run["nothing_found"]) == 6 * 4 + 2 * 3
    assert {problem["name"] for problem in run["problems"]} == {"empty.jpg", "half.jpg", "words.jpg"}
    assert run["words"]["settings"]["training"]["steps"] == 4
    assert (labeled / "model/model.safetensors").is_file()
    assert not (labeled / "model/checkpoint.pt").exists()


def test_label_says_of_every_tag_whether_its_maps_can_be_used(labeled):
    run = json.loads((labeled / "run.json").read_text())
    tags = {row["tag"]: row for row in run["tags"]}
    assert len(tags) == 6
    assert set(run["objects_per_tag"]) <= set(tags)
    assert (tags[EVIL]["photos"], tags["leaf"]["photos"]) == (4, 4 + 3)
    assert all(row["found"] <= row["photos"] and 0 <= row["area"] <= 1 for row in tags.values())
    assert all((row["state"] == "alive") == (row["sentence"] == "") for row in tags.values())
    dead = {tag for tag, row in tags.items() if row["state"] in ("empty", "full")}
    assert {tag for tag, row in tags.items() if row["method"] == "layercam"} == dead
    assert json.loads((labeled / "model/model.json").read_text())["inference"]["layercam"] == sorted(dead)
    assert not {one["tag"] for one in run["nothing_found"]} & dead, "Layer-CAM finds something in every photo"
    assert "tags alive" in (labeled / "index.html").read_text()


def test_its_results_are_exported_with_their_photos(labeled, tmp_path):
    words = ["export", str(labeled), "--out", str(tmp_path / "out"), "--format", "coco", "huggingface", "--quiet"]
    assert main(words) == 0
    for name in ("boxes.coco.json", "masks.coco.json"):
        assert (tmp_path / "out" / name).read_bytes() == (labeled / name).read_bytes()
    rows = (tmp_path / "out/huggingface/metadata.jsonl").read_text().splitlines()
    assert {name for name, _ in boxes(labeled)} == {json.loads(row)["file_name"] for row in rows}


@pytest.mark.parametrize("command", ["label", "predict"])
def test_a_run_that_finds_nothing_does_not_read_like_a_success(command, labeled, messy, tmp_path, capsys):
    out, model = tmp_path / "out", Path(shutil.copytree(labeled, tmp_path / "model"))
    card = json.loads((model / "model/model.json").read_text())
    card["inference"]["layercam"] = []
    (model / "model/model.json").write_text(json.dumps(card))
    words = TINY[:-1] if command == "label" else ["--model", str(model), "--tags", "known"]
    assert main([command, str(messy), "--out", str(out), *words, "--threshold", "1.0"]) == 0
    said, run = " ".join(capsys.readouterr().err.split()), json.loads((out / "run.json").read_text())
    assert "maps: 0 of 6 tags alive" in said
    assert 'tag "leaf": nothing was found in 7 of its 7 photos' in said
    assert said.rindex("No tag has maps that can be used") > said.rindex("nothing was found in")
    assert "objects in" not in said
    assert "Next:" not in said
    assert {row["state"] for row in run["tags"]} == {"empty"}
    if command == "label":
        assert "boxes from Layer-CAM of the same network instead: " in said
        assert (run["objects"], run["nothing_found"]) == (30, [])
        assert {row["method"] for row in run["tags"]} == {"layercam"}
        return
    assert "nothing found: 30 of 30 tags of photos, listed in run.json" in said
    assert {"name": "dot.png", "tag": "snail"} in run["nothing_found"]
    assert len(run["nothing_found"]) == 30


@pytest.mark.parametrize(("formats", "pointer"), [(["gallery"], "Open {}/index.html"), (["cvat"], "They are in {}")])
def test_the_last_line_points_to_what_was_written(formats, pointer, labeled, messy, tmp_path, capsys):
    words = ["predict", str(messy.parent / "test"), "--model", str(labeled), "--out", str(tmp_path / "out")]
    assert main([*words, "--format", *formats]) == 0
    said = "".join(capsys.readouterr().err.split())  # long paths are broken anywhere
    assert said.endswith(pointer.format(tmp_path / "out").replace(" ", ""))


def test_a_run_is_named_by_one_folder_everywhere(labeled, messy, tmp_path):
    words = ["train", str(messy), "--out", str(tmp_path / "run"), *TINY[:2], "--weights", str(labeled), *TINY[4:]]
    assert main(words) == 0
    started = json.loads((tmp_path / "run/run.json").read_text("utf-8"))
    assert started["words"]["weights"] == str(labeled)


def test_predicted_tags_get_no_report(labeled, messy, tmp_path, capsys):
    words = ["predict", str(messy.parent / "test"), "--model", str(labeled), "--out", str(tmp_path / "out")]
    assert main([*words, "--format", "coco"]) == 0
    assert "alive" not in capsys.readouterr().err
    assert not {"tags", "nothing_found"} & set(json.loads((tmp_path / "out/run.json").read_text()))


def test_boxes_and_masks_lie_inside_photos_as_they_are_seen(labeled):
    images = {image["file_name"]: image for image in json.loads((labeled / "boxes.coco.json").read_text())["images"]}
    assert (images["turned.jpg"]["width"], images["turned.jpg"]["height"]) == (40, 60)
    assert (images["dot.png"]["width"], images["dot.png"]["height"]) == (1, 1)
    for (name, _), (x, y, width, height) in boxes(labeled).items():
        assert 0 <= x < x + width <= images[name]["width"]
        assert 0 <= y < y + height <= images[name]["height"]
    with Image.open(labeled / "masks/turned.png") as mask:
        assert mask.size == (40, 60)


def test_a_hostile_tag_is_only_text(labeled):
    assert EVIL in {tag for _, tag in boxes(labeled)}
    page = (labeled / "index.html").read_text()
    assert "alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "</script>alert" not in page


def test_a_finished_folder_is_refused_and_left_alone(labeled, messy, capsys):
    before = (labeled / "run.json").read_bytes()
    assert "holds a finished run" in refused(capsys, "label", messy, "--out", labeled, *TINY)
    assert (labeled / "run.json").read_bytes() == before


def test_a_folder_of_somebody_else_is_never_written_over(labeled, messy, tmp_path, capsys):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/mine.png").write_text("mine")
    words = ["predict", messy, "--model", labeled, "--out", tmp_path, "--quiet", "--overwrite"]
    assert "choose another --out" in refused(capsys, *words)
    assert (tmp_path / "masks/mine.png").read_text() == "mine"


def test_a_stopped_job_goes_on_to_the_same_boxes(labeled, messy, tmp_path, capsys, monkeypatch):
    words = ["label", str(messy), "--out", str(tmp_path / "out"), *TINY]
    with monkeypatch.context() as patch:
        patch.setattr(Stage, "step", lambda *_: signal.raise_signal(signal.SIGTERM))
        assert main(words) == 130
    assert "--resume" in capsys.readouterr().err
    assert not (tmp_path / "out/run.json").exists()
    assert "holds a run that was stopped" in refused(capsys, *words)
    assert main([*words, "--resume"]) == 0
    assert boxes(tmp_path / "out") == boxes(labeled)


def test_resuming_a_finished_job_trains_nothing_and_changes_nothing(labeled, messy, tmp_path):
    out = Path(shutil.copytree(labeled, tmp_path / "out"))
    model = (out / "model/model.safetensors").stat().st_mtime_ns
    assert main(["label", str(messy), "--out", str(out), *TINY, "--resume"]) == 0
    assert (out / "model/model.safetensors").stat().st_mtime_ns == model
    assert boxes(out) == boxes(labeled)


def test_a_moved_model_gives_the_same_boxes(labeled, messy, tmp_path):
    moved = tb.load(shutil.copytree(labeled / "model", tmp_path / "elsewhere"))
    found = tb.predict(tb.check(messy), moved, compute=Compute(precision="32-true"))
    tb.save(found, tmp_path / "again", formats=["coco"])
    assert boxes(tmp_path / "again") == boxes(labeled)


def test_predict_localizes_named_tags_and_overwrites_only_what_is_ours(labeled, messy, tmp_path, capsys):
    words = ["predict", str(messy.parent / "test"), "--model", str(labeled), "--quiet", "--precision", "32-true"]
    words += ["--out", str(tmp_path / "out"), "--threshold", "0.0", "--format", "coco"]
    words += ["--tags", "snail", "leaf"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["objects_per_tag"] == {"snail": 6, "leaf": 6}
    (tmp_path / "out/notes.txt").write_text("mine")
    (tmp_path / "out/index.html").write_text("of an earlier run")
    assert main([*words, "--overwrite"]) == 0
    kept = {file.name for file in (tmp_path / "out").iterdir()}
    assert kept == {".torchbas", "boxes.coco.json", "masks.coco.json", "notes.txt", "run.json"}
    assert "does not know" in refused(capsys, *words[:-2], "cat", "--overwrite")


def test_train_predict_and_eval_fit_together(messy, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    assert main(["train", str(messy), "--out", str(run), *TINY]) == 0
    files = {file.name for file in run.iterdir()}
    assert {"model.json", "model.safetensors", "log.csv", "losses.png", "run.json"} <= files
    words = ["predict", str(messy), "--model", str(run), "--out", str(out), "--tags", "known", "--threshold", "0.0"]
    assert main([*words, "--quiet"]) == 0
    assert len(boxes(out)) == 6 * 4 + 2 * 3
    assert main(["eval", str(messy), "--model", str(run), "--no-ten-crop", "--quiet", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["images"] == 6
    assert all(0 <= accuracies["gt_known"] <= 100 for row in scores["rows"].values() for accuracies in row.values())


def test_a_method_to_compare_with_is_trained_scored_and_draws_boxes(messy, tmp_path, capsys):
    run, out = tmp_path / "acol", tmp_path / "out"
    words = ["train", str(messy), "--out", str(run), "--recipe", "small", "--method", "acol", *SHORT]
    assert main(words) == 0
    assert main(["eval", str(messy), "--model", str(run), "--no-ten-crop", "--quiet", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["rows"]) == ["acol"]
    assert main(["predict", str(messy), "--model", str(run), "--out", str(out), "--tags", "known", "--quiet"]) == 0
    assert len(boxes(out)) == 6 * 4 + 2 * 3
    cached = ["train", messy, "--out", tmp_path / "has", "--method", "has", *SHORT]
    assert "--f1 frozen or train" in refused(capsys, *cached)


def test_a_validated_threshold_scores_a_model_and_lists_every_image(tmp_path, capsys):
    dataset = make_demo_dataset(tmp_path / "photos", 1, 2, size=64)
    splits = ("val", "test")
    rows = [(sample.name, sample.path.parent.name, splits[i % 2]) for i, sample in enumerate(dataset.samples)]
    listed, run = write_csv(tmp_path / "photos" / "photos.csv", rows), tmp_path / "run"
    assert main(["train", str(dataset.root / "train"), "--out", str(run), *TINY]) == 0
    words = ["eval", str(listed), "--model", str(run), "--threshold", "validation", "--out", str(tmp_path / "scores")]
    assert main([*words, "--no-ten-crop", "--quiet", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    lines = list(csv.DictReader((tmp_path / "scores/images.csv").read_text("utf-8").splitlines()))
    tested = [name for name, _, split in rows if split == "test"]
    for row, summary in scores["summaries"].items():
        ious = [float(line["iou"]) for line in lines if line["row"] == row]
        assert len(ious) == scores["images"] <= len(tested)
        assert 100 * sum(iou >= 0.5 for iou in ious) / len(ious) == pytest.approx(
            scores["rows"][row][str(summary["at"])]["gt_known"]
        )


def test_a_mistake_in_the_model_leaves_a_folder_that_can_be_used(messy, tmp_path, capsys):
    words = ["predict", messy, "--model", tmp_path / "absent", "--out", tmp_path / "out", "--quiet"]
    for _ in range(2):
        assert "absent is no folder of a model" in refused(capsys, *words)
    assert not (tmp_path / "out").exists()
