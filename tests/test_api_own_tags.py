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
from torchbas.localization import Localization
from torchbas.structures import Dataset, Sample

CLASSES = ("large", "small", "shaky")
SAMPLES = tuple(Sample(Path(f"{n}.jpg"), f"{n:02}.jpg", (n % 3,)) for n in range(60))
DATASET = Dataset(Path(), CLASSES, SAMPLES)


def one_of(sample: Sample, label: int, inference: Inference) -> Localization:
    """A map whose foreground is a square; that of ``shaky`` falls apart at twice the size."""
    enlarged = CLASSES[label] in inference.enlarged
    side = {"large": 16, "small": 4, "shaky": 4}[CLASSES[label]]
    grid = np.full((20, 20), 0.1, np.float32)
    grid[:side, :side] = 0.6 if CLASSES[label] == "shaky" and enlarged else 0.9
    mask = np.asfortranarray(grid > 0.5, np.uint8)
    common = {"confidence": 0.9, "bas_ratio": 0.2, "threshold": 0.5}
    place = {"size": (20, 20), "xyxy": (0.0, 0.0, float(side), float(side)), "rle": dict(coco.encode(mask))}
    return Localization(image=sample.path, name=sample.name, label=CLASSES[label], grid=grid, **place, **common)


def test_small_tags_with_stable_maps_are_enlarged_and_no_others():
    calls = []

    def localize(dataset: Dataset, localizer: Localizer) -> list[Localization]:
        calls.append((len(dataset.samples), localizer.inference.enlarged))
        return [one_of(s, label, localizer.inference) for s in dataset.samples for label in s.labels]

    inference = Inference(threshold=0.5, normalized=False, enlarge="auto", enlarged=("large",))
    own = localize_own_tags(DATASET, Localizer(tiny_bas(3), CLASSES, 20, 20, inference), localize)
    assert own.localizer.inference.enlarged == ("small",)
    assert calls == [(60, ()), (2 * TRIED, ("small", "shaky")), (20, ("small",))]
    assert [one.name for one in own.found] == [sample.name for sample in SAMPLES]
    never = replace(inference, enlarge="never")
    calls.clear()
    assert not localize_own_tags(
        DATASET, Localizer(tiny_bas(3), CLASSES, 20, 20, never), localize
    ).localizer.inference.enlarged
    assert len(calls) == 1


def test_score_and_stability_by_hand():
    one = one_of(SAMPLES[1], 1, Inference())
    assert one.stability == 1.0  # 16 cells above .3 and above .7
    height, width = one.size
    for box, touched in (
        ((2, 2, width - 2, height - 2), 0),
        ((0, 2, width - 2, height), 2),
        ((0, 0, width, height), 4),
    ):
        assert replace(one, xyxy=tuple(map(float, box))).score == pytest.approx(0.8**touched)
    shaky = one_of(SAMPLES[2], 2, Inference(enlarged=("shaky",)))
    assert shaky.stability == 0.0
    assert shaky.score == 0.0
