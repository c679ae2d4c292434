"""A folder in the format of CUB-200-2011 is recognized and read."""

import pytest

from torchbas.data.tags import read
from torchbas.errors import InputError


@pytest.fixture
def cub(tmp_path):
    lists = {
        "images.txt": "1 001.Albatross/a.jpg\n2 002.Auk/b c.jpg\n",
        "classes.txt": "1 001.Albatross\n2 002.Auk\n",
        "image_class_labels.txt": "1 1\n2 2\n",
        "train_test_split.txt": "1 0\n2 1\n",
        "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0\n2 10.3 82.5 286.4 137.3\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
    for name in ("images/001.Albatross/a.jpg", "images/002.Auk/b c.jpg", "segmentations/001.Albatross/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_species_split_boxes_and_masks_are_read(cub):
    dataset = read(cub)
    assert dataset.classes == ("001.Albatross", "002.Auk")
    first, second = dataset.samples
    assert (first.name, first.labels, first.split) == ("images/001.Albatross/a.jpg", (0,), "test")
    assert (second.name, second.labels, second.split) == ("images/002.Auk/b c.jpg", (1,), "train")
    assert first.boxes == ((60.0, 27.0, 385.0, 331.0),)
    assert second.boxes[0] == pytest.approx((10.3, 82.5, 296.7, 219.8))
    assert (first.mask, second.mask) == (cub / "segmentations/001.Albatross/a.png", None)
    assert first.path.is_file()


def test_boxes_and_split_are_optional(cub):
    (cub / "bounding_boxes.txt").unlink()
    (cub / "train_test_split.txt").unlink()
    assert [(sample.boxes, sample.split) for sample in read(cub).samples] == [((), ""), ((), "")]


def test_a_missing_photo_is_named(cub):
    (cub / "images/002.Auk/b c.jpg").unlink()
    with pytest.raises(InputError, match=r'images.txt number 2: "002.Auk/b c.jpg" is not in .*images/\.'):
        read(cub)
    assert len(read(cub, strict=False).samples) == 1


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("bounding_boxes.txt", "1 60 27 325\n", r'bounding_boxes.txt line 1: "1 60 27 325" is not understood'),
        ("image_class_labels.txt", "1 1\n2 3\n", r'image_class_labels.txt line 2: "2 3" is not understood'),
        ("image_class_labels.txt", "1 1\n", r"lack 2, 002.Auk/b c.jpg"),
        ("train_test_split.txt", "1 1\n", r"lack 2"),
        ("train_test_split.txt", "1 1\n2 7\n", r'train_test_split.txt line 2: "2 7" is not understood'),
        ("bounding_boxes.txt", "1 60 27 nan 3\n", r"bounding_boxes.txt line 1: .* is not understood"),
        ("bounding_boxes.txt", "1 60 27 5 inf\n", r"bounding_boxes.txt line 1: .* is not understood"),
        (
            "bounding_boxes.txt",
            "1 60 27 -5 3\n",
            r'images.txt number 1: a true box of "images/001.Albatross/a.jpg" ends',
        ),
        ("classes.txt", "1 Auk\n2 Auk\n", r'has two classes called "Auk"'),
        ("classes.txt", "1 Auk\n2 \n", r"has a class without a name"),
        ("classes.txt", "1 Auk\n1 Albatross\n", r"classes.txt line 2: the number 1 stands in an earlier line"),
        (
            "images.txt",
            "1 002.Auk/b c.jpg\n2 002.Auk/b c.jpg\n",
            r'images.txt number 2: "images/002.Auk/b c.jpg" stands',
        ),
        ("images.txt", "1 /etc/a.jpg\n", r"images.txt line 1: .* is not understood"),
        ("images.txt", "1 ../a.jpg\n", r"images.txt line 1: .* is not understood"),
    ],
)
def test_lists_that_do_not_fit_together_are_refused(cub, name, text, sentence):
    (cub / name).write_text(text)
    with pytest.raises(InputError, match=sentence):
        read(cub)


@pytest.mark.parametrize("name", ["images.txt", "classes.txt", "bounding_boxes.txt"])
def test_a_list_in_another_encoding_is_named(cub, name):
    (cub / name).write_bytes("1 Käfer\n".encode("latin-1"))
    with pytest.raises(InputError, match=f"{name} is not written in UTF-8"):
        read(cub)


def test_photos_and_masks_may_lie_elsewhere_or_not_be_needed(cub, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (cub / "images").rename(elsewhere / "photos")
    (cub / "segmentations").rename(elsewhere / "masks")
    first = read(cub, images=elsewhere / "photos", masks=elsewhere / "masks").samples[0]
    assert (first.path, first.mask) == (
        elsewhere / "photos/001.Albatross/a.jpg",
        elsewhere / "masks/001.Albatross/a.png",
    )
    assert [sample.name for sample in read(cub, need_images=False).samples] == [
        "images/001.Albatross/a.jpg",
        "images/002.Auk/b c.jpg",
    ]
