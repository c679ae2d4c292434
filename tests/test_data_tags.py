"""Folders, CSV and JSON are read as users write them, and faults are named with the next move."""

import contextlib
import json
import os
import string
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from touched import touch

from torchbas.data.tags import read, read_untagged
from torchbas.errors import InputError

ODD_TAGS = ["a, b", "a/b", 'say "hi"', "it's", "🦊", "<script>alert(1)</script>", "..", "two\nlines", "=1+1"]


def _tags(dataset):
    return {sample.name: {dataset.classes[label] for label in sample.labels} for sample in dataset.samples}


def _splits(dataset):
    return {sample.name: sample.split for sample in dataset.samples}


def test_folders_are_tags_whatever_lies_deeper(tmp_path):
    touch(tmp_path, "dog/2.JPG", "dog/1.png", "cat/indoor/sofa/3.webp", "cat/notes.txt", ".git/4.jpg", "cat/.5.jpg")
    dataset = read(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert _tags(dataset) == {"cat/indoor/sofa/3.webp": {"cat"}, "dog/1.png": {"dog"}, "dog/2.JPG": {"dog"}}
    assert dataset.problems == ()
    assert all(sample.path.is_file() and sample.split == "" for sample in dataset.samples)


def test_split_folders_on_top_are_no_tags(tmp_path):
    touch(tmp_path, "train/cat/1.jpg", "Test/dog/2.jpg", "val/dog/old/3.jpg")
    dataset = read(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert _splits(dataset) == {"train/cat/1.jpg": "train", "Test/dog/2.jpg": "test", "val/dog/old/3.jpg": "val"}
    assert [sample.name for sample in dataset.only("test").samples] == ["Test/dog/2.jpg"]


def test_train_is_a_tag_among_planes_and_cars(tmp_path):
    touch(tmp_path, "train/1.jpg", "plane/2.jpg")
    assert read(tmp_path).classes == ("plane", "train")


def test_a_single_tag_can_be_read(tmp_path):
    touch(tmp_path, "cat/1.jpg")
    assert read(tmp_path).classes == ("cat",)


def test_a_photo_beside_the_tag_folders_is_kept_without_a_tag(tmp_path):
    touch(tmp_path, "cat/1.jpg", "2.jpg")
    dataset = read(tmp_path)
    assert _tags(dataset) == {"2.jpg": set(), "cat/1.jpg": {"cat"}}
    assert [problem.name for problem in dataset.problems] == ["2.jpg"]


def test_a_folder_background_holds_photos_without_a_tag(tmp_path):
    touch(tmp_path, "cat/1.jpg", "_background/2.jpg", "_background/deep/3.jpg", "cat/_background/4.jpg")
    dataset = read(tmp_path)
    assert dataset.classes == ("cat",)
    assert {name for name, tags in _tags(dataset).items() if not tags} == {
        "_background/2.jpg",
        "_background/deep/3.jpg",
    }
    assert dataset.problems == ()


def test_a_folder_background_may_lie_below_or_beside_the_splits(tmp_path):
    touch(
        tmp_path, "train/cat/1.jpg", "train/_Background/2.jpg", "test/_background/3.jpg", "_background/4.jpg", "5.jpg"
    )
    dataset = read(tmp_path)
    assert dataset.classes == ("cat",)
    assert _splits(dataset) == {
        "train/cat/1.jpg": "train",
        "train/_Background/2.jpg": "train",
        "test/_background/3.jpg": "test",
        "_background/4.jpg": "",
        "5.jpg": "",
    }
    assert {name for name, tags in _tags(dataset).items() if tags} == {"train/cat/1.jpg"}
    assert [problem.name for problem in dataset.problems] == ["5.jpg"]
    assert len(dataset.only("train", "").samples) == 4


@pytest.mark.parametrize("read_any", [read, read_untagged])
def test_links_are_followed_but_not_in_circles(tmp_path, read_any):
    touch(tmp_path, "photos/cat/1.jpg", "elsewhere/2.jpg")
    (tmp_path / "photos/dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/cat/up").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/cat/self.jpg").symlink_to(tmp_path / "photos/cat/self.jpg")
    (tmp_path / "elsewhere/over").symlink_to(tmp_path / "photos/cat")
    names = {sample.name for sample in read_any(tmp_path / "photos").samples}
    assert {"cat/1.jpg", "dog/2.jpg"} <= names <= {"cat/1.jpg", "dog/2.jpg", "dog/over/1.jpg"}


def test_a_name_that_is_no_utf_8_is_a_problem(tmp_path):
    touch(tmp_path, "cat/1.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/cat/\xff.jpg")).touch()
    dataset = read(tmp_path)
    assert [sample.name for sample in dataset.samples] == ["cat/1.jpg"]
    assert "Rename" in dataset.problems[0].reason


def test_folder_names_that_differ_in_normalization_are_one_tag(tmp_path):
    touch(tmp_path, unicodedata.normalize("NFC", "é") + "/1.jpg", unicodedata.normalize("NFD", "é") + " /2.jpg")
    assert read(tmp_path).classes == (unicodedata.normalize("NFC", "é"),)


@pytest.mark.parametrize(
    ("files", "path", "sentence"),
    [
        ([], "nowhere", "nowhere does not exist. Give a folder"),
        (["empty/notes.txt"], "empty", "empty/ holds no photos"),
        (["flat/1.jpg", "flat/2.jpg"], "flat", "holds 2 photos, but not in folders that tag them.*photos/cat/1.jpg"),
        (["train/1.jpg"], "train", "not in folders that tag them"),
        (["none/_background/1.jpg"], "none", "holds 1 photos, but not in folders that tag them"),
        (["cat.jpg"], "cat.jpg", "cat.jpg holds no tags. Give a folder"),
    ],
)
def test_a_path_without_tags_is_refused_with_the_accepted_forms(tmp_path, files, path, sentence):
    touch(tmp_path, *files)
    with pytest.raises(InputError, match=sentence):
        read(tmp_path / path)


def test_untagged_photos_are_read_for_prediction(tmp_path):
    touch(tmp_path, "b.jpg", "deep/a.png")
    assert [sample.name for sample in read_untagged(tmp_path).samples] == ["b.jpg", "deep/a.png"]
    assert [sample.name for sample in read_untagged(tmp_path / "b.jpg").samples] == ["b.jpg"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no photos"):
        read_untagged(tmp_path / "none")
    with pytest.raises(InputError, match="does not exist"):
        read_untagged(tmp_path / "nothing")


def test_a_csv_as_spreadsheets_write_it(tmp_path):
    touch(tmp_path, "img/1.jpg", "img/a, b.jpg", "3.jpg")
    lines = ["\ufeffSplit,FILE,note, Tags ", "train,img/1.jpg,x,dog; cat", ""]
    lines += ['Test,"img/a, b.jpg",,"say ""hi"""', ",3.jpg"]
    (tmp_path / "tags.csv").write_bytes("\r\n".join(lines).encode())
    dataset = read(tmp_path / "tags.csv")
    assert dataset.classes == ("cat", "dog", 'say "hi"')
    assert _tags(dataset) == {"img/1.jpg": {"cat", "dog"}, "img/a, b.jpg": {'say "hi"'}, "3.jpg": set()}
    assert _splits(dataset) == {"img/1.jpg": "train", "img/a, b.jpg": "test", "3.jpg": ""}
    assert dataset.problems == ()


def test_both_forms_of_json(tmp_path):
    touch(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "a.json").write_text('{"1.jpg": ["cat", "dog; or so"], "2.jpg": "cat"}')
    assert _tags(read(tmp_path / "a.json")) == {"1.jpg": {"cat", "dog; or so"}, "2.jpg": {"cat"}}
    (tmp_path / "b.json").write_text('[{"file": "2.jpg", "tags": ["dog"], "split": "val"}, {"file": "1.jpg"}]')
    assert _tags(read(tmp_path / "b.json")) == {"2.jpg": {"dog"}, "1.jpg": set()}
    assert _splits(read(tmp_path / "b.json")) == {"2.jpg": "val", "1.jpg": ""}


def test_no_tag_and_the_tag_background_are_the_same_in_lists(tmp_path):
    touch(tmp_path, "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    (tmp_path / "a.csv").write_text("file,tags\n1.jpg,cat\n2.jpg,\n3.jpg, _background \n4.jpg,_background;cat\n")
    content = {"1.jpg": ["cat"], "2.jpg": [], "3.jpg": "_background", "4.jpg": ["_background", "cat"]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    for name in ("a.csv", "a.json"):
        dataset = read(tmp_path / name)
        assert dataset.classes == ("cat",)
        assert _tags(dataset) == {"1.jpg": {"cat"}, "2.jpg": set(), "3.jpg": set(), "4.jpg": {"cat"}}
        assert dataset.problems == ()


def test_missing_photos_stop_with_the_first_and_the_way_to_see_all(tmp_path, monkeypatch):
    touch(tmp_path, "photos/img/1.jpg")
    lines = ["file,tags", "img/1.jpg,cat", *(f"img/{n:04}.jpg,cat" for n in (412, 413, 414, 415))]
    (tmp_path / "photos/tags.csv").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        read("photos/tags.csv")
    assert str(error.value) == (
        'tags.csv line 3: "img/0412.jpg" is not in photos/. Paths are read relative to the CSV. '
        "3 more like it: run bas check photos/tags.csv."
    )
    dataset = read("photos/tags.csv", strict=False)
    assert [sample.name for sample in dataset.samples] == ["img/1.jpg"]
    assert [problem.name for problem in dataset.problems] == [f"img/0{n}.jpg" for n in (412, 413, 414, 415)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r'tags.csv has no column "file"'),
        ("file;tags\n1.jpg;cat", r'no column "file".*commas between'),
        ("file,label\n1.jpg,cat", r'no column "tags"'),
        ("file,tags\n", "lists no photos"),
        ("file,tags\n,cat", "line 2 names no file"),
        ("file,tags,split\n1.jpg,cat,holdout", 'line 2: the split "holdout" is unknown'),
        ("file,tags,split\n1.jpg,cat,val\n./1.jpg,cat,test", r'line 3: "./1.jpg" is in "val" already'),
        ('file,tags\n"1.jpg,cat', "is not a CSV file"),
        (f"file,tags\n{'x' * 5000}.jpg,cat", "line 2: .* is not in"),
        ("file,tags\nimg,cat", "line 2: .* is not in"),
    ],
)
def test_faults_of_a_csv_are_named(tmp_path, text, sentence):
    touch(tmp_path, "1.jpg", "img/2.jpg")
    (tmp_path / "tags.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read(tmp_path / "tags.csv")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not valid JSON.*line 1"),
        ("[" * 100_000, "is not valid JSON"),
        ("3", "is no list of photos"),
        ('{"images": [{"id": 1}]}', "entry 1 is not understood"),
        ('[{"file": "1.jpg", "tags": ["cat"]}, {"name": "1.jpg"}]', "entry 2 is not understood"),
        ("[]", "lists no photos"),
        ('{"2.jpg": "cat"}', 'entry 1: "2.jpg" is not in .* relative to the JSON'),
    ],
)
def test_faults_of_a_json_are_named(tmp_path, text, sentence):
    touch(tmp_path, "1.jpg")
    (tmp_path / "tags.json").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read(tmp_path / "tags.json")


