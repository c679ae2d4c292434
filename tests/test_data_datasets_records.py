"""Parsers of lines return the names and numbers that were written, whatever they are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchbas.data.datasets.authors import _boxes_then_size
from torchbas.data.datasets.ilsvrc import _ground_truth
from torchbas.data.datasets.reading import GroundTruth
from torchbas.data.datasets.records import label_of, labeled, name_of, records, size_of, table
from torchbas.data.datasets.wsolevaluation import _located, _size

part = st.text(st.characters(exclude_characters="/\\", exclude_categories=("C", "Z")), min_size=1).filter(
    lambda text: text not in (".", "..")
)
names = st.lists(part, min_size=1, max_size=3).map("/".join)
coordinate = st.floats(-1e6, 1e6)
box = st.tuples(coordinate, coordinate, coordinate, coordinate)
sides = st.integers(1, 30_000)
slowly = settings(deadline=None)  # the machine may be busy


@slowly
@given(names, st.integers(0, 99_999), st.sampled_from(",;"))
def test_a_name_and_its_label_come_back(name, label, separator):
    assert labeled(separator)(f"{name}{separator}{label}") == (name, label)


@slowly
@given(names)
def test_backslashes_become_slashes(name):
    assert name_of(name.replace("/", "\\")) == name_of(name.replace("/", "\\\\")) == name_of(name) == name


@slowly
@given(names, sides, sides)
def test_a_size_comes_back_with_the_height_first(name, width, height):
    assert _size(f"{name},{width},{height}") == (name, (height, width))


@slowly
@given(names, box)
def test_a_box_of_wsolevaluation_comes_back(name, box):
    assert _located(",".join([name, *map(str, box)])) == (name, (box,), "", "")


@slowly
@given(names.filter(lambda name: "," not in name), st.booleans())
def test_masks_of_wsolevaluation_come_back(name, ignores):
    ignore = f"{name}_ignore.png" if ignores else ""
    assert _located(f"{name},{name}_m.png,{ignore}") == (name, (), f"{name}_m.png", ignore)


@slowly
@given(st.lists(box, max_size=4), sides, sides)
def test_boxes_before_a_size_come_back(boxes, height, width):
    numbers = [*(number for box in boxes for number in box), height, width]
    assert _boxes_then_size(" ".join(map(str, numbers))) == GroundTruth(tuple(boxes), size=(height, width))


@slowly
@given(names.filter(lambda name: ";" not in name), st.lists(box, max_size=4), sides, sides)
def test_a_line_of_ilsvrc_comes_back(name, boxes, height, width):
    numbers = " ".join(str(number) for box in boxes for number in box)
    line = f"{name} {width} {height} ; {numbers}".replace("/", "\\\\")
    assert _ground_truth(line) == (name, GroundTruth(tuple(boxes), size=(height, width)))


@slowly
@given(st.text())
def test_any_line_is_read_or_refused_by_a_value_error(line):
    for parse in (labeled(","), _size, _located, _boxes_then_size, _ground_truth):
        try:
            parse(line)
        except ValueError:
            continue


@pytest.mark.parametrize("outside", ["", "/", "/a.jpg", "../a.jpg", "a/../../b.jpg", "a/", "\\\\host\\a.jpg"])
def test_a_name_stays_below_its_folder(outside):
    with pytest.raises(ValueError):
        name_of(outside)


def test_a_leading_dot_is_no_part_of_a_name():
    assert name_of("./cat/1.jpg") == "cat/1.jpg"
    assert name_of("a./1..jpg") == "a./1..jpg"


@pytest.mark.parametrize(("height", "width"), [("0", "1"), ("1", "-1"), ("inf", "1"), ("nan", "nan"), ("1.5", "2")])
def test_a_size_is_whole_and_positive(height, width):
    with pytest.raises(ValueError):
        size_of(height, width)
    assert size_of("2.0", "3") == (2, 3)


@pytest.mark.parametrize("label", ["-1", "1.5", "", "100000"])
def test_a_label_is_a_whole_number_from_zero(label):
    with pytest.raises(ValueError):
        label_of(label)


def test_lines_are_numbered_as_an_editor_shows_them(tmp_path):
    (tmp_path / "list.txt").write_bytes("\ufeffa\r\n\r\n b \r\nc".encode())
    assert list(records(tmp_path / "list.txt", str, "a word")) == [(1, "a"), (3, "b"), (4, "c")]
    assert table(tmp_path / "absent.txt", _size, "a size") == {}
