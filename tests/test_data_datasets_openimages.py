"""OpenImages30k in the authors' lists: labels, class names, and several masks a photo."""

import pytest

from torchbas.data.tags import read
from torchbas.errors import InputError

FILES = {
    "classes.txt": "/m/01\r\n/m/02\r\n",
    "train_images.txt": "train/01/a.jpg,0\n",
    "test_images.txt": "test/02/b.jpg,1\ntest/01/c.jpg,0",
    "test_mask.txt": "test/02/b.jpg,test/02/b_m1.png,test/02/b_ignore.png\ntest/02/b.jpg,test/02/b_m2.png,\n"
    "test/01/c.jpg,test/01/c_m.png,\n",
}


@pytest.fixture
def lists(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_bytes(text.encode())
    return tmp_path


def test_labels_names_and_masks_are_read(lists):
    dataset = read(lists, need_images=False)
    train, first, second = dataset.samples
    assert dataset.classes == ("/m/01", "/m/02")
    assert (train.name, train.split, train.labels, train.instances) == ("train/01/a.jpg", "train", (0,), ())
    assert (first.split, first.labels) == ("test", (1,))
    assert first.instances == (lists / "test/02/b_m1.png", lists / "test/02/b_m2.png")
    assert first.ignore == lists / "test/02/b_ignore.png"
    assert second.ignore is None


def test_masks_lie_in_the_folder_mask_where_there_is_one(lists):
    (lists / "mask").mkdir()
    assert read(lists, need_images=False).samples[2].instances == (lists / "mask/test/01/c_m.png",)


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("test_images.txt", "test/02/b.jpg;1", r"test_images.txt line 1"),
        ("test_images.txt", "test/02/b.jpg,2", r"test_images.txt line 1: label 2, but .*classes.txt ends with 1"),
        ("test_mask.txt", "test/02/b.jpg,m.png", r"test_mask.txt line 1: .*path,mask.png,ignore.png"),
        ("test_mask.txt", "b.jpg,m.png,", r"test_mask.txt names no photo of test_images.txt"),
    ],
)
def test_each_broken_list_has_its_sentence(lists, file, text, sentence):
    (lists / file).write_text(text)
    with pytest.raises(InputError, match=sentence):
        read(lists, need_images=False)


def test_missing_photos_are_named_where_they_are_needed(lists):
    with pytest.raises(InputError, match=r'train_images.txt line 1: "train/01/a.jpg" is not in .* 2 more like it'):
        read(lists)
