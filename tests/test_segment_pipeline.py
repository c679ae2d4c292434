"""The pipeline on discs: every stage kept, gone on with, and never a mixture of two runs."""

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
from torchbas.data.voctags import VOC
from torchbas.errors import InputError
from torchbas.segment import pipeline as module
from torchbas.segment.irn import Look
from torchbas.segment.pipeline import Pipeline
from torchbas.segment.setup import Machine, Start
from torchbas.segment.sources import Method, Ready

SETTINGS = discs.SETTINGS
QUICK = replace(SETTINGS, refine="none")
COLOURS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(module, "BACKBONE", "test_resnet")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return discs.draw(tmp_path_factory.mktemp("voc"), 5, val=2)


@pytest.fixture(scope="module")
def ready(photos, tmp_path_factory):
    return Ready("blurred", discs.seeds_of(photos, tmp_path_factory.mktemp("seeds") / "blurred"))


def run_of(photos, out, *sources, settings=SETTINGS, **more):
    start = Start(irn=False, student=False, initialisation="none")
    return Pipeline(photos, out, sources, settings, start=start, machine=Machine(device="cpu"), **more)


def bas(seed=0, name="bas", **changes):
    network = tiny_bas(3, seed, **changes)
    return Method(name, f"{seed}{changes}", network, COLOURS, network)