@pytest.mark.parametrize(("name", "reader"), [("tags.csv", "CSV UTF-8"), ("tags.json", "UTF-8")])
def test_other_encodings_are_refused(tmp_path, name, reader):
    (tmp_path / name).write_bytes("file,tags\n1.jpg,Käfer".encode("utf-16"))
    with pytest.raises(InputError, match=f"not written in UTF-8. Save it as {reader}"):
        read(tmp_path / name)


def test_a_photo_listed_twice_gets_the_tags_of_both_lines(tmp_path):
    touch(tmp_path, "1.jpg")
    (tmp_path / "tags.csv").write_text("file,tags\n1.jpg,cat\n./1.jpg,dog;;cat\n")
    dataset = read(tmp_path / "tags.csv")
    assert _tags(dataset) == {"1.jpg": {"cat", "dog"}}
    merged, empty = dataset.problems
    assert "line 3: listed before" in merged.reason
    assert "line 3: an empty tag" in empty.reason


def test_photos_beside_the_list_are_named_within_a_common_root(tmp_path):
    touch(tmp_path, "img/1.jpg", "lists/2.jpg")
    (tmp_path / "lists/tags.csv").write_text(f"file,tags\n../img/1.jpg,cat\n{tmp_path}/lists/2.jpg,dog")
    dataset = read(tmp_path / "lists/tags.csv")
    assert dataset.root == tmp_path
    assert _tags(dataset) == {"img/1.jpg": {"cat"}, "lists/2.jpg": {"dog"}}


