"""The authors' further lists: CUB with masks, Stanford Dogs, Stanford Cars, FGVC-Aircraft."""

import pytest

from torchbas.data.tags import read
from torchbas.errors import InputError

CUB = {
    "images_list.txt": "001.Albatross/a.jpg;0\r\n001.Albatross/b.jpg;0\r\n002.Auk/c.jpg;1\r\n002.Auk/d.jpg;1\r\n",
    "test_list.txt": "001.Albatross/b.jpg;0\r\n002.Auk/c.jpg;1\r\n",
    "test_bounding_box.txt": "60.0 27.0 385.0 331.0 335 500\r\n10.5 2.0 505.0 340.0 335 500",
}
CARS = {
    "images_box.txt": "00001;AM General Hummer;0;30 52 246 147 168 300\n"
    "00002;Boeing F/A-18;1;1.0 2.0 3.0 4.0 168 300\n00003;Boeing F/A-18;2;2 5 5 9 168 300",
    "classes.txt": "AM General Hummer\nBoeing F/A-18\n",
}


def _write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    return folder


def test_cub_pairs_boxes_with_photos_line_for_line(tmp_path):
    dataset = read(_write(tmp_path, CUB), need_images=False)
    assert dataset.classes == ("001.Albatross", "002.Auk")
    found = {sample.name: (sample.labels, sample.split, sample.boxes, sample.size) for sample in dataset.samples}
    assert found == {
        "001.Albatross/a.jpg": ((0,), "train", (), None),
        "001.Albatross/b.jpg": ((0,), "test", ((60.0, 27.0, 385.0, 331.0),), (335, 500)),
        "002.Auk/c.jpg": ((1,), "test", ((10.5, 2.0, 505.0, 340.0),), (335, 500)),  # beyond the photo, as published
        "002.Auk/d.jpg": ((1,), "train", (), None),
    }


@pytest.mark.parametrize(("train", "test"), [("train/", "test/"), ("images/", "images/"), ("", "")])
def test_cub_photos_lie_in_split_folders_in_images_or_directly(tmp_path, train, test):
    names = [
        f"{train}001.Albatross/a.jpg",
        f"{train}002.Auk/d.jpg",
        f"{test}001.Albatross/b.jpg",
        f"{test}002.Auk/c.jpg",
    ]
    images = _write(tmp_path / "photos", dict.fromkeys(names, ""))
    dataset = read(_write(tmp_path / "lists", CUB), images=images)
    assert sorted(sample.path for sample in dataset.samples) == sorted(images / name for name in names)


def test_without_a_training_list_the_class_folders_of_train_are_trained_on(tmp_path):
    _write(tmp_path, {"train/002.Auk/x.jpg": "", "test/001.Albatross/b.jpg": "", "test/002.Auk/c.jpg": ""})
    _write(tmp_path, {name: text for name, text in CUB.items() if name != "images_list.txt"})
    (sample,) = read(tmp_path).only("train").samples
    assert (sample.name, sample.labels) == ("train/002.Auk/x.jpg", (1,))


def test_cub_masks_lose_the_first_folder_of_their_name(tmp_path):
    rows = "CUB/001.Albatross/b.jpg,test/b_1.png,test/b_ignore.png\nCUB/001.Albatross/b.jpg,test/b_2.png,\n"
    _write(tmp_path, CUB | {"CUBMask/test/localization.txt": rows})
    dataset = read(tmp_path, need_images=False)
    sample = next(sample for sample in dataset.samples if sample.name == "001.Albatross/b.jpg")
    assert sample.instances == (tmp_path / "CUBMask/test/b_1.png", tmp_path / "CUBMask/test/b_2.png")
    assert sample.ignore == tmp_path / "CUBMask/test/b_ignore.png"
    assert (len(sample.boxes), sample.size) == (1, (335, 500))
    assert "names a photo that localization.txt does not" in dataset.problems[0].reason


def test_cub_masks_may_lie_elsewhere(tmp_path):
    masks = _write(tmp_path / "m", {"test/localization.txt": "CUB/002.Auk/c.jpg,c.png,"})
    dataset = read(_write(tmp_path / "lists", CUB), masks=masks, need_images=False)
    assert [sample.instances for sample in dataset.samples if sample.instances] == [(masks / "c.png",)]


def test_dogs_have_several_boxes_before_height_and_width(tmp_path):
    ground_truth = "1 2 3 4 5 6 7 8 300 400\n1 2 3 4 10 20"
    _write(tmp_path, {"test_list.txt": "n02-Chihuahua/a.jpg;0\nn03-Pug/b.jpg;1", "test_gt.txt": ground_truth})
    first, second = read(tmp_path, need_images=False).samples
    assert (first.boxes, first.size) == (((1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)), (300, 400))
    assert (second.boxes, second.size) == (((1.0, 2.0, 3.0, 4.0),), (10, 20))


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        (
            "test_bounding_box.txt",
            "60 27 385 331 335 500",
            r"box.txt has 1 lines, but test_list.txt has 2, .*line by line",
        ),
        ("test_bounding_box.txt", "60 27 385 331 335\n1 2 3 4 5 6", r"box.txt line 1: .*then height and width"),
        ("test_bounding_box.txt", "60 27 385 331 335.5 500\n1 2 3 4 5 6", r"box.txt line 1"),
        ("test_list.txt", "001.Albatross/b.jpg 0", r"test_list.txt line 1: .*001.Black_footed_Albatross/"),
        ("images_list.txt", "001.Albatross/a.jpg;1", r'line 1: the folder "001.Albatross" has label 1, but 0'),
        ("CUBMask/test/localization.txt", "001.Albatross/b.jpg,b.png,", r"names no photo of test_list.txt"),
    ],
)
def test_each_broken_list_has_its_sentence(tmp_path, file, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read(_write(tmp_path, CUB | {file: text}), need_images=False)


def test_cars_and_aircraft_have_one_line_a_photo(tmp_path):
    dataset = read(_write(tmp_path, CARS), need_images=False)
    first, second, third = dataset.samples
    assert dataset.classes == ("AM General Hummer", "Boeing F/A-18")
    assert (first.name, first.labels, first.split) == ("00001.jpg", (0,), "train")
    assert (second.split, second.boxes, second.size) == ("test", ((1.0, 2.0, 3.0, 4.0),), (168, 300))
    assert (third.split, third.labels) == ("train", (1,))  # Aircraft's validation split
    assert dataset.problems == ()


def test_cars_and_aircraft_photos_lie_in_images(tmp_path):
    _write(tmp_path, CARS | {f"images/0000{number}.jpg": "" for number in (1, 2, 3)})
    assert all(sample.path.parent == tmp_path / "images" for sample in read(tmp_path).samples)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("00001;Ferrari;0;30 52 246 147 168 300", r'line 1: the class "Ferrari" is not in classes.txt'),
        ("00001;AM General Hummer;3;30 52 246 147 168 300", r"line 1: .*type 0 or 2 to train on and 1 to test"),
        ("00001;AM General Hummer;30 52 246 147 168 300", r"images_box.txt line 1"),
        ("00001;AM General Hummer;0;30 52 246 147 168", r"images_box.txt line 1"),
    ],
)
def test_each_broken_line_of_images_box_has_its_sentence(tmp_path, line, sentence):
    with pytest.raises(InputError, match=sentence):
        read(_write(tmp_path, CARS | {"images_box.txt": line}), need_images=False)