def times(out):
    """When each file of the stages was written; the scores may be written again."""
    files = [path for path in out.rglob("*") if path.is_file() and "scores" not in path.parts]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def whole(photos, ready, tmp_path_factory):
    """A run from seeds to predictions, and its scores."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BACKBONE", "test_resnet")
        return out, run_of(photos, out, ready).run()


def test_every_stage_leaves_what_it_found(whole, photos):
    out, scores = whole
    assert set(scores) == {"seed", "masks", "student_val"}
    assert scores["seed"]["miou"] > 80
    assert scores["student_val"]["photos"] == 2
    assert scores["student_val"]["initialisation"] == "none"
    for photo in photos.photos:
        folder = "masks" if photo.split == "train" else "predictions/val"
        assert read_mask(out / folder / f"{photo.path.stem}.png").shape == read_mask(photo.mask).shape
    assert not (out / "submission").exists()


def test_a_complete_run_is_not_done_again(whole, photos, ready):
    out, scores = whole
    before = times(out)
    assert run_of(photos, out, ready).run() == scores
    assert times(out) == before


def test_other_settings_are_refused_and_nothing_is_lost(whole, photos, ready):
    out, _ = whole
    before = times(out)
    with pytest.raises(InputError, match="masks was made with other settings or data"):
        run_of(photos, out, ready, settings=replace(SETTINGS, ground=0.3)).run()
    assert times(out) == before


def test_with_overwrite_only_what_differs_is_made_again(photos, ready, tmp_path):
    settings = replace(QUICK, student_steps=1)
    run_of(photos, tmp_path, ready, settings=settings).run()
    before = times(tmp_path)
    run_of(photos, tmp_path, ready, settings=replace(settings, student_steps=2), overwrite=True).run()
    changed = {name for name, time in times(tmp_path).items() if time != before.get(name)}
    assert {name.split("/")[0] for name in changed} == {"student", "predictions"}


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"scales": (0.5,)}, "seeds/bas"),
        ({"certain": 0.4}, "certain"),
        ({"irn_lr": 0.2}, "irn"),
        ({"power": 1.0}, "masks"),
        ({"student_lr": 1e-3}, "student"),
        ({"student_crf": False}, "predictions/val"),
    ],
)
def test_a_setting_belongs_to_the_first_stage_that_it_changes(photos, tmp_path, change, first):
    order = ["seeds/bas", "certain", "irn", "masks", "student", "predictions/val"]
    kept = replace(photos, photos=photos.photos[:1] + photos.photos[-1:])
    one, other = (run_of(kept, tmp_path, bas(), settings=s)._from for s in (SETTINGS, replace(SETTINGS, **change)))
    parts = [
        (lambda way: way.source(bas())),
        *(
            (lambda way, name=name: getattr(way, name))
            for name in ("certain", "irn", "masks", "student", "predictions")
        ),
    ]
    differs = [name for name, of in zip(order, parts, strict=True) if str(of(one)) != str(of(other))]
    assert differs == order[order.index(first) :]


def test_settings_that_a_way_does_not_use_do_not_matter(photos, tmp_path):
    one, other = (run_of(photos, tmp_path, bas(), settings=s)._from for s in (QUICK, replace(QUICK, irn_lr=1.0)))
    assert one.student == other.student


def test_photos_that_were_added_are_other_data(photos, ready, tmp_path):
    fewer = replace(photos, photos=photos.photos[1:])
    run_of(fewer, tmp_path, ready, settings=QUICK).run("refine")
    with pytest.raises(InputError, match="seeds/blurred was made with other settings or data"):
        run_of(photos, tmp_path, ready, settings=QUICK).run("refine")


def test_truth_that_comes_later_judges_what_is_there(photos, ready, tmp_path):
    blind = replace(photos, photos=tuple(replace(photo, mask=None) for photo in photos.photos))
    scores = run_of(blind, tmp_path, ready, settings=QUICK).run()
    assert scores == {"seed": None, "masks": None, "student_val": None}
    before = times(tmp_path)
    scores = run_of(photos, tmp_path, ready, settings=QUICK).run()
    assert times(tmp_path) == before
    assert scores["masks"]["photos"] == 5
    photos.photos[0].mask.touch()
    assert run_of(photos, tmp_path, ready, settings=QUICK).run() == scores


def test_tags_alone_are_enough_and_without_splits_nothing_is_predicted(ready, photos, tmp_path):
    train = tuple(replace(photo, mask=None, split="") for photo in photos.only("train").photos)
    assert run_of(replace(photos, photos=train), tmp_path, ready, settings=QUICK).run() == {"seed": None, "masks": None}
    assert (tmp_path / "student/model.json").is_file()
    assert not (tmp_path / "predictions").exists()


def test_photos_without_tags_are_masked_but_nothing_is_learned_from_them(photos, tmp_path):
    bare = replace(photos.photos[0], labels=())
    mixed = replace(photos, photos=(bare, *photos.photos[1:]))
    run = run_of(mixed, tmp_path / "out", bas(), settings=QUICK)
    run.run("refine")
    assert not read_mask(run.masks.path(bare)).any()
    assert bare.path not in [photo for photo, _ in run._lessons(run.masks)]
    with pytest.raises(InputError, match="has no tagged photos to learn from"):
        run_of(replace(photos, photos=(bare,)), tmp_path / "none", bas()).run()


def test_a_dot_a_strip_and_a_poster_go_all_the_way(tmp_path):
    root = tmp_path / "photos"
    for tag, size in (("cat", (1, 1)), ("dog", (700, 3)), ("cat", (30, 660)), ("dog", (33, 47))):
        (root / tag).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(root / tag / f"{size[0]}.png")
    photos = data.read(root)
    run = run_of(photos, tmp_path / "out", replace(bas(), network=tiny_bas(2)), objects="instances")
    run.run()
    for photo in photos.photos:
        with Image.open(photo.path) as image:
            assert read_mask(run.masks.path(photo)).shape == image.size[::-1]


def test_seeds_of_two_sources_are_added_and_a_foreground_weakens_them(photos, ready, tmp_path):
    together = run_of(photos, tmp_path / "a", ready, bas(), settings=QUICK)
    together.run("seed")
    photo = photos.photos[0]
    one, other = (module.Seeds((tmp_path / "a/seeds" / name,), together.seeds.places) for name in ("blurred", "bas"))
    added = one(photo).maps / one(photo).maps.max() + other(photo).maps / other(photo).maps.max()
    assert np.allclose(together.seeds(photo).maps, added / added.max(), atol=2e-3)
    weaker = run_of(photos, tmp_path / "b", ready, foreground=bas(name="agnostic", agnostic=True), settings=QUICK)
    weaker.run("seed")
    assert (weaker.seeds(photo).maps <= one(photo).maps + 1e-3).all()
    assert (weaker.seeds(photo).maps < one(photo).maps - 0.1).any()


def test_thresholds_of_each_image_are_chosen_used_and_kept(photos, ready, tmp_path):
    settings = replace(QUICK, cut="image")
    run = run_of(photos, tmp_path, ready, bas(), settings=settings)
    scores = run.run("refine")
    assert scores["image_threshold"]["miou"] == pytest.approx(scores["masks"]["miou"])
    own = {photo.name: json.loads(run._thresholds.path(photo).read_text()) for photo in photos.only("train").photos}
    assert all(set(chosen) <= set(discs.CLASSES) and chosen for chosen in own.values())
    victim = photos.photos[0]
    run._thresholds.path(victim).unlink()  # as if it had been stopped before this one
    stage = run._stage("thresholds", run._from.thresholds)
    assert stage.complete
    stage._write({"identity": stage.identity})
    before = times(tmp_path / "thresholds")
    run.run("refine")
    assert json.loads(run._thresholds.path(victim).read_text()) == own[victim.name]
    assert all(times(tmp_path / "thresholds")[name] == time for name, time in before.items() if name != "stage.json")


def test_objects_are_written_as_coco(photos, ready, tmp_path, monkeypatch):
    def look(_, images):  # two centres, those of the discs, draw all cells; boundaries everywhere, so none walks far
        height, width = -(-images.shape[2] // 4), -(-images.shape[3] // 4)
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        ways = torch.stack([torch.stack([y - rows, x - columns]) for y, x in ((3.5, 3.5), (7.0, 6.5))])
        nearest = ways.norm(dim=1).argmin(dim=0)
        way = torch.where(nearest == 0, ways[0], ways[1]).float()
        return Look(torch.full((len(images), height, width), 0.9), way.expand(len(images), -1, -1, -1))

    monkeypatch.setattr(module.IRNet, "look", look)
    run = run_of(photos, tmp_path, ready, objects="instances")
    run.run("refine")
    file = tmp_path / "instances/instances.coco.json"
    found = COCO(str(file))
    assert [one["name"] for one in found.loadCats(found.getCatIds())] == list(discs.CLASSES)
    assert len(found.imgs) == 5
    for number, image in found.imgs.items():
        photo = next(photo for photo in photos.photos if photo.name == image["file_name"])
        truth = read_mask(photo.mask)
        assert (image["height"], image["width"]) == truth.shape
        objects = found.loadAnns(found.getAnnIds(imgIds=[number]))
        assert {one["category_id"] for one in objects} == {label + 1 for label in photo.labels}
        for one in objects:
            mask, disc = found.annToMask(one).astype(bool), truth == one["category_id"]
            assert mask.sum() == one["area"]
            assert 0 < one["score"] <= 1
            assert (mask & disc).sum() > disc.sum() / 2 > (mask & ~disc).sum()
    before = times(tmp_path)
    run.run("refine")
    assert times(tmp_path) == before


def test_the_test_photos_of_voc_become_a_submission(photos, tmp_path):
    strangers = tuple(replace(photo, split="test", mask=None) for photo in photos.only("val").photos)
    voc = replace(photos, classes=VOC, photos=(*photos.only("train").photos, *strangers))
    seeds = Ready("voc", discs.seeds_of(voc, tmp_path / "voc"))
    assert run_of(voc, tmp_path / "out", seeds, settings=QUICK).run()["student_test"] is None
    with tarfile.open(tmp_path / "out/submission/results.tar.gz") as archive:
        names = archive.getnames()
    assert names == [f"results/VOC2012/Segmentation/comp6_test_cls/val_{number}.png" for number in range(2)]


@pytest.mark.parametrize(
    ("more", "until", "sentence"),
    [
        ({"settings": replace(QUICK, cut="image")}, "seed", "--cut image needs a BAS model"),
        ({"settings": QUICK, "objects": "instances"}, "student", "needs IRN's boundaries"),
        ({"objects": "instances"}, "seed", "needs IRN's boundaries"),
        ({"settings": replace(QUICK, student="deeplabv9")}, "student", "There is no student deeplabv9"),
    ],
)
def test_what_a_late_stage_would_miss_is_said_before_the_first(photos, ready, tmp_path, more, until, sentence):
    with pytest.raises(InputError, match=sentence):
        run_of(photos, tmp_path / "out", ready, **more).run(until)
    assert not (tmp_path / "out").exists()


def test_seeds_that_lie_where_stages_are_made_are_refused(photos, tmp_path):
    seeds = Ready("bas", discs.seeds_of(photos, tmp_path / "out/seeds/bas"))
    with pytest.raises(InputError, match=r"lies in .*, where stages are made"):
        run_of(photos, tmp_path / "out", seeds, overwrite=True).run("seed")
    assert list(seeds.folder.glob("*.npz"))
    with pytest.raises(InputError, match="nothing to make seeds with"):
        run_of(photos, tmp_path / "out").run("seed")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda mask: Image.fromarray(mask[:-1]), r"val_0\.png is 56 x 39 pixels, but .* is 56 x 40"),
        (lambda mask: Image.fromarray(mask + np.uint8(9)), r"val_0\.png holds the label \d+, but there are 3 classes"),
        (lambda mask: Image.fromarray(mask).convert("RGB"), r"val_0\.png is no mask but RGB"),
    ],
)
def test_truth_that_does_not_fit_is_named_before_any_work(tmp_path, spoil, sentence):
    photos = discs.draw(tmp_path / "voc", 1, val=1)
    mask = photos.only("val").photos[0].mask
    spoil(read_mask(mask)).save(mask)
    with pytest.raises(InputError, match=sentence):
        run_of(photos, tmp_path / "out", bas(), settings=QUICK).run()
    assert not (tmp_path / "out").exists()
