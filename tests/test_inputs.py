"""Text, JSON and numbers of files that were given: read as they are meant, or refused by the file's name."""

import json
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchbas.errors import InputError, printable
from torchbas.inputs import LARGEST, number, open_text, parse_json, read_json, read_text


def test_text_is_utf_8_with_or_without_a_byte_order_mark(tmp_path):
    for content in ("é\r\n".encode(), "\ufeffé\n".encode()):
        (tmp_path / "a.txt").write_bytes(content)
        assert read_text(tmp_path / "a.txt") == "é\n"
    (tmp_path / "a.txt").write_bytes(b"a\r\nb")
    with open_text(tmp_path / "a.txt", newline="") as stream:
        assert stream.read() == "a\r\nb"


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.txt is not written in UTF-8\. Save it as UTF-8\."):
        read_text(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"has no gone\.txt\. Copy it there\."):
        read_text(tmp_path / "gone.txt")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        read_text(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"a":' * 100_000, "NaN", "[-Infinity]", "9" * 5000, r'"\ud800"', r'{"\uDFFF": 1}'],
)
def test_what_is_no_json_is_named(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json is not valid JSON \(.*\)\. Correct it there\."):
        read_json(tmp_path / "a.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.booleans())
def test_what_json_wrote_comes_back(tmp_path_factory, value, escaped):
    file = tmp_path_factory.getbasetemp() / "value.json"
    assert parse_json(json.dumps(value, ensure_ascii=escaped), file) == value


@given(st.integers() | st.floats())
def test_a_number_is_finite_and_bounded_in_either_form(value):
    for form in (value, str(value)):
        if math.isfinite(value) and abs(value) <= LARGEST:
            assert number(form) == value
        else:
            with pytest.raises(ValueError, match="is no number that can be used"):
                number(form)


@pytest.mark.parametrize("value", ["", "x", "1e999", 10**400, True, None, [1], {"a": 1}, "9" * 5000])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError):
        number(value)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "tags.csv")
    with pytest.raises(InputError, match=r"tags\.csv is no file but a pipe"):
        read_text(tmp_path / "tags.csv")


def test_a_sentence_is_one_line_and_moves_no_cursor():
    error = InputError("a\x1b[2Jb\nc\u2028d\u202ee\ud800 \u00e9\u4e2d is no photo.")
    assert str(error) == r"a\x1b[2Jb\nc\u2028d\u202ee\ud800" + " \u00e9\u4e2d is no photo."
    assert printable("tag 1") == "tag 1"
