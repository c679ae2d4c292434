"""The pipeline on discs: every stage kept, resumed, and never a mixture of two runs."""

import json
import tarfile
from dataclasses import replace

import discs
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from tiny import tiny_bas

from torchbas import data
from torchbas.data import read_mask
from torchbas.data.datasets.voc_tags import VOC
from torchbas.errors import InputError
from torchbas.methods.bas import BASMethod
from torchbas.model.extractor import Extractor
from torchbas.wsss import pipeline as module
from torchbas.wsss.irn.network import BoundaryMaps
from torchbas.wsss.pipeline import Pipeline
from torchbas.wsss.seeds.combine import Seeds
from torchbas.wsss.seeds.sources import SeedFolder, SeedNetwork
from torchbas.wsss.setup import ComputeOptions, InitialWeights

SETTINGS = discs.SETTINGS
QUICK = replace(SETTINGS, refine="none")
COLORS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(module, "BACKBONE", "test_resnet")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return discs.draw(tmp_path_factory.mktemp("voc"), 5, val=2)


@pytest.fixture(scope="module")
def ready(samples, tmp_path_factory):
    return SeedFolder("blurred", discs.seeds_of(samples, tmp_path_factory.mktemp("seeds") / "blurred"))


def run_of(samples, out, *sources, settings=SETTINGS, **more):
    weights = InitialWeights(irn=False, segmenter=False, initialization="none")
    return Pipeline(samples, out, sources, settings, weights=weights, compute=ComputeOptions(device="cpu"), **more)


def bas(seed=0, name="bas", classes=3, **changes):
    network = tiny_bas(classes, seed, **changes)
    method = BASMethod(Extractor(network.f1, network.f2, 8, 16), classes, network.architecture, COLORS)
    method.load_state_dict(network.state_dict())
    return SeedNetwork(name, method.eval())


