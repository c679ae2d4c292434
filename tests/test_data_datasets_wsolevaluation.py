"""The metadata of wsolevaluation are read as published, and broken lists are named."""

from pathlib import Path

import pytest

from torchbas.data.tags import read
from torchbas.errors import InputError

IDS = "163.Cape_May/1.jpg\n164.Auk/2.jpg\n164.Auk/3.jpg"
BOXES = {
    "image_ids.txt": IDS,
    "class_labels.txt": "163.Cape_May/1.jpg,0\n164.Auk/2.jpg,2\n164.Auk/3.jpg,2",
    "image_sizes.txt": "163.Cape_May/1.jpg,500,335\n164.Auk/2.jpg,640,480\n164.Auk/3.jpg,100,100",
    "localization.txt": "163.Cape_May/1.jpg,60,27,385,331\n164.Auk/2.jpg,0,0,640,480\n164.Auk/3.jpg,1,2,3,4\n"
    "163.Cape_May/1.jpg,5,5,5,5",
}
MASKS = {
    "image_ids.txt": "val/0ph39/a.jpg\nval/0ph39/b.jpg",
    "class_labels.txt": "val/0ph39/a.jpg,0\nval/0ph39/b.jpg,1",
    "image_sizes.txt": "",
    "localization.txt": "val/0ph39/a.jpg,val/0ph39/a_m1.png,val/0ph39/a_ignore.png\n"
    "val/0ph39/a.jpg,val/0ph39/a_m2.png,\nval/0ph39/b.jpg,val/0ph39/b_m.png,val/0ph39/b_ignore.png",
}


def _write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    return folder


def _photos(folder, names=IDS):
    for name in names.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_boxes_sizes_and_labels_are_read_in_the_order_of_the_ids(tmp_path):
    dataset = read(_write(tmp_path / "metadata/CUB/test", BOXES), need_images=False)
    first, second, _ = dataset.samples
    assert [sample.name for sample in dataset.samples] == IDS.splitlines()
    assert [sample.labels for sample in dataset.samples] == [(0,), (2,), (2,)]
    assert {sample.split for sample in dataset.samples} == {"test"}
    assert dataset.classes == ("0", "1", "2")
    assert first.size == (335, 500)  # the file has the width first
    assert first.boxes == ((60.0, 27.0, 385.0, 331.0), (5.0, 5.0, 5.0, 5.0))
    assert second.boxes == ((0.0, 0.0, 640.0, 480.0),)
    assert dataset.problems == ()


@pytest.mark.parametrize("change", [lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t, lambda t: t + "\n\n"])
def test_line_ends_a_byte_order_mark_and_a_last_line_end_change_nothing(tmp_path, change):
    plain = read(_write(tmp_path / "a/test", BOXES), need_images=False, images=tmp_path)
    changed = {name: change(text) for name, text in BOXES.items()}
    assert read(_write(tmp_path / "b/test", changed), need_images=False, images=tmp_path) == plain


def test_instance_masks_and_the_ignore_mask_lie_beside_the_photos_or_where_masks_says(tmp_path):
    (tmp_path / "m").mkdir()
    folder = _write(tmp_path / "metadata/OpenImages/val", MASKS)
    sample = read(folder, images=tmp_path, need_images=False).samples[0]
    assert sample.instances == (tmp_path / "val/0ph39/a_m1.png", tmp_path / "val/0ph39/a_m2.png")
    assert (sample.ignore, sample.mask, sample.boxes) == (tmp_path / "val/0ph39/a_ignore.png", None, ())
    assert (sample.size, sample.split) == (None, "val")
    sample = read(folder, masks=tmp_path / "m", need_images=False).samples[1]
    assert sample.instances == (tmp_path / "m/val/0ph39/b_m.png",)
    assert sample.ignore == tmp_path / "m/val/0ph39/b_ignore.png"


