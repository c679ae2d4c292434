"""What to correct next: every tag in turn, the least certain first, what was corrected last."""

from pathlib import Path

import numpy as np
from findings import boxed

from torchbas.localization import CORRECTED, NotFound
from torchbas.viz.order import most_useful_first

SIZE = (80, 100)


def with_stability(name, label, stability, **changes):
    """An object of this score: so many of ten places above the threshold are above 1.4 times it, too."""
    grid = np.zeros((2, 10), np.float32)
    grid[0] = 0.5
    grid[0, : round(10 * stability)] = 0.9
    return boxed(name, label, (10.0, 10.0, 60.0, 60.0), SIZE, **{"grid": grid, "threshold": 0.5, **changes})


def test_scores_are_as_said():
    assert [with_stability("a", "cat", share).score for share in (0.2, 0.7)] == [0.2, 0.7]


def test_tags_take_turns_and_the_least_certain_come_first():
    found = [
        with_stability("a", "cat", 0.1),
        with_stability("b", "cat", 0.2),
        with_stability("c", "cat", 0.3),
        with_stability("d", "dog", 0.9),
        with_stability("e", "dog", 0.6),
    ]
    assert most_useful_first(found) == [0, 4, 1, 3, 2]


def test_a_tag_waits_whose_photos_were_corrected_and_these_come_last():
    found = [
        with_stability("a", "cat", 0.1),
        with_stability("b", "cat", 0.4, method=CORRECTED),
        with_stability("c", "dog", 0.9),
        with_stability("d", "dog", 0.8),
    ]
    assert most_useful_first(found) == [3, 0, 2, 1]


def test_what_was_not_found_is_least_certain_and_what_is_not_there_is_done():
    missing = [NotFound(Path(name), name, SIZE, "cat", reviewed) for name, reviewed in (("b", False), ("c", True))]
    assert most_useful_first([with_stability("a", "cat", 0.0), *missing]) == [1, 0, 2]


def test_objects_of_a_tag_in_a_photo_follow_each_other():
    found = [
        with_stability("a", "cat", 0.1),
        with_stability("b", "cat", 0.2),
        with_stability("a", "cat", 0.9),
    ]
    assert most_useful_first(found) == [0, 2, 1]
    assert most_useful_first([]) == []