def times(out):
    """When each file of the stages was written; the scores may be written again."""
    files = [path for path in out.rglob("*") if path.is_file() and "scores" not in path.parts]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def whole(samples, ready, tmp_path_factory):
    """A run from seeds to predictions, and its scores."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BACKBONE", "test_resnet")
        return out, run_of(samples, out, ready).run()


def test_every_stage_leaves_what_it_found(whole, samples):
    out, scores = whole
    assert set(scores) == {"seed", "masks", "segmenter_val"}
    assert scores["seed"]["miou"] > 80
    assert scores["segmenter_val"]["photos"] == 2
    assert scores["segmenter_val"]["initialization"] == "none"
    for sample in samples.samples:
        folder = "masks" if sample.split == "train" else "predictions/val"
        assert read_mask(out / folder / f"{sample.path.stem}.png").shape == read_mask(sample.mask).shape
    assert not (out / "submission").exists()


def test_a_complete_run_is_not_done_again(whole, samples, ready):
    out, scores = whole
    before = times(out)
    assert run_of(samples, out, ready).run() == scores
    assert times(out) == before


def test_other_settings_are_refused_and_nothing_is_lost(whole, samples, ready):
    out, _ = whole
    before = times(out)
    with pytest.raises(InputError, match="masks was made with other settings or data"):
        run_of(samples, out, ready, settings=replace(SETTINGS, sem_seg_bg_thres=0.3)).run()
    assert times(out) == before


def test_with_overwrite_only_what_differs_is_made_again(samples, ready, tmp_path):
    settings = replace(QUICK, segmenter=replace(QUICK.segmenter, steps=1))
    run_of(samples, tmp_path, ready, settings=settings).run()
    before = times(tmp_path)
    longer = replace(settings, segmenter=replace(settings.segmenter, steps=2))
    run_of(samples, tmp_path, ready, settings=longer, overwrite=True).run()
    changed = {name for name, time in times(tmp_path).items() if time != before.get(name)}
    assert {name.split("/")[0] for name in changed} == {"segmenter", "predictions"}


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"scales": (0.5,)}, "seeds/bas"),
        ({"conf_fg_thres": 0.4}, "ir_labels"),
        ({"irn": replace(SETTINGS.irn, lr=0.2)}, "irn"),
        ({"cam_power": 1.0}, "masks"),
        ({"segmenter": replace(SETTINGS.segmenter, lr=1e-3)}, "segmenter"),
        ({"segmenter_crf": False}, "predictions/val"),
    ],
)
def test_a_setting_belongs_to_the_first_stage_that_it_changes(samples, tmp_path, change, first):
    order = ["seeds/bas", "ir_labels", "irn", "masks", "segmenter", "predictions/val"]
    kept = replace(samples, samples=samples.samples[:1] + samples.samples[-1:])
    one, other = (run_of(kept, tmp_path, bas(), settings=s)._keys for s in (SETTINGS, replace(SETTINGS, **change)))
    names = ("ir_labels", "irn", "masks", "segmenter", "predictions")
    parts = [(lambda keys: keys.source(bas())), *((lambda keys, name=name: getattr(keys, name)) for name in names)]
    differs = [name for name, of in zip(order, parts, strict=True) if str(of(one)) != str(of(other))]
    assert differs == order[order.index(first) :]


def test_settings_that_a_refinement_does_not_use_do_not_matter(samples, tmp_path):
    faster = replace(QUICK, irn=replace(QUICK.irn, lr=1.0))
    one, other = (run_of(samples, tmp_path, bas(), settings=s)._keys for s in (QUICK, faster))
    assert one.segmenter == other.segmenter


def test_photos_that_were_added_are_other_data(samples, ready, tmp_path):
    fewer = replace(samples, samples=samples.samples[1:])
    run_of(fewer, tmp_path, ready, settings=QUICK).run("refine")
    with pytest.raises(InputError, match="seeds/blurred was made with other settings or data"):
        run_of(samples, tmp_path, ready, settings=QUICK).run("refine")


def test_ground_truth_that_comes_later_scores_what_is_there(samples, ready, tmp_path):
    blind = replace(samples, samples=tuple(replace(sample, mask=None) for sample in samples.samples))
    scores = run_of(blind, tmp_path, ready, settings=QUICK).run()
    assert scores == {"seed": None, "masks": None, "segmenter_val": None}
    before = times(tmp_path)
    scores = run_of(samples, tmp_path, ready, settings=QUICK).run()
    assert times(tmp_path) == before
    assert scores["masks"]["photos"] == 5
    samples.samples[0].mask.touch()
    assert run_of(samples, tmp_path, ready, settings=QUICK).run() == scores


def test_tags_alone_are_enough_and_without_splits_nothing_is_predicted(ready, samples, tmp_path):
    train = tuple(replace(sample, mask=None, split="") for sample in samples.only("train").samples)
    assert run_of(replace(samples, samples=train), tmp_path, ready, settings=QUICK).run() == {
        "seed": None,
        "masks": None,
    }
    assert (tmp_path / "segmenter/model.json").is_file()
    assert not (tmp_path / "predictions").exists()


def test_photos_without_tags_are_masked_but_nothing_is_learned_from_them(samples, tmp_path):
    bare = replace(samples.samples[0], labels=())
    mixed = replace(samples, samples=(bare, *samples.samples[1:]))
    run = run_of(mixed, tmp_path / "out", bas(), settings=QUICK)
    run.run("refine")
    assert not read_mask(run.masks.path(bare)).any()
    assert bare.path not in [sample for sample, _ in run._pairs(run.masks)]
    with pytest.raises(InputError, match="has no tagged photos to learn from"):
        run_of(replace(samples, samples=(bare,)), tmp_path / "none", bas()).run()


def test_a_dot_a_strip_and_a_poster_go_all_the_way(tmp_path):
    root = tmp_path / "photos"
    for tag, size in (("cat", (1, 1)), ("dog", (700, 3)), ("cat", (30, 660)), ("dog", (33, 47))):
        (root / tag).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(root / tag / f"{size[0]}.png")
    samples = data.read(root)
    run = run_of(samples, tmp_path / "out", bas(classes=2), objects="instances")
    run.run()
    for sample in samples.samples:
        with Image.open(sample.path) as image:
            assert read_mask(run.masks.path(sample)).shape == image.size[::-1]


def test_seeds_of_two_sources_are_added_and_a_foreground_weakens_them(samples, ready, tmp_path):
    together = run_of(samples, tmp_path / "a", ready, bas(), settings=QUICK)
    together.run("seed")
    sample = samples.samples[0]
    one, other = (Seeds((tmp_path / "a/seeds" / name,), together.seeds.paths) for name in ("blurred", "bas"))
    added = one(sample).maps / one(sample).maps.max() + other(sample).maps / other(sample).maps.max()
    assert np.allclose(together.seeds(sample).maps, added / added.max(), atol=2e-3)
    weaker = run_of(
        samples, tmp_path / "b", ready, foreground=bas(name="agnostic", class_agnostic=True), settings=QUICK
    )
    weaker.run("seed")
    assert (weaker.seeds(sample).maps <= one(sample).maps + 1e-3).all()
    assert (weaker.seeds(sample).maps < one(sample).maps - 0.1).any()


def test_thresholds_of_each_image_are_chosen_used_and_kept(samples, ready, tmp_path):
    settings = replace(QUICK, cam_eval_thres="image_specific")
    run = run_of(samples, tmp_path, ready, bas(), settings=settings)
    scores = run.run("refine")
    assert scores["image_threshold"]["miou"] == pytest.approx(scores["masks"]["miou"])
    own = {
        sample.name: json.loads(run._thresholds.path(sample).read_text()) for sample in samples.only("train").samples
    }
    assert all(set(chosen) <= set(discs.CLASSES) and chosen for chosen in own.values())
    victim = samples.samples[0]
    run._thresholds.path(victim).unlink()  # as if it had been stopped before this one
    stage = run._stage("thresholds", run._keys.thresholds)
    assert stage.complete
    stage._write({"fingerprint": stage.fingerprint})
    before = times(tmp_path / "thresholds")
    run.run("refine")
    assert json.loads(run._thresholds.path(victim).read_text()) == own[victim.name]
    assert all(times(tmp_path / "thresholds")[name] == time for name, time in before.items() if name != "stage.json")


def test_objects_are_written_as_coco(samples, ready, tmp_path, monkeypatch):
    def boundary_maps(_, images):  # all cells lead to two centers, the discs'; boundaries everywhere, so none walks far
        height, width = -(-images.shape[2] // 4), -(-images.shape[3] // 4)
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        ways = torch.stack([torch.stack([y - rows, x - columns]) for y, x in ((3.5, 3.5), (7.0, 6.5))])
        nearest = ways.norm(dim=1).argmin(dim=0)
        way = torch.where(nearest == 0, ways[0], ways[1]).float()
        return BoundaryMaps(torch.full((len(images), height, width), 0.9), way.expand(len(images), -1, -1, -1))

    monkeypatch.setattr(module.IRNet, "boundary_maps", boundary_maps)
    run = run_of(samples, tmp_path, ready, objects="instances")
    run.run("refine")
    file = tmp_path / "instances/instances.coco.json"
    found = COCO(str(file))
    assert [one["name"] for one in found.loadCats(found.getCatIds())] == list(discs.CLASSES)
    assert len(found.imgs) == 5
    for number, image in found.imgs.items():
        sample = next(sample for sample in samples.samples if sample.name == image["file_name"])
        ground_truth = read_mask(sample.mask)
        assert (image["height"], image["width"]) == ground_truth.shape
        objects = found.loadAnns(found.getAnnIds(imgIds=[number]))
        assert {one["category_id"] for one in objects} == {label + 1 for label in sample.labels}
        for one in objects:
            mask, disc = found.annToMask(one).astype(bool), ground_truth == one["category_id"]
            assert mask.sum() == one["area"]
            assert 0 < one["score"] <= 1
            assert (mask & disc).sum() > disc.sum() / 2 > (mask & ~disc).sum()
    before = times(tmp_path)
    run.run("refine")
    assert times(tmp_path) == before


def test_the_test_photos_of_voc_become_a_submission(samples, tmp_path):
    tested = tuple(replace(sample, split="test", mask=None) for sample in samples.only("val").samples)
    voc = replace(samples, classes=VOC, samples=(*samples.only("train").samples, *tested))
    seeds = SeedFolder("voc", discs.seeds_of(voc, tmp_path / "voc"))
    assert run_of(voc, tmp_path / "out", seeds, settings=QUICK).run()["segmenter_test"] is None
    with tarfile.open(tmp_path / "out/submission/results.tar.gz") as archive:
        names = archive.getnames()
    assert names == [f"results/VOC2012/Segmentation/comp6_test_cls/val_{number}.png" for number in range(2)]


@pytest.mark.parametrize(
    ("more", "until", "sentence"),
    [
        (
            {"settings": replace(QUICK, cam_eval_thres="image_specific")},
            "seed",
            "--cam-eval-thres image_specific needs a BAS model",
        ),
        ({"settings": QUICK, "objects": "instances"}, "segmenter", "needs IRN"),
        ({"objects": "instances"}, "seed", "needs IRN"),
        ({"settings": replace(QUICK, segmenter_network="deeplabv9")}, "segmenter", "no segmentation network deeplabv9"),
    ],
)
def test_what_a_late_stage_would_miss_is_said_before_the_first(samples, ready, tmp_path, more, until, sentence):
    with pytest.raises(InputError, match=sentence):
        run_of(samples, tmp_path / "out", ready, **more).run(until)
    assert not (tmp_path / "out").exists()


def test_more_classes_than_a_label_map_holds_are_refused_before_the_first_stage(samples, ready, tmp_path):
    many = replace(samples, classes=tuple(map(str, range(255))))
    with pytest.raises(InputError, match=r"a label map holds 254 classes, but .* has 255: use fewer tags"):
        run_of(many, tmp_path / "out", ready).run("refine")
    assert not (tmp_path / "out").exists()


def test_seeds_that_lie_where_stages_are_made_are_refused(samples, tmp_path):
    seeds = SeedFolder("bas", discs.seeds_of(samples, tmp_path / "out/seeds/bas"))
    with pytest.raises(InputError, match=r"lies in .*, where stages are made"):
        run_of(samples, tmp_path / "out", seeds, overwrite=True).run("seed")
    assert list(seeds.folder.glob("*.npz"))
    with pytest.raises(InputError, match="nothing to make seeds with"):
        run_of(samples, tmp_path / "out").run("seed")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda mask: Image.fromarray(mask[:-1]), r"val_0\.png is 56 x 39 pixels, but .* is 56 x 40"),
        (lambda mask: Image.fromarray(mask + np.uint8(9)), r"val_0\.png holds the label \d+, but there are 3 classes"),
        (lambda mask: Image.fromarray(mask).convert("RGB"), r"val_0\.png is no mask but RGB"),
    ],
)
def test_ground_truth_that_does_not_fit_is_named_before_any_work(tmp_path, spoil, sentence):
    samples = discs.draw(tmp_path / "voc", 1, val=1)
    mask = samples.only("val").samples[0].mask
    spoil(read_mask(mask)).save(mask)
    with pytest.raises(InputError, match=sentence):
        run_of(samples, tmp_path / "out", bas(), settings=QUICK).run()
    assert not (tmp_path / "out").exists()