def test_odd_tags_are_tags(tmp_path):
    touch(tmp_path, "1.jpg")
    (tmp_path / "tags.json").write_text(json.dumps({"1.jpg": ODD_TAGS}))
    assert read(tmp_path / "tags.json").classes == tuple(sorted(ODD_TAGS))
    quoted = ";".join(ODD_TAGS).replace('"', '""')
    (tmp_path / "tags.csv").write_text(f'file,tags\n1.jpg,"{quoted}"\n', newline="")
    assert read(tmp_path / "tags.csv").classes == tuple(sorted(ODD_TAGS))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(string.ascii_lowercase), st.lists(st.text(max_size=6)), min_size=1))
def test_any_words_of_a_json_come_back_normalized(tmp_path_factory, tags):
    folder = tmp_path_factory.mktemp("photos")
    touch(folder, *tags)
    (folder / "tags.json").write_text(json.dumps(tags))
    spelled = {
        name: {unicodedata.normalize("NFC", word).strip() for word in words} - {""} for name, words in tags.items()
    }
    assert _tags(read(folder / "tags.json")) == spelled


@settings(deadline=None)
@given(st.text(alphabet='file,tags;\r\n" 1.jpgcat\x00é', max_size=80), st.sampled_from(["csv", "json"]))
def test_any_text_is_read_or_refused_with_a_sentence(tmp_path_factory, text, form):
    folder = tmp_path_factory.mktemp("photos")
    touch(folder, "1.jpg")
    (folder / f"tags.{form}").write_text(f"file,tags\n{text}" if form == "csv" else text, encoding="utf-8", newline="")
    with contextlib.suppress(InputError):
        assert len(read(folder / f"tags.{form}").samples) == 1