@pytest.mark.parametrize(("train", "val"), [("train", "val"), ("train-weaksup", "train-fullsup")])
def test_a_data_set_has_its_splits_below_in_both_spellings(tmp_path, train, val):
    for split, name in ((train, "a"), (val, "b"), ("test", "c")):
        files = {"image_ids.txt": f"{name}.jpg", "class_labels.txt": f"{name}.jpg,1", "localization.txt": ""}
        _write(tmp_path / "metadata/X" / split, files)
    (tmp_path / "metadata/X/classes.txt").write_text("ant\nbee\n")
    dataset = read(tmp_path / "metadata/X", need_images=False)
    assert {sample.name: sample.split for sample in dataset.samples} == {
        "a.jpg": "train",
        "b.jpg": "val",
        "c.jpg": "test",
    }
    assert dataset.classes == ("ant", "bee")
    assert read(tmp_path / "metadata/X" / val, need_images=False).samples[0].split == "val"


def test_no_file_of_a_photo_is_queried_where_none_is_needed(tmp_path, monkeypatch):
    names = [f"{number}.jpg" for number in range(1000)]
    labels = "\n".join(f"{name},0" for name in names)
    _write(tmp_path, {"image_ids.txt": "\n".join(names), "class_labels.txt": labels})
    queries = []
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **how: queries.append(path) or stat(path, **how))
    assert len(read(tmp_path, need_images=False).samples) == 1000
    assert len(queries) < 50


def test_photos_are_found_in_their_usual_place(tmp_path):
    folder = _write(tmp_path / "metadata/CUB/test", BOXES)
    with pytest.raises(InputError, match=r'image_ids.txt line 1: "163.Cape_May/1.jpg" is not in .* 2 more like it'):
        read(folder)
    _photos(tmp_path / "dataset/CUB")
    dataset = read(folder)
    assert dataset.root == tmp_path / "dataset/CUB"
    assert all(sample.path.is_file() for sample in dataset.samples)


def test_photos_are_found_in_the_folder_given_as_images(tmp_path):
    folder = _write(tmp_path / "lists", BOXES)
    _photos(tmp_path / "photos", "163.Cape_May/1.jpg")
    dataset = read(folder, strict=False, images=tmp_path / "photos")
    assert [sample.name for sample in dataset.samples] == ["163.Cape_May/1.jpg"]
    assert len(dataset.problems) == 2
    with pytest.raises(InputError, match=r"absent is no folder"):
        read(folder, images=tmp_path / "absent")


def test_an_empty_localization_leaves_photos_without_ground_truth(tmp_path):
    dataset = read(_write(tmp_path, BOXES | {"localization.txt": "", "image_sizes.txt": ""}), need_images=False)
    assert [(sample.boxes, sample.instances, sample.size, sample.split) for sample in dataset.samples] == [
        ((), (), None, "")
    ] * 3
    assert dataset.problems == ()


def test_a_path_with_a_comma_is_read_with_boxes(tmp_path):
    files = {
        "image_ids.txt": "a, b.jpg",
        "class_labels.txt": "a, b.jpg,0",
        "image_sizes.txt": "a, b.jpg,4,3",
        "localization.txt": "a, b.jpg,0,0,2,2",
    }
    (sample,) = read(_write(tmp_path, files), need_images=False).samples
    assert (sample.name, sample.size, sample.boxes) == ("a, b.jpg", (3, 4), ((0.0, 0.0, 2.0, 2.0),))


def test_a_photo_without_ground_truth_is_kept_and_noted(tmp_path):
    files = BOXES | {"localization.txt": "163.Cape_May/1.jpg,60,27,385,331\nother.jpg,1,1,2,2"}
    dataset = read(_write(tmp_path, files), need_images=False)
    assert [len(sample.boxes) for sample in dataset.samples] == [1, 0, 0]
    without, unlisted = (problem.reason for problem in dataset.problems)
    assert 'image_ids.txt names 2 photos that localization.txt does not, "164.Auk/2.jpg" first' in without
    assert 'localization.txt names a photo that image_ids.txt does not, "other.jpg" first' in unlisted


