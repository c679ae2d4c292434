"""A dataset owns its class list: tags are counted anew when some of them turn out to be background."""

from pathlib import Path

import pytest

from torchbas.errors import InputError
from torchbas.structures import Dataset, Sample

TAGGED = Dataset(
    Path("photos"),
    ("crack", "good", "scratch"),
    tuple(Sample(Path(f"{i}.png"), f"{i}.png", labels) for i, labels in enumerate([(0,), (1,), (1, 2), (0, 2), ()])),
)


def _labels(dataset: Dataset) -> list[tuple[int, ...]]:
    return [sample.labels for sample in dataset.samples]


def test_a_tag_that_means_background_is_no_class_and_leaves_other_tags_alone():
    dataset = TAGGED.with_background("good")
    assert dataset.classes == ("crack", "scratch")
    assert _labels(dataset) == [(0,), (), (1,), (0, 1), ()]
    assert [sample.name for sample in dataset.samples] == [sample.name for sample in TAGGED.samples]


def test_several_tags_may_mean_background_or_none():
    dataset = TAGGED.with_background("crack", "good", "good")
    assert dataset.classes == ("scratch",)
    assert _labels(dataset) == [(), (), (0,), (0,), ()]
    assert TAGGED.with_background() == TAGGED


def test_an_unknown_background_tag_is_refused_with_those_there_are():
    with pytest.raises(InputError, match=r'photos has no tag "god"; it has crack, good, scratch\.'):
        TAGGED.with_background("good", "god")


def test_one_tag_must_be_left():
    with pytest.raises(InputError, match="photos has no other tag than good, crack, scratch: leave one"):
        TAGGED.with_background("good", "crack", "scratch")