@pytest.mark.parametrize("photo", ["/", "//", "///", "."])
def test_a_list_may_name_any_path_for_a_photo(tmp_path, photo):
    touch(tmp_path, "1.jpg")
    (tmp_path / "tags.csv").write_text(f"file,tags\n1.jpg,cat\n{photo},cat\n/{tmp_path}/1.jpg,dog")
    dataset = read(tmp_path / "tags.csv", strict=False)
    assert _tags(dataset) == {"1.jpg": {"cat", "dog"}}
    if photo != ".":
        with pytest.raises(InputError, match="line 3 names no file"):
            read(tmp_path / "tags.csv", need_images=False)


def test_a_tag_of_half_a_character_is_refused_since_no_file_could_hold_it(tmp_path):
    touch(tmp_path, "1.jpg")
    (tmp_path / "tags.json").write_text(r'{"1.jpg": ["\ud83e\udd8a", "\ud83e"]}')
    with pytest.raises(InputError, match=r"tags\.json is not valid JSON .*surrogates"):
        read(tmp_path / "tags.json")
    (tmp_path / "tags.json").write_text(r'{"1.jpg": ["\ud83e\udd8a"]}')
    assert read(tmp_path / "tags.json").classes == ("🦊",)


def test_photos_of_a_list_may_lie_elsewhere(tmp_path):
    touch(tmp_path / "photos", "img/1.jpg")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/tags.csv").write_text("file,tags\nimg/1.jpg,cat\n")
    (tmp_path / "lists/truth.json").write_text('{"img/1.jpg": {"boxes": [[0, 1, 2, 3]]}}')
    (sample,) = read(tmp_path / "lists/tags.csv", images=tmp_path / "photos").samples
    assert (sample.path, sample.name) == (tmp_path / "photos/img/1.jpg", "img/1.jpg")
    assert sample.boxes == ((0.0, 1.0, 2.0, 3.0),)
    with pytest.raises(InputError, match=r'"img/1.jpg" is not in .*lists/. Paths are read relative to the CSV'):
        read(tmp_path / "lists/tags.csv")


@pytest.mark.parametrize("name", ["tags.csv", "tags.json"])
def test_a_list_is_read_without_its_photos_where_they_are_not_needed(tmp_path, name):
    text = {"tags.csv": "file,tags\na/1.jpg,cat\nb/2.jpg,dog", "tags.json": '{"a/1.jpg": "cat", "b/2.jpg": "dog"}'}
    (tmp_path / name).write_text(text[name])
    assert _tags(read(tmp_path / name, need_images=False)) == {"a/1.jpg": {"cat"}, "b/2.jpg": {"dog"}}


def test_a_folder_of_photos_has_no_photos_elsewhere(tmp_path):
    touch(tmp_path, "cat/1.jpg")
    with pytest.raises(InputError, match=r"holds no lists, so its photos cannot lie elsewhere"):
        read(tmp_path, images=tmp_path)
