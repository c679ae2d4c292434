"""bas label --corrected: corrected boxes go out as they are, tags follow them, and what is learned is said honestly."""

import json

import pytest
from test_cli import TINY

import torchbas as tb
from torchbas.api import corrections as api_corrections
from torchbas.api.choose import Choice
from torchbas.api.corrections import Learning, with_corrections
from torchbas.cli import main
from torchbas.data import read
from torchbas.data.corrections import Corrections
from torchbas.methods.trained import TrainedModel

WORDS = [*TINY[:-1], "--save-every", "1"]


@pytest.fixture
def corrected(photos):
    """Every photo's own tag corrected: a box each, but for the first, which has nothing, and the second, of another."""
    dataset = read(photos)
    tags = dataset.classes
    images, annotations = [], []
    for number, sample in enumerate(dataset.samples):
        own = tags[sample.labels[0]]
        other = tags[-1] if number == 1 else own
        images.append({"id": number, "file_name": sample.name, "reviewed": [own, other]})
        if number:
            annotations.append({"image_id": number, "category_id": tags.index(other), "bbox": [10, 12, 20, 22]})
    file = photos.parent / "corrections.json"
    categories = [{"id": number, "name": tag} for number, tag in enumerate(tags)]
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def annotations_of(out):
    content = json.loads((out / "boxes.coco.json").read_text())
    names = {one["id"]: one["file_name"] for one in content["images"]}
    tags = {one["id"]: one["name"] for one in content["categories"]}
    return [(names[a["image_id"]], tags[a["category_id"]], a) for a in content["annotations"]]


def test_corrected_boxes_go_out_as_they_are_and_marked(photos, corrected, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["label", str(photos), "--out", str(out), "--corrected", str(corrected), *WORDS]
    assert main([*words, "--format", "coco", "gallery", "voc"]) == 0
    dataset = read(photos)
    _, second, *rest = dataset.samples
    found = annotations_of(out)
    assert {name for name, *_ in found} == {second.name, *(one.name for one in rest)}
    assert {tag for name, tag, _ in found if name == second.name} == {dataset.classes[-1]}
    for _, _, one in found:
        assert one["bbox"] == [10, 12, 20, 22]
        assert (one["score"], one["attributes"]["method"]) == (1, "corrected")
    said = " ".join(capsys.readouterr().err.split())
    assert f"corrected by hand: {len(dataset.samples)} photos" in said
    assert "left out five ways, a box was correct (IoU of .5) in" in said
    card = json.loads((out / "model/model.json").read_text())
    assert card["corrections"][1] == len(dataset.samples) - 1


def test_stopped_after_it_has_learned_it_ends_as_if_it_had_not_been(photos, corrected, tmp_path, monkeypatch):
    """Killed between the saving of the model and run.json."""
    monkeypatch.setattr(Learning, "kept", property(lambda _: True))
    words = ["label", str(photos), "--corrected", str(corrected), *WORDS]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert main([*words, "--out", str(whole)]) == 0

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("torchbas.cli.job.Job.write", stop)
        assert main([*words, "--out", str(stopped)]) == 130
    assert main([*words, "--out", str(stopped), "--resume"]) == 0
    for name in ("boxes.coco.json", "masks.coco.json", "model/model.safetensors", "model/model.json"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes()
    other = json.loads(corrected.read_text())
    other["annotations"][0]["bbox"] = [1, 2, 20, 22]
    corrected.write_text(json.dumps(other))
    assert main([*words, "--out", str(stopped), "--resume"]) == 2


def test_what_does_not_help_is_not_kept(photos, corrected, tmp_path, monkeypatch):
    monkeypatch.setattr(api_corrections, "correct_boxes", lambda *_: 14)  # of what is there
    monkeypatch.setattr(api_corrections, "choose", lambda *_: Choice(0, {}, 0, 0))
    words = ["label", str(photos), *WORDS]
    assert main([*words, "--corrected", str(corrected), "--out", str(tmp_path / "a")]) == 0
    model = TrainedModel.load(tmp_path / "a/model")
    assert model.corrections[2:] == (round(14 / 17, 4), 0, 0)
    assert not Learning(*model.corrections).kept


def test_whether_more_corrections_pay():
    """Twice as many have brought 3 points or 1; nothing is said of a model that stayed as it was or learned nothing."""
    assert Learning("", 30, 0.5, 0.63, 0.6).outlook == "learning from half as many: 60%, so more corrections still pay"
    assert Learning("", 30, 0.5, 0.63, 0.62).outlook.endswith("62%, so more corrections have stopped paying")
    assert Learning("", 30, 0.8, 0.63, 0.6).outlook == Learning("", 30, 0.5, 0.63, 0.0).outlook == ""


def test_in_python(photos, corrected):
    tiny = {"backbone": "resnet18", "hidden": 16, "resize": 64, "crop": 48, "steps": 4, "batch_size": 8}
    settings = {"recipe": "quick_joint", "weights": False, "precision": "32-true", **tiny}
    found = tb.label(photos, corrected=[corrected], **settings)
    assert {one.method for one in found} == {"corrected"}
    assert {one.xyxy for one in found} == {(10, 12, 30, 34)}


def test_a_mask_stays_inside_its_corrected_box(photos):
    dataset = read(photos)
    sample = dataset.samples[0]
    tag, box = dataset.classes[sample.labels[0]], (4.4, 6.0, 20.6, 30.0)
    (one,) = with_corrections([], dataset, Corrections({(sample.name, tag): (box,)}))
    assert one.xyxy == box
    assert one.score == 1
    assert one.mask.sum() == (21 - 4) * (30 - 6)
    assert one.mask[6:30, 4:21].all()


def test_corrections_of_other_photos_are_refused_before_anything_is_trained(photos, corrected, tmp_path, capsys):
    corrected.write_text(corrected.read_text().replace(".jpg", ".tif"))
    words = ["label", str(photos), "--out", str(tmp_path / "out"), "--corrected", str(corrected), *WORDS]
    assert main(words) == 2
    assert "matches no photo of" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
