"""ILSVRC in the authors' lists: names with double backslashes, width first, several boxes a line."""

import pytest

from torchbas.data.tags import read
from torchbas.errors import InputError

LIST = "n02/ILSVRC2012_val_00000001.JPEG;2\nn01/ILSVRC2012_val_00000002.JPEG;0\n"
TRUTH = (
    "n01\\\\ILSVRC2012_val_00000002.JPEG 500 375 ; 45 49 499 162 2 69 437 207\r\n"
    "n02\\\\ILSVRC2012_val_00000001.JPEG 100 200 ; 5 9 9 99"
)


@pytest.fixture
def lists(tmp_path):
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "val_list.txt").write_text(LIST)
    (folder / "val_gt.txt").write_bytes(TRUTH.encode())
    return folder


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_boxes_find_their_photo_by_name_and_keep_their_numbers(lists):
    dataset = read(lists, need_images=False)
    first, second = dataset.samples
    assert (first.name, first.labels, first.size) == ("n02/ILSVRC2012_val_00000001.JPEG", (2,), (200, 100))
    assert second.boxes == ((45.0, 49.0, 499.0, 162.0), (2.0, 69.0, 437.0, 207.0))
    assert (second.size, second.split) == ((375, 500), "test")
    assert dataset.classes == ("n01", "1", "n02")  # no list names number 1
    assert dataset.problems == ()


@pytest.mark.parametrize("separator", ["/", "\\", "\\\\"])
def test_slashes_and_backslashes_are_the_same(lists, separator):
    (lists / "val_gt.txt").write_text(TRUTH.replace("\\\\", separator))
    assert [len(sample.boxes) for sample in read(lists, need_images=False).samples] == [1, 2]


def test_photos_lie_in_val_and_the_synset_folders_of_train_are_trained_on(lists, tmp_path):
    images = tmp_path / "imagenet"
    names = [line.split(";")[0] for line in LIST.splitlines()]
    _touch(images, *(f"val/{name}" for name in names), "train/n01/x.JPEG", "train/n09/y.JPEG", "train/n02/notes.txt")
    dataset = read(lists, images=images)
    assert all(sample.path.is_file() for sample in dataset.samples)
    assert [sample.name for sample in dataset.only("test").samples] == names
    (sample,) = dataset.only("train").samples
    assert (sample.name, sample.labels) == ("train/n01/x.JPEG", (0,))
    assert any(problem.name == "n09" for problem in dataset.problems)
    assert not read(lists, images=images, need_images=False).only("train").samples


def test_a_training_list_replaces_the_synset_folders(lists):
    _touch(lists, "train/n01/x.JPEG", "train/n01/y.JPEG", *(line.split(";")[0] for line in LIST.splitlines()))
    (lists / "train_list.txt").write_text("n01/x.JPEG;0")
    (sample,) = read(lists).only("train").samples
    assert sample.path == lists / "train/n01/x.JPEG"


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("val_gt.txt", "n01\\\\a.JPEG 500 375 ; 1 2 3", r"val_gt.txt line 1: .*4 numbers a box"),
        ("val_gt.txt", "n01\\\\a.JPEG 500 375 1 2 3 4", r"val_gt.txt line 1"),
        ("val_gt.txt", "n01\\\\a.JPEG 375 ; 1 2 3 4", r"val_gt.txt line 1"),
        ("val_gt.txt", "n01\\\\a.JPEG 5 5 ; 1 2 3 4", r"val_gt.txt names no photo of val_list.txt"),
        ("val_list.txt", "n01/a.JPEG,0", r"val_list.txt line 1: .*n01751748/"),
        ("val_list.txt", "n01/a.JPEG;0\n\nn01/b.JPEG;1", r'line 3: the folder "n01" has label 1, but 0 in an earlier'),
        ("val_list.txt", "n01/a.JPEG;0\nn02/b.JPEG;0", r'line 2: the label 0 is in folder "n02", but in "n01"'),
    ],
)
def test_each_broken_list_has_its_sentence(lists, file, text, sentence):
    (lists / file).write_text(text)
    with pytest.raises(InputError, match=sentence):
        read(lists, need_images=False)


def test_lists_that_differ_are_noted(lists):
    (lists / "val_gt.txt").write_text(
        "n01\\\\ILSVRC2012_val_00000002.JPEG 500 375 ; 1 2 3 4\nn01\\\\c.JPEG 5 5 ; 1 2 3 4"
    )
    reasons = [problem.reason for problem in read(lists, need_images=False).problems]
    assert 'val_list.txt names a photo that val_gt.txt does not, "n02/ILSVRC2012_val_00000001.JPEG" first' in reasons[0]
    assert 'val_gt.txt names a photo that val_list.txt does not, "n01/c.JPEG" first' in reasons[1]


def test_flat_names_give_classes_numbers(lists):
    (lists / "val_gt.txt").unlink()
    (lists / "val_list.txt").write_text("a.JPEG;1\nb.JPEG;0")
    dataset = read(lists, need_images=False)
    assert dataset.classes == ("0", "1")
    assert dataset.samples[0].boxes == ()
