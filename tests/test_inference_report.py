"""Reports per tag, of localizations made by hand whose areas and medians can be counted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from torchbas.inference.report import not_found, report_per_tag
from torchbas.localization import Localization, NotFound, TagReport
from torchbas.structures import Dataset, Sample

SIZE = (10, 20)


def photos(*tags_of_each: str, classes: tuple[str, ...] = ("cat", "dog", "cow")) -> Dataset:
    """Photos 0.jpg, 1.jpg, ... with these tags, a space between two."""
    labels = (tuple(sorted(classes.index(tag) for tag in tags.split())) for tags in tags_of_each)
    samples = (Sample(Path(f"{n}.jpg"), f"{n}.jpg", own) for n, own in enumerate(labels))
    return Dataset(Path(), classes, tuple(samples))


def one(photo: int, tag: str = "cat", pixels: int = 50, ratio: float = 0.1, confidence: float = 0.9) -> Localization:
    """An object of so many of the 200 pixels of a photo."""
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask.T.flat[:pixels] = 1
    assert mask.sum() == pixels
    return Localization(
        image=Path(f"{photo}.jpg"),
        name=f"{photo}.jpg",
        size=SIZE,
        label=tag,
        xyxy=(0.0, 0.0, 20.0, 10.0),
        rle=dict(coco_mask.encode(mask)),
        grid=np.ones((2, 2), np.float32),
        confidence=confidence,
        bas_ratio=ratio,
        threshold=0.5,
    )


GOOD = TagReport("cat", photos=10, found=10, area=0.3, evidence_left=0.1, known=1.0)


def test_a_report_has_the_medians_over_all_photos_of_the_tag():
    found = [one(0, pixels=20, ratio=0.2), one(1, pixels=60, ratio=0.4, confidence=0.3), one(2, pixels=100, ratio=0.6)]
    (report,) = report_per_tag(photos("cat", "cat", "cat"), found)
    assert report == TagReport("cat", 3, 3, area=0.3, evidence_left=0.4, known=2 / 3)


def test_where_nothing_was_found_the_area_is_0_all_evidence_is_left_and_the_tag_is_not_known():
    (report,) = report_per_tag(photos("cat", "cat", "cat", "cat"), [one(0, pixels=40), one(2, pixels=80, ratio=0.5)])
    assert report == TagReport(
        "cat", 4, 2, area=0.1, evidence_left=0.75, known=0.5, nothing_found=("1.jpg", "3.jpg")
    )  # of areas 0, 0, .2 and .4, and of ratios .1, .5, 1 and 1


def test_several_objects_of_a_photo_cover_their_sum_and_count_once():
    found = [one(0, pixels=30), one(0, pixels=10), one(1, pixels=20)]
    (report,) = report_per_tag(photos("cat", "cat"), found)
    assert (report.found, report.area, report.known) == (2, pytest.approx(0.15), 1)


def test_tags_of_one_photo_are_counted_each_for_itself():
    dataset = photos("cat dog", "dog", "")
    found = [one(0, "cat", pixels=20), one(0, "dog", pixels=100, ratio=0.3)]
    cat, dog = report_per_tag(dataset, found)
    assert cat == TagReport("cat", 1, 1, area=0.1, evidence_left=0.1, known=1.0)
    assert dog == TagReport("dog", 2, 1, area=0.25, evidence_left=0.65, known=0.5, nothing_found=("1.jpg",))


@pytest.mark.parametrize(
    ("tags", "confidence", "known"),
    [("cat", 0.5, 1), ("cat", 0.49, 0), ("cat dog", 0.25, 1), ("cat dog", 0.24, 0), ("cat cow dog", 0.17, 1)],
)
def test_a_tag_is_known_from_half_of_its_share_of_the_softmax(tags, confidence, known):
    assert report_per_tag(photos(tags), [one(0, confidence=confidence)])[0].known == known


def test_only_tags_in_use_are_reported_and_only_objects_of_a_photos_own_tags_count():
    dataset = photos("cow", "cat")
    found = [one(0, "cow"), one(0, "cat"), one(7, "cow"), one(1, "dog")]
    cat, cow = report_per_tag(dataset, found)
    assert (cat.tag, cat.photos, cat.found, cat.nothing_found) == ("cat", 1, 0, ("1.jpg",))
    assert (cow.tag, cow.photos, cow.found, cow.state) == ("cow", 1, 1, "alive")


def test_a_dataset_without_tags_has_no_reports():
    assert report_per_tag(photos("", ""), [one(0)]) == []


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "alive"),
        ({"found": 5}, "alive"),
        ({"found": 4}, "empty"),
        ({"area": 0.04}, "alive"),
        ({"evidence_left": 0.81}, "alive"),
        ({"area": 0.049, "evidence_left": 0.81}, "empty"),
        ({"area": 0.05, "evidence_left": 0.81}, "alive"),
        ({"area": 0.049, "evidence_left": 0.8}, "alive"),
        ({"area": 0.95}, "alive"),
        ({"area": 0.951}, "full"),
        ({"known": 0.5}, "alive"),
        ({"known": 0.49}, "unknown"),
        ({"known": 0.1, "area": 0.99}, "full"),
        ({"known": 0.1, "found": 0, "area": 0.0, "evidence_left": 1.0}, "empty"),
    ],
)
def test_the_state_follows_the_rule_at_its_edges(changes, state):
    report = replace(GOOD, **changes)
    assert report.state == state
    assert (report.sentence == "") == (state == "alive")


def test_an_odd_number_of_photos_needs_more_than_its_half():
    assert replace(GOOD, photos=5, found=2).state == "empty"
    assert replace(GOOD, photos=5, found=3).state == "alive"


@pytest.mark.parametrize(
    ("changes", "said", "move"),
    [
        ({"found": 1, "photos": 30}, "nothing was found in 29 of its 30 photos", "--area a third lower"),
        ({"area": 0.004, "evidence_left": 0.97}, "(median area .00) and hide nothing", "--crop 448 --resize 512"),
        ({"area": 0.994}, "its maps are the whole photo (median area .99)", "_background"),
        ({"area": 1.0}, "its maps are the whole photo (median area 1.00)", "--area a third higher"),
        ({"known": 0.3}, "the classifier knows it in 3 of its 10 photos", "--probe-decay"),
    ],
)
def test_the_sentence_names_the_tag_what_is_wrong_and_the_next_move(changes, said, move):
    sentence = replace(GOOD, tag="bulldog", **changes).sentence
    assert sentence.startswith('tag "bulldog": ')
    assert said in sentence
    assert move in sentence


def test_the_report_names_the_method_whose_boxes_it_counts():
    found = [replace(one(0), method="layercam"), replace(one(1, "dog"), method="cam")]
    assert [report.method for report in report_per_tag(photos("cat", "dog", "cow"), found)] == [
        "layercam",
        "cam",
        "bas",
    ]


def missing(photo: int, tag: str, reviewed: bool = False) -> NotFound:
    return NotFound(Path(f"{photo}.jpg"), f"{photo}.jpg", SIZE, tag, reviewed)


def test_what_was_not_found_are_own_tags_without_an_object_and_those_said_not_to_be_there():
    dataset = photos("cat dog", "dog", "", "cow")
    sizes = {one.name: SIZE for one in dataset.samples}
    found = [one(0, "cat"), one(1, "dog"), one(3, "dog")]
    absent = [("1.jpg", "cat"), ("gone.jpg", "cat"), ("0.jpg", "dog")]
    expected = [missing(0, "dog", True), missing(3, "cow"), missing(1, "cat", True)]
    assert not_found(dataset, found, sizes, absent) == expected
    assert not_found(dataset, found, sizes, absent, tags_known=False) == [*expected, missing(2, "")]
