"""Which tags are localized at twice the size, and that the rest stays as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco
from tiny import tiny_bas

from torchbas.api.own_tags import TRIED, localize_own_tags
from torchbas.config import Inference
from torchbas.inference.localizer import Localizer
from torchbas.localization import Localization, Shape
from torchbas.structures import Dataset, Sample

SIDES = {
    "small": (3, 2),
    "faint": (3, 1),
    "shaky": (3, 3),
    "other": (16, 8),
    "same": (16, 16),
    "fading": (16, 8),
    "unexplained": (16, 8),
}
"""Sides in 20ths of the object at the photo's size and at twice that.

Of the sure area .44, .11, none and all are left of the small ones; the boxes of the last but ``same`` are others."""
CLASSES = tuple(SIDES)
SAMPLES = tuple(Sample(Path(f"{n}.jpg"), f"{n:03}.jpg", (n % 7,)) for n in range(140))
DATASET = Dataset(Path(), CLASSES, SAMPLES)


def one_of(sample: Sample, label: int, inference: Inference) -> Localization:
    """A map whose foreground is a square; at twice the size ``shaky`` is never sure, ``fading`` has a wide rim, and
    hiding ``unexplained`` leaves the evidence."""
    tag = CLASSES[label]
    enlarged = tag in inference.enlarged
    side = SIDES[tag][enlarged]
    grid = np.full((20, 20), 0.1, np.float32)
    if tag == "fading" and enlarged:
        grid[: side + 2, : side + 2] = 0.4
    grid[:side, :side] = 0.6 if tag == "shaky" and enlarged else 0.9
    mask = np.zeros((20, 20), np.uint8, order="F")
    mask[:side, :side] = 1
    ratio = 0.9 if tag == "unexplained" and enlarged else 0.6
    common = {"confidence": 0.9, "bas_ratio": ratio, "threshold": 0.5}
    place = {"size": (20, 20), "xyxy": (0.0, 0.0, float(side), float(side)), "rle": dict(coco.encode(mask))}
    return Localization(image=sample.path, name=sample.name, label=tag, grid=grid, **place, **common)


def test_tags_whose_maps_hold_at_twice_the_size_are_enlarged_and_no_others():
    calls = []

    def localize(dataset: Dataset, localizer: Localizer) -> list[Localization]:
        inference = localizer.inference
        calls.append((len(dataset.samples), inference.enlarged))
        found = [one_of(s, label, inference) for s in dataset.samples for label in s.labels]
        return found + found[:1]  # a second object in one map

    inference = Inference(threshold=0.5, normalized=False, enlarge="auto", enlarged=("same",))
    own = localize_own_tags(DATASET, Localizer(tiny_bas(7), CLASSES, 20, 20, inference), localize)
    assert own.localizer.inference == replace(inference, enlarged=("small", "other"))
    (few, _), (more, _) = TRIED
    held = ("small", "other")  # of all seven tags, and of these again
    assert calls == [(140, ()), (7 * few, CLASSES), (2 * more, held), (40, held)]
    assert list(dict.fromkeys(one.name for one in own.found)) == [sample.name for sample in SAMPLES]
    shapes = {tag: (SIDES[tag][tag in held] ** 2 / 400, 1.0) for tag in CLASSES}
    assert {tag: shape for tag, *shape in own.localizer.shapes} == {
        tag: pytest.approx(shape) for tag, shape in shapes.items()
    }
    assert {one.label: one.typical for one in own.found} == {tag: pytest.approx(shape) for tag, shape in shapes.items()}
    never = replace(inference, enlarge="never")
    calls.clear()
    kept = localize_own_tags(DATASET, Localizer(tiny_bas(7), CLASSES, 20, 20, never), localize)
    assert not kept.localizer.inference.enlarged
    assert calls == [(140, ())]


def test_what_is_known_of_the_tags_of_an_earlier_model_stands_and_only_new_ones_are_tried():
    tried = []

    def localize(dataset: Dataset, localizer: Localizer) -> list[Localization]:
        tried.append(localizer.inference.enlarged)
        return [one_of(s, label, localizer.inference) for s in dataset.samples for label in s.labels]

    inference = Inference(
        threshold=0.5, normalized=False, enlarge="auto", enlarged=("faint", "fading"), layercam=("shaky", "fading")
    )
    shapes = (("small", 0.5, 2.0), ("fading", 0.5, 2.0))
    earlier = Localizer(
        tiny_bas(7), CLASSES, 20, 20, inference, shapes=shapes, began_from=("earlier", CLASSES.index("other"))
    )
    own = localize_own_tags(DATASET, earlier, localize)
    # "small" and "faint" are known; "fading" is not, and nothing that was said of it counts
    assert own.localizer.inference.enlarged == ("faint", "other")
    assert own.localizer.inference.layercam == ("shaky",)
    assert tried[:2] == [("faint",), ("other", "same", "fading", "unexplained")]
    assert [report.tag for report in own.reports if report.method == "layercam"] == ["shaky"]
    now = {tag: shape for tag, *shape in own.localizer.shapes}
    assert now["small"] == [0.5, 2.0]
    assert now["fading"] == pytest.approx([256 / 400, 1.0])


def test_score_and_stability_by_hand():
    one = one_of(SAMPLES[0], 0, Inference())
    assert one.stability == 1.0  # 9 cells above .3 and above .7
    height, width = one.size
    for box, touched in (
        ((2, 2, width - 2, height - 2), 0),
        ((0, 2, width - 2, height), 2),
        ((0, 0, width, height), 4),
    ):
        assert replace(one, xyxy=tuple(map(float, box))).score == pytest.approx(0.8**touched)
    quarter = replace(one, xyxy=(5.0, 5.0, 15.0, 15.0))  # 100 of 400 pixels, of which the mask has 9
    assert quarter.shape == pytest.approx((0.25, 0.09))
    assert replace(quarter, typical=Shape(0.25, 0.09)).score == quarter.score == 1.0
    assert replace(quarter, typical=Shape(0.5, 0.09)).score == pytest.approx(0.5**0.3)
    assert replace(quarter, typical=Shape(0.125, 0.18)).score == pytest.approx(0.5**0.9)
    shaky = one_of(SAMPLES[2], 2, Inference(enlarged=("shaky",)))
    assert shaky.stability == 0.0
    assert shaky.score == 0.0
