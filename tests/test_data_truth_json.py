"""A ``truth.json`` beside photos: boxes and masks are added, and what is no box is refused by name."""

import json

import pytest
from touched import touch

from torchbas.data.tags import read
from torchbas.errors import InputError


def test_boxes_and_masks_are_added_by_truth_json(tmp_path):
    touch(tmp_path, "cat/1.jpg", "dog/2.jpg", "masks/cat/1.png")
    ground_truth = {"cat/1.jpg": {"boxes": [[1, 2, 3.5, 4]], "mask": "masks/cat/1.png"}, "dog/9.jpg": {"boxes": []}}
    (tmp_path / "truth.json").write_text(json.dumps(ground_truth))
    dataset = read(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert [sample.boxes for sample in dataset.samples] == [((1.0, 2.0, 3.5, 4.0),), ()]
    assert [sample.mask for sample in dataset.samples] == [tmp_path / "masks/cat/1.png", None]
    assert [problem.name for problem in dataset.problems] == ["dog/9.jpg"]
    (tmp_path / "tags.csv").write_text("file,tags\ncat/1.jpg,cat")
    assert read(tmp_path / "tags.csv").samples[0].boxes == ((1.0, 2.0, 3.5, 4.0),)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", r"truth\.json is not valid JSON"),
        ("[" * 100_000, r"truth\.json is not valid JSON"),
        ("[]", r"truth\.json is not understood"),
        ('{"cat/1.jpg": 3}', r'truth\.json: "cat/1.jpg" is not understood'),
        ('{"cat/1.jpg": {"mask": 3}}', r'truth\.json: "cat/1.jpg" is not understood'),
    ],
)
def test_a_truth_json_that_is_not_understood_is_refused(tmp_path, content, sentence):
    touch(tmp_path, "cat/1.jpg")
    (tmp_path / "truth.json").write_text(content)
    with pytest.raises(InputError, match=sentence):
        read(tmp_path)


NO_BOXES = ["[1, 2, 3]", "3", "[NaN, 2, 3, 4]", "[1, 2, Infinity, 4]", "[1, 2, 1e999, 4]", "[true, 2, 3, 4]"]
NO_BOXES += [f"[1, 2, 1{'0' * 310}, 4]", f"[1, 2, {'1' * 5000}, 4]", "[9, 2, 3, 4]", "[1, 9, 3, 4]"]


@pytest.mark.parametrize("box", NO_BOXES)
def test_a_true_box_that_is_not_finite_and_in_order_is_refused(tmp_path, box):
    touch(tmp_path, "cat/1.jpg")
    (tmp_path / "truth.json").write_text(f'{{"cat/1.jpg": {{"boxes": [{box}]}}}}')
    with pytest.raises(
        InputError, match=r'truth\.json(: "cat/1.jpg" (is not understood|has a box)| is not valid JSON)'
    ):
        read(tmp_path)
