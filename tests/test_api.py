"""Tags in, boxes and masks out, as a user of ``import torchbas as tb`` does it."""

import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from authors_networks import Mobile
from PIL import Image
from pycocotools.coco import COCO
from torch import nn

import torchbas as tb
from torchbas import api, recipes
from torchbas.api import Compute, Watch
from torchbas.config import Inference
from torchbas.data import open_image
from torchbas.errors import InputError, SettingError
from torchbas.evaluation.evaluator import Row
from torchbas.model.weights import save_network
from torchbas.shards.predictor import Predictor
from torchbas.structures import Dataset

CPU = Compute(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def labeled(demo_set, recipe, tmp_path_factory):
    """What ``label`` finds in the folder of the built-in set, and the run it leaves."""
    run = tmp_path_factory.mktemp("labeled") / "model"
    return tb.label(demo_set.root, run, recipe=recipe, weights=False, compute=CPU), run


@pytest.fixture(scope="module")
def model(labeled):
    return tb.load(labeled[1])


def _said(found):
    return [(one.name, one.label, one.xyxy, one.confidence, one.threshold) for one in found]


def test_importing_the_package_does_not_import_torch():
    code = "import sys, torchbas; print(torchbas.__version__, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == [tb.__version__, "False"]


def test_every_public_name_is_there_and_no_other():
    for name in tb.__all__:
        assert getattr(tb, name) is (Predictor if name == "Predictor" else getattr(api, name))
    with pytest.raises(AttributeError, match="no attribute 'labels'"):
        _ = tb.labels


def test_label_finds_every_tag_of_every_photo_and_leaves_a_model(labeled, model, demo_set):
    found, run = labeled
    assert [(one.name, one.label) for one in found] == [
        (sample.name, demo_set.classes[sample.labels[0]]) for sample in demo_set.samples
    ]
    assert [one.ground_truth for one in found] == [sample.boxes for sample in demo_set.samples]
    again = tb.predict(demo_set.root, run, compute=CPU)
    for one, other in zip(found, again, strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
        assert one.grid == pytest.approx(other.grid, abs=1e-3)
    assert (model.classes, model.recipe) == (demo_set.classes, "quick")


def test_label_without_a_folder_keeps_nothing_and_finds_the_same(labeled, demo_set, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened = []
    watch = Watch(opened=lambda done, total: opened.append((done, total)))
    found = tb.label(demo_set, recipe=recipe, weights=False, compute=CPU, watch=watch)
    assert _said(found) == _said(labeled[0])
    assert opened == [(done, 30) for done in range(1, 31)], "photos are checked once"
    assert list(tmp_path.iterdir()) == []


def test_label_skips_what_check_reports(demo_set, recipe, tmp_path):
    samples = [sample.path for sample in demo_set.only("test").samples]
    for number, sample in enumerate(samples):
        tag = tmp_path / "photos" / sample.parent.name
        tag.mkdir(parents=True, exist_ok=True)
        (tag / f"{number}.jpg").write_bytes(sample.read_bytes())
    (tmp_path / "photos" / "fish" / "cut.jpg").write_bytes(samples[0].read_bytes()[:500])
    (problem,) = tb.check(tmp_path / "photos").problems
    assert problem.name == "fish/cut.jpg"
    anywhere = replace(recipe.inference, threshold=0.0)
    short = replace(recipe, training=replace(recipe.training, steps=1), inference=anywhere)
    found = tb.label(tmp_path / "photos", tmp_path / "run", recipe=short, weights=False, compute=CPU)
    assert len(found) == len(samples)


def test_saved_results_are_what_other_programs_read(labeled, demo_set, tmp_path):
    found, _ = labeled
    tb.save(found, tmp_path / "new" / "out", formats=["coco", "voc", "gallery"], facts={"model": "a <b>"})
    out = tmp_path / "new" / "out"
    boxes = COCO(out / "boxes.coco.json")
    assert sorted(image["file_name"] for image in boxes.imgs.values()) == sorted(
        sample.name for sample in demo_set.samples
    )
    assert {category["name"] for category in boxes.cats.values()} == set(demo_set.classes)
    assert len(boxes.anns) == len(COCO(out / "masks.coco.json").anns) == len(found)
    with Image.open(out / "masks" / "train" / "snail" / "0001.png") as mask:
        (one,) = [one for one in found if one.name == "train/snail/0001.jpg"]
        assert np.array_equal(np.array(mask) > 0, one.mask)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "train/snail/0001.jpg" in page
    assert "a <b>" not in page


def test_an_unknown_format_or_a_file_in_the_way_is_said_before_anything_is_written(labeled, tmp_path):
    found, _ = labeled
    with pytest.raises(InputError, match=r'"galery" is no format\. Did you mean "gallery"'):
        tb.save(found, tmp_path / "out", formats=["coco", "galery"])
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    for name in ("coco", "gallery"):
        with pytest.raises(InputError, match=r"file.* cannot be written"):
            tb.save(found, tmp_path / "file", formats=[name])


def test_a_gallery_that_fails_leaves_the_old_one(labeled, tmp_path, monkeypatch):
    found, _ = labeled
    tb.save(found[:1], tmp_path, formats=["gallery"])
    before = (tmp_path / "index.html").read_bytes()
    monkeypatch.setattr("torchbas.viz.gallery._numbers", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tb.save(found, tmp_path, formats=["gallery"])
    assert (tmp_path / "index.html").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_predict_localizes_known_predicted_or_given_tags(demo_set, model):
    test = demo_set.root / "test"
    samples = sorted(str(file.relative_to(test)) for file in test.rglob("*.jpg"))
    known = tb.predict(test, model, compute=CPU)
    assert [(one.name, one.label) for one in known] == [(name, name.split("/")[0]) for name in samples]
    predicted = list(tb.predict(test, model, tags="predicted", compute=CPU))
    assert [one.name for one in predicted] == samples
    assert _said(tb.predict(demo_set.only("test"), model, tags="predicted", compute=CPU)) == [
        (f"test/{name}", *rest) for name, *rest in _said(predicted)
    ]
    given = list(tb.predict(test, model, tags=["snail", "fish"], compute=CPU))
    assert [(one.name, one.label) for one in given] == [(name, tag) for name in samples for tag in ("fish", "snail")]
    alone = tb.predict(test / "leaf" / "0001.jpg", model, tags="snail", compute=CPU)
    assert [(one.name, one.label) for one in alone] == [("0001.jpg", "snail")]
    assert model(test / "leaf" / "0001.jpg", tags="snail")[0].label == "snail"
    with pytest.raises(InputError, match='"cat"'):
        tb.predict(test, model, tags=["cat"], compute=CPU)


def test_all_objects_are_at_least_the_largest(demo_set, model):
    largest, every = (list(tb.predict(demo_set, model, objects=objects, compute=CPU)) for objects in ("largest", "all"))
    assert len(every) >= len(largest)
    assert {one.xyxy for one in largest} <= {one.xyxy for one in every}


def test_a_progress_bar_sees_every_batch(demo_set, model):
    seen = []

    def bar(batches, total):
        for number, batch in enumerate(batches, start=1):
            seen.append((number, total))
            yield batch

    list(tb.predict(demo_set, model, compute=CPU, watch=Watch(batches=bar)))
    assert seen == [(number, len(seen)) for number in range(1, len(seen) + 1)]


def test_the_test_split_is_scored_else_val(demo_set, model):
    quick = {"rows": [Row("BAS", Inference(), (0.5,))], "ten_crop": False, "compute": CPU}
    assert tb.evaluate(demo_set.root, model, **quick).images == 12
    first, *others = demo_set.only("test").samples
    mixed = replace(demo_set, samples=(first, *(replace(sample, split="val") for sample in others)))
    assert tb.evaluate(mixed, model, **quick).images == 1
    assert tb.evaluate(replace(mixed, samples=mixed.samples[1:]), model, **quick).images == 11
    unsplit = replace(demo_set, samples=tuple(replace(sample, split="") for sample in demo_set.samples))
    assert tb.evaluate(unsplit, model, **quick).images == 30


def test_a_test_set_that_lists_its_tags_in_another_order_scores_the_same(demo_set, model):
    order = [3, 5, 0, 2, 4, 1]
    samples = tuple(replace(p, labels=tuple(order.index(label) for label in p.labels)) for p in demo_set.samples)
    other = Dataset(demo_set.root, tuple(demo_set.classes[label] for label in order), samples)
    assert tb.evaluate(other, model, compute=CPU) == tb.evaluate(demo_set, model, compute=CPU)


def test_scores_stand_beside_plain_cam_at_several_thresholds(demo_set, model):
    scores = tb.evaluate(demo_set, replace(model, inference=Inference(top_k=3)), ten_crop=False, compute=CPU)
    assert list(scores.rows) == ["CAM", "BAS k=1", "BAS k=all", "BAS k=3"]
    assert {0.1, 0.5, "auto"} <= scores.rows["CAM"].keys()
    own = replace(model, inference=Inference(top_k=1))
    assert list(tb.evaluate(demo_set, own, ten_crop=False, compute=CPU).rows) == ["CAM", "BAS k=1", "BAS k=all"]


def test_a_labels_folder_holds_its_model_one_level_down(labeled, model):
    assert replace(tb.load(labeled[1].parent), model=model.model) == model
    with pytest.raises(InputError, match="nowhere is no folder of a model"):
        tb.load(labeled[1] / "nowhere")


def test_a_checkpoint_of_the_authors_finds_what_their_network_shows(demo_set, tmp_path):
    torch.manual_seed(0)
    theirs = Mobile()
    convs = nn.Conv2d(1024, 1024, 3, padding=1), nn.Conv2d(1024, 1024, 3, padding=1), nn.Conv2d(1024, 6, 1)
    theirs.classifier_cls = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])
    theirs.classifier_loc = nn.Sequential(nn.Conv2d(512, 6, 3, padding=1), nn.Sigmoid())
    for layer in theirs.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    torch.save({"model": theirs.eval().state_dict(), "epoch": 9}, tmp_path / "best_gt.pth.tar")
    localizer = tb.load(tmp_path / "best_gt.pth.tar")
    (tmp_path / "best_gt.pth.tar").unlink()
    assert localizer.classes == ("0", "1", "2", "3", "4", "5")
    assert localizer.inference == Inference(top_k=1, threshold=0.1)

    sample = demo_set.samples[0].path
    (found,) = localizer(sample, tags=["4"])
    pixels = np.asarray(open_image(sample).resize((256, 256), Image.Resampling.BILINEAR)) / np.float32(255)
    image = torch.from_numpy((pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        features = theirs.first(image)
        grid = theirs.classifier_loc(features)[0, 4].numpy()
        logits = theirs.classifier_cls(theirs.second(features)).mean((2, 3))[0]
    assert found.grid == pytest.approx((grid - grid.min()) / (grid.max() - grid.min() + 1e-5), abs=1e-3)
    assert found.confidence == pytest.approx(logits.softmax(0)[4].item(), rel=1e-2)

    by_place = tb.predict(replace(demo_set, samples=demo_set.samples[:1]), localizer, compute=CPU)
    assert [one.label for one in by_place] == [str(demo_set.samples[0].labels[0])], (
        "their classes have numbers for names"
    )
    with pytest.raises(InputError, match='"fish"'):
        list(tb.predict(replace(demo_set, classes=(*demo_set.classes, "a seventh")), localizer, compute=CPU))


def test_training_takes_a_recipe_by_name_and_the_precision_asked_for(demo_set, recipe, model, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("torchbas.api.train_recipe", lambda _, chosen, *__, **___: asked.append(chosen) or model)
    tb.train(demo_set.root, tmp_path, recipe="small")
    tb.train(demo_set, tmp_path, recipe=recipe, compute=Compute(precision="bf16-mixed"))
    assert asked[0] == recipes.load("small")
    assert asked[1] == replace(recipe, training=replace(recipe.training, precision="bf16-mixed"))


def test_any_value_of_a_recipe_is_changed_by_name(demo_set, model, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("torchbas.api.train_recipe", lambda _, chosen, *__, **___: asked.append(chosen) or model)
    small = recipes.load("small")
    tb.train(demo_set, tmp_path, recipe="small", steps=3, threshold=0.25, top_k=small.inference.top_k)
    recipe = asked[0]
    assert (recipe.training.steps, recipe.inference.threshold) == (3, 0.25)
    assert recipe.changes == {"steps": 3, "threshold": 0.25}
    tb.train(demo_set, tmp_path, recipe="small", epochs=2, refine=("crf",))
    assert (asked[1].training.epochs, asked[1].training.steps) == (2, None), "and not the recipe's steps"
    assert asked[1].inference.refine == ("crf",)
    assert asked[1].segmentation == small.segmentation, "which has a setting of that name, too"
    unchanged = replace(recipe, training=small.training, inference=small.inference, changes={})
    assert unchanged == small
    with pytest.raises(InputError, match='no setting "step": did you mean "steps"'):
        tb.label(demo_set, recipe="small", step=3)
    with pytest.raises(InputError, match="learns cam, which has no setting area"):
        tb.train(demo_set, tmp_path, recipe=replace(small, method="cam", options={}), area=3.0)
    with pytest.raises(SettingError, match="steps"):
        tb.train(demo_set, tmp_path, recipe="small", steps=-1)


def test_the_time_it_takes_can_be_asked_for_by_name_or_recipe(demo_set, recipe):
    assert 0 < api.estimate(demo_set, recipe, "cpu") < 1000


@pytest.mark.parametrize("device", ["tpu9", "cuda:99", "gpu"])
def test_a_device_that_is_not_here_is_refused(device):
    with pytest.raises(InputError, match=f"--device {device} cannot be used here; use --device cpu or auto"):
        Compute(device=device).place()


def test_precision_is_an_autocast_or_nothing():
    assert Compute("cpu", precision="32-true").context() is nullcontext
    with Compute("cpu", precision="bf16-mixed").context()():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_create_model_is_a_plain_module_that_can_be_used_and_saved(tmp_path):
    model = tb.create_model("test_resnet", num_classes=3, hidden=8)
    logits, maps = model(torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, 3)
    assert maps.shape == (2, 3, 4, 4)
    card = {"architecture": vars(model.architecture), "classes": ["a", "b", "c"]}
    save_network(model, tmp_path, card)
    assert json.loads((tmp_path / "model.json").read_text())["classes"] == ["a", "b", "c"]
