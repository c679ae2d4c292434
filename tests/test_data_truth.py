"""True boxes follow the authors' crop, and masks come back as they were written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchbas.data.truth import boxes_after_crop, read_mask
from torchbas.errors import InputError


def _by_the_protocol(box, size):
    """One coordinate after the other: scale to 256, take 16 off, clip to 0..223, drop the fraction."""
    height, width = size
    scaled = [box[0] / width, box[1] / height, box[2] / width, box[3] / height]
    return [int(min(max(value * 256 - 16, 0), 223)) for value in scaled]


def test_a_box_by_hand():
    assert boxes_after_crop([(60.0, 27.0, 385.0, 331.0)], (335, 500)).tolist() == [[14, 4, 181, 223]]


def test_a_box_outside_the_crop_is_kept_as_an_empty_one():
    assert boxes_after_crop([(0.0, 0.0, 10.0, 256.0)], (256, 256)).tolist() == [[0, 0, 0, 223]]


def test_no_boxes_are_no_rows():
    assert boxes_after_crop([], (10, 10)).shape == (0, 4)


side = st.integers(1, 4000)
boxes = st.lists(st.tuples(*[st.floats(-50, 5000)] * 4), max_size=5)


@settings(deadline=None)
@given(boxes, side, side)
def test_boxes_agree_with_the_protocol_one_by_one(boxes, height, width):
    found = boxes_after_crop(boxes, (height, width))
    expected = np.array([_by_the_protocol(box, (height, width)) for box in boxes]).reshape(-1, 4)
    assert np.abs(found - expected).max(initial=0) <= 1  # another order of rounding moves an exact integer
    assert (found == expected).mean() > 0.9 if len(boxes) else True


def test_the_numbers_of_a_mask_come_back(tmp_path):
    numbers = np.array([[0, 1, 20], [255, 254, 3]], np.uint8)
    palette = Image.fromarray(numbers)
    palette.putpalette(list(range(256)) * 3)
    palette.save(tmp_path / "palette.png")
    Image.fromarray(numbers).save(tmp_path / "grey.png")
    for name in ("palette", "grey"):
        np.testing.assert_array_equal(read_mask(tmp_path / f"{name}.png"), numbers)


def test_what_is_no_mask_is_named(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "colour.png")
    (tmp_path / "text.png").write_text("no mask")
    for name, reason in {"colour": "is no mask but RGB", "text": "cannot be read", "gone": "cannot be read"}.items():
        with pytest.raises(InputError, match=f"{name}.png {reason}"):
            read_mask(tmp_path / f"{name}.png")
