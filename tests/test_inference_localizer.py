"""A model in use: whatever photo comes, its boxes, masks and heatmaps are in that photo's own pixels."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_bas

from torchbas.config import Architecture, Inference
from torchbas.data import decode, open_image, standardize, whole_view
from torchbas.errors import InputError
from torchbas.inference.localizer import Localizer
from torchbas.localization import Shape
from torchbas.methods.bas import BASMethod
from torchbas.structures import Dataset

NORMALIZATION = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def _small_bas():
    """A network that can be built again from its card."""
    return BASMethod.build(Architecture("test_resnet", hidden=16), 6, False, NORMALIZATION)


@pytest.fixture(scope="module")
def localizer(demo_set):
    """One of random weights, whose heatmaps are as large as its input."""
    return Localizer(tiny_bas(classes=6), demo_set.classes, resize=32, crop=28)


@pytest.fixture(scope="module")
def paths(demo_set):
    return [sample.path for sample in demo_set.only("test").samples]


def _said(found):
    """All that was found, comparable."""
    return [(one.name, one.label, one.xyxy, one.rle, one.confidence, one.bas_ratio, one.threshold) for one in found]


def _bounds(mask):
    ys, xs = np.nonzero(mask)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


@pytest.mark.parametrize("objects", ["largest", "all"])
def test_boxes_masks_and_heatmaps_agree_in_the_photo_s_own_pixels(localizer, demo_set, objects):
    found = list(localizer.stream(demo_set, objects=objects))
    for one in found:
        with Image.open(one.image) as sample:
            assert one.size == one.mask.shape == one.heatmap.shape == sample.size[::-1]
        assert one.xyxy == _bounds(one.mask)
        assert (one.heatmap[one.mask] > one.threshold).all()
        assert one.grid.shape == (32, 32)
        assert one.grid.min() == 0
        assert one.grid.max() == pytest.approx(1, abs=1e-4)
        assert 0 <= one.confidence <= 1
        assert 0 <= one.bas_ratio <= 1


def test_all_objects_are_the_largest_and_smaller_ones_that_do_not_overlap(localizer, demo_set):
    peaks = replace(localizer, inference=Inference(threshold=0.7))  # high enough that maps fall into pieces
    largest, every = (list(peaks.stream(demo_set, objects=objects)) for objects in ("largest", "all"))
    assert len(largest) == len(demo_set.samples) < len(every)
    for one in largest:
        others = [other for other in every if other.name == one.name]
        sizes = [other.mask.sum() for other in others]
        assert sizes == sorted(sizes, reverse=True)
        together = sum(other.mask.astype(int) for other in others)
        assert together.max() == 1
        assert (one.mask & (together == 0)).mean() < 0.01  # specks that were cut from it


def test_photos_come_back_in_order_with_all_their_tags_whatever_the_batch(localizer, demo_set):
    first, second, *others = demo_set.samples
    several = replace(demo_set, samples=(replace(first, labels=(1, 4)), replace(second, labels=()), *others))
    asked = [(sample.name, demo_set.classes[label]) for sample in several.samples for label in sample.labels]
    by_one, by_many = (list(localizer.stream(several, batch_size=size)) for size in (1, 7))
    assert [(one.name, one.label) for one in by_one] == [(one.name, one.label) for one in by_many] == asked
    assert [one.ground_truth for one in by_one[:2]] == [first.boxes, first.boxes]
    for one, other in zip(by_one, by_many, strict=True):
        assert one.grid == pytest.approx(other.grid, abs=1e-4)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)


def test_workers_and_precision_change_the_speed_only(localizer, demo_set):
    plain = list(localizer.stream(demo_set))
    assert _said(localizer.stream(demo_set, workers=1)) == _said(plain)
    half = list(localizer.stream(demo_set, precision=lambda: torch.autocast("cpu", torch.bfloat16)))
    assert [one.label for one in half] == [one.label for one in plain]
    assert [one.confidence for one in half] == pytest.approx([one.confidence for one in plain], abs=0.05)


def test_a_saved_model_finds_the_same_elsewhere(demo_set, paths, tmp_path):
    inference = Inference(top_k=2, threshold=0.3)
    shapes = ((demo_set.classes[0], 0.25, 0.5),)
    first = Localizer(_small_bas(), demo_set.classes, 96, 84, inference, "mine", {"lr": 0.5}, "abc", shapes)
    first.save(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    second = Localizer.load(tmp_path / "there")
    assert replace(second, model=first.model) == first
    for kernel in (one for model in (first.model, second.model) for one in model.parameters() if one.dim() == 4):
        assert kernel.is_contiguous(memory_format=torch.channels_last)  # else other kernels run, which round otherwise
    assert _said(second(paths)) == _said(first(paths))
    assert {one.typical for one in second(paths, tags=demo_set.classes[:2])} == {Shape(0.25, 0.5), None}
    with pytest.raises(InputError, match="here is no folder of a model"):
        Localizer.load(tmp_path / "here")


@pytest.mark.parametrize(
    "change",
    [
        {"mean": None},
        {"inference": {"top_k": -1}},
        {"inference": {"tip": 1}},
        {"resize": ...},
        {"shapes": [["fish", 2, 0.5]]},
        {"shapes": [["fish", 0.5]]},
    ],
)
def test_a_damaged_card_is_refused_by_name(demo_set, tmp_path, change):
    Localizer(_small_bas(), demo_set.classes, 96, 84).save(tmp_path)
    card = {**json.loads((tmp_path / "model.json").read_text()), **change}
    (tmp_path / "model.json").write_text(json.dumps({name: value for name, value in card.items() if value != ...}))
    with pytest.raises(InputError, match=r"model\.json describes a network that this version does not know"):
        Localizer.load(tmp_path)


def test_an_unknown_tag_is_refused_with_those_that_there_are(localizer, paths):
    with pytest.raises(InputError, match=r'does not know the tag "cat"; it knows fish, flower, ladybird, leaf'):
        localizer(paths[0], tags=["fish", "cat"])
    many = replace(localizer, classes=tuple(f"tag{n}" for n in range(30)))
    with pytest.raises(InputError, match=r"tag18, tag19, \.\.\.\.$"):
        many.label_of("cat")


def test_a_class_list_in_another_order_is_matched_by_name(localizer, demo_set):
    order = [3, 5, 0, 2, 4, 1]
    classes = ("unused", *(demo_set.classes[label] for label in order))
    samples = tuple(replace(p, labels=tuple(order.index(label) + 1 for label in p.labels)) for p in demo_set.samples)
    renamed = Dataset(demo_set.root, classes, samples)
    assert _said(localizer.stream(renamed)) == _said(localizer.stream(demo_set))
    several = replace(renamed, samples=(replace(samples[0], labels=(2, 3)),))
    assert localizer.with_own_classes(several).samples[0].labels == (0, 5), (
        "ascending, so that the first is the same everywhere"
    )
    with pytest.raises(InputError, match='"unused"'):
        list(localizer.stream(replace(renamed, samples=(replace(samples[0], labels=(0, 1)),))))


def test_predicted_is_the_most_probable_class_whatever_the_photo_is_tagged(localizer, demo_set):
    strange = Dataset(
        demo_set.root,
        ("a", "b", "c", "d", "e", "f", "g", "h"),
        tuple(replace(sample, labels=(7,) if number % 2 else ()) for number, sample in enumerate(demo_set.samples)),
    )
    found = list(localizer.stream(strange, tags="predicted"))
    assert [one.name for one in found] == [sample.name for sample in demo_set.samples]
    for one in found[:6]:
        others = localizer(one.image, tags=demo_set.classes)
        assert one.label == max(others, key=lambda other: other.confidence).label
        assert one.confidence == pytest.approx(max(other.confidence for other in others))
        assert sum(other.confidence for other in others) == pytest.approx(1)


def test_one_photo_or_several_by_path_with_tags_or_without(localizer, paths):
    (one,) = localizer(str(paths[0]), tags=["leaf"])
    assert (one.image, one.name, one.label) == (paths[0], str(paths[0]), "leaf")
    assert [one.name for one in localizer(paths[:3])] == list(map(str, paths[:3]))
    assert localizer([]) == []


def test_a_photo_that_cannot_be_read_is_named(localizer, tmp_path):
    with pytest.raises(InputError, match=r"absent\.jpg does not exist"):
        localizer(tmp_path / "absent.jpg")


def test_a_turned_photo_gets_boxes_in_upright_pixels(localizer, paths, tmp_path):
    upright = open_image(paths[0]).resize((60, 40))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    (expected,) = localizer(tmp_path / "upright.png", tags=["fish"])
    (found,) = localizer(tmp_path / "turned.png", tags=["fish"])
    assert found.size == found.mask.shape == (40, 60)
    assert _said([replace(found, name="")]) == _said([replace(expected, name="")])


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2, 1)])
def test_the_smallest_photos_have_a_box_too(localizer, tmp_path, size):
    Image.new("RGB", size, "teal").save(tmp_path / "dot.png")
    (found,) = localizer(tmp_path / "dot.png", tags=["snail"])
    x0, y0, x1, y1 = found.xyxy
    assert 0 <= x0 < x1 <= size[0]
    assert 0 <= y0 < y1 <= size[1]
    assert found.mask.shape == found.heatmap.shape == size[::-1]


def test_a_map_with_nothing_above_the_threshold_is_nothing(localizer, paths):
    strict = replace(localizer, inference=Inference(threshold=1.0))
    assert strict(paths[0], tags=["fish"]) == []


def test_a_map_that_is_not_normalized_may_be_below_the_threshold_everywhere(localizer, paths):
    (found,) = replace(localizer, inference=Inference(threshold=0.0, normalized=False))(paths[0], tags=["fish"])
    above = replace(localizer, inference=Inference(threshold=float(found.grid.max()) + 1e-3, normalized=False))
    below = replace(localizer, inference=Inference(threshold=float(found.grid.max()) / 2, normalized=False))
    assert above(paths[0], tags=["fish"]) == []
    assert len(below(paths[0], tags=["fish"])) == 1


def test_a_large_jpeg_is_decoded_smaller_but_answered_in_its_own_pixels(localizer, paths, tmp_path):
    large = open_image(paths[0]).resize((900, 600))
    large.save(tmp_path / "large.jpg", quality=95)
    large.save(tmp_path / "large.png")
    (jpeg,), (png,) = (localizer(tmp_path / f"large.{kind}", tags=["fish"]) for kind in ("jpg", "png"))
    assert jpeg.size == png.size == (600, 900)
    assert np.abs(jpeg.heatmap - png.heatmap).mean() < 0.05


def test_objects_come_while_later_photos_are_still_on_the_disk(localizer, demo_set, monkeypatch):
    decoded = []
    monkeypatch.setattr("torchbas.data.loader.decode", lambda *given: decoded.append(given) or decode(*given))
    stream = localizer.stream(demo_set, batch_size=4)
    assert decoded == []
    next(stream)
    assert len(decoded) == 4
    for _ in range(4):
        next(stream)
    assert len(decoded) == 8
    stream.close()
    assert len(decoded) == 8
    assert {at_least for _, at_least, _ in decoded} == {localizer.resize}, "no photo is decoded larger than needed"


def test_the_heatmap_is_the_grid_upsampled(localizer, paths):
    (found,) = localizer(paths[0], tags=["fish"])
    height, width = found.size
    assert np.array_equal(found.heatmap, cv2.resize(found.grid, (width, height)))


def test_layercam_stands_in_for_the_maps_of_a_dead_tag(localizer, paths):
    other = localizer.classes[1]
    mixed = replace(localizer, inference=replace(localizer.inference, layercam=("fish",)))
    before, after = localizer(paths[0], tags=["fish", other]), mixed(paths[0], tags=["fish", other])
    assert [one.method for one in before] == ["bas", "bas"]
    assert {one.label: one.method for one in after} == {"fish": "layercam", other: "bas"}
    (fish,), (rest,) = ([one for one in after if one.label == tag] for tag in ("fish", other))
    (kept,) = (one for one in before if one.label == other)
    np.testing.assert_allclose(rest.grid, kept.grid, atol=1e-5)  # one product of two maps, or of one
    images = torch.stack([whole_view(open_image(paths[0]), localizer.resize)])
    network = localizer.model.eval()
    features = network.features(standardize(images, *network.normalization)).detach().requires_grad_()
    score = network.head(network.f2(features)).mean((2, 3))[0, localizer.classes.index("fish")]
    (gradient,) = torch.autograd.grad(score, features)
    expected = (gradient.relu() * features).sum(1).relu().detach()[0]
    expected = (expected - expected.min()) / (expected.max() - expected.min() + 1e-5)
    np.testing.assert_allclose(fish.grid, expected, atol=1e-4)


def test_photos_may_be_squeezed_to_other_sides_than_in_training(localizer, demo_set):
    larger = localizer.with_inference(input_size=48)
    assert localizer.sides == (32, 28)
    assert larger.sides == (48, 42)
    assert {one.grid.shape for one in larger.stream(demo_set)} == {(48, 48)}
    assert localizer.with_inference(input_size=None) is localizer
    alone = Localizer(localizer.model, localizer.classes, resize=48, crop=42)
    assert _said(larger.stream(demo_set)) == _said(alone.stream(demo_set))
