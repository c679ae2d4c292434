"""True boxes follow the protocols' crops and grids, and masks come back as they were written."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchbas.data.ground_truth import boxes_after_crop, boxes_on_grid, foreground, read_mask
from torchbas.errors import InputError
from torchbas.structures import Sample


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
    Image.fromarray(numbers).save(tmp_path / "gray.png")
    for name in ("palette", "gray"):
        np.testing.assert_array_equal(read_mask(tmp_path / f"{name}.png"), numbers)


def test_a_file_that_is_no_mask_is_named(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "color.png")
    (tmp_path / "text.png").write_text("no mask")
    for name, reason in {"color": "is no mask but RGB", "text": "is not an image", "gone": "does not exist"}.items():
        with pytest.raises(InputError, match=f"{name}.png {reason}"):
            read_mask(tmp_path / f"{name}.png")


def test_a_box_on_the_grid_by_hand():
    assert boxes_on_grid([(60.0, 27.0, 385.0, 331.0)], (335, 500)).tolist() == [[26, 18, 172, 221]]
    assert boxes_on_grid([(3.0, 3.0, 9.0, 9.0)], (10, 20), grid=10).tolist() == [[1, 3, 4, 9]]
    assert boxes_on_grid([], (10, 10)).shape == (0, 4)


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 5000)] * 4), max_size=5), side, side)
def test_whole_boxes_on_the_grid_agree_with_exact_division(boxes, height, width):
    expected = [
        [x0 * 224 // width, y0 * 224 // height, x1 * 224 // width, y1 * 224 // height] for x0, y0, x1, y1 in boxes
    ]
    assert boxes_on_grid([tuple(map(float, box)) for box in boxes], (height, width)).tolist() == expected


def _by_the_reference(instances, ignore, size):
    """Each mask as floats, resized, above one half; the ignored ones off the foreground."""
    resized = [cv2.resize(np.float32(mask), size[::-1], interpolation=cv2.INTER_NEAREST) > 0.5 for mask in instances]
    inside = np.stack(resized).any(axis=0)
    outside = (cv2.resize(np.float32(ignore), size[::-1], interpolation=cv2.INTER_NEAREST) > 0.5) & ~inside
    return inside.astype(np.uint8) + 255 * outside.astype(np.uint8)


def test_foreground_wins_over_ignored_and_other_instances_join(tmp_path):
    rng = np.random.default_rng(0)
    masks = [(rng.random(shape) > 0.7).astype(np.uint8) * 255 for shape in ((31, 47), (300, 200), (64, 64))]
    for name, mask in zip("abi", masks, strict=True):
        Image.fromarray(mask > 0).save(tmp_path / f"{name}.png")  # one bit a pixel, as OpenImages has them
    sample = Sample(
        tmp_path / "x.jpg", "x.jpg", instances=(tmp_path / "a.png", tmp_path / "b.png"), ignore=tmp_path / "i.png"
    )
    for size in ((224, 224), (50, 90)):
        found = foreground(sample, size)
        np.testing.assert_array_equal(found, _by_the_reference(masks[:2], masks[2], size))
        assert set(np.unique(found)) == {0, 1, 255}


def test_a_mask_is_foreground_where_it_is_not_zero(tmp_path):
    mask = Image.fromarray(np.array([[0, 1], [2, 255]], np.uint8))
    mask.putpalette([0] * 768)  # all entries black
    mask.save(tmp_path / "m.png")
    sample = Sample(tmp_path / "x.jpg", "x.jpg", mask=tmp_path / "m.png")
    assert foreground(sample, (2, 2)).tolist() == [[0, 1], [1, 1]]
    assert foreground(sample, (4, 2)).tolist() == [[0, 1], [0, 1], [1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"no mask", "is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "is not an image"),
        (b"\x89PNG\r\n\x1a\n", "is not an image"),
    ],
)
def test_a_mask_that_cannot_be_read_is_named(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "m.png").write_bytes(content)
    with pytest.raises(InputError, match=f"m.png {reason}"):
        foreground(Sample(tmp_path / "x.jpg", "x.jpg", instances=(tmp_path / "m.png",)), (2, 2))


def test_a_cut_off_mask_is_named(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 2, (90, 90), np.uint8) * 255).save(tmp_path / "m.png")
    content = (tmp_path / "m.png").read_bytes()
    (tmp_path / "m.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"m.png cannot be read as a mask"):
        foreground(Sample(tmp_path / "x.jpg", "x.jpg", instances=(tmp_path / "m.png",)), (2, 2))


def test_a_photo_without_a_mask_has_no_foreground(tmp_path):
    with pytest.raises(InputError, match=r"x.jpg has no true mask"):
        foreground(Sample(tmp_path / "x.jpg", "x.jpg"), (2, 2))