def test_a_box_that_ends_before_it_begins_costs_its_photo(tmp_path):
    boxes = "163.Cape_May/1.jpg,60,27,50,331\n164.Auk/2.jpg,0,0,999,480\n164.Auk/3.jpg,3,2,3,4"
    _write(tmp_path, BOXES | {"localization.txt": boxes})
    with pytest.raises(InputError, match=r'image_ids.txt line 1: a true box of "163.Cape_May/1.jpg" ends before'):
        read(tmp_path, need_images=False)
    dataset = read(tmp_path, strict=False, need_images=False)
    assert [sample.boxes for sample in dataset.samples] == [((0.0, 0.0, 999.0, 480.0),), ((3.0, 2.0, 3.0, 4.0),)]
    assert [problem.name for problem in dataset.problems] == ["163.Cape_May/1.jpg"]


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        (
            "class_labels.txt",
            "163.Cape_May/1.jpg,0\n164.Auk/2.jpg,2",
            r'line 3: "164.Auk/3.jpg" is not in class_labels',
        ),
        (
            "image_sizes.txt",
            "163.Cape_May/1.jpg,5,3",
            r'line 2: "164.Auk/2.jpg" is not in image_sizes.* 1 more like it',
        ),
        ("class_labels.txt", "163.Cape_May/1.jpg;0", r'class_labels.txt line 1: ".*" is not understood.*path,label'),
        ("class_labels.txt", "163.Cape_May/1.jpg,-1", r"class_labels.txt line 1: .* labels from 0"),
        ("image_sizes.txt", "163.Cape_May/1.jpg,500", r"image_sizes.txt line 1: .*path,width,height"),
        ("image_sizes.txt", "163.Cape_May/1.jpg,500,0", r"image_sizes.txt line 1"),
        ("image_sizes.txt", "163.Cape_May/1.jpg,inf,3", r"image_sizes.txt line 1"),
        ("localization.txt", "163.Cape_May/1.jpg,1,2,3", r"localization.txt line 1: .*path,x0,y0,x1,y1"),
        ("localization.txt", "163.Cape_May/1.jpg,1,2,3,nan", r"localization.txt line 1"),
        ("localization.txt", "163.Cape_May/1.jpg,1,2", r"localization.txt line 1"),
        ("localization.txt", "a,b.jpg,a,b_m.png,a,b_i.png", r"localization.txt line 1: .*without further commas"),
        ("localization.txt", "1.jpg,m.png,i.png\n1.jpg,n.png,j.png", r'line 2: a second ignore mask for "1.jpg"'),
        ("localization.txt", "1.jpg,1,2,3,4", r"localization.txt names no photo of image_ids.txt"),
        ("image_ids.txt", IDS + "\n164.Auk/2.jpg", r'line 4: "164.Auk/2.jpg" stands in .* line 2 already'),
        ("image_ids.txt", "../1.jpg", r"image_ids.txt line 1: .*below the folder"),
        ("image_ids.txt", "/data/1.jpg", r"image_ids.txt line 1: .*below the folder"),
        ("classes.txt", "ant\nbee", r"image_ids.txt line 2: label 2, but .*classes.txt ends with 1"),
        ("classes.txt", "ant\nbee\nant", r'classes.txt line 3 repeats "ant" of line 1'),
    ],
)
def test_each_broken_list_has_its_sentence(tmp_path, file, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read(_write(tmp_path, BOXES | {file: text}), need_images=False)


def test_a_missing_list_and_another_encoding_are_named(tmp_path):
    _write(tmp_path, BOXES)
    (tmp_path / "image_ids.txt").write_bytes("é.jpg".encode("latin-1"))
    with pytest.raises(InputError, match=r"image_ids.txt is not written in UTF-8"):
        read(tmp_path, need_images=False)
    _write(tmp_path, BOXES)
    (tmp_path / "class_labels.txt").unlink()
    with pytest.raises(InputError, match=r"has no class_labels.txt. Copy it there"):
        read(tmp_path, need_images=False)


def test_a_single_list_points_to_its_folder(tmp_path):
    with pytest.raises(InputError, match=r"image_ids.txt is one of several lists. Give their folder"):
        read(_write(tmp_path, BOXES) / "image_ids.txt")
