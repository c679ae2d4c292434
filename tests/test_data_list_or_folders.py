"""A folder that could be read in two ways: by a list in it, or by its folders."""

import pytest
from touched import touch

from torchbas.data.tags import read
from torchbas.errors import InputError


def test_a_list_beside_one_folder_of_photos_is_read(tmp_path):
    touch(tmp_path, "img/1.jpg", "img/2.jpg", "_background/3.jpg")
    (tmp_path / "tags.csv").write_text("file,tags\nimg/1.jpg,cat\nimg/2.jpg,dog")
    dataset = read(tmp_path)
    tags = {sample.name: {dataset.classes[label] for label in sample.labels} for sample in dataset.samples}
    assert tags == {"img/1.jpg": {"cat"}, "img/2.jpg": {"dog"}}
    assert [(problem.name, "was read" in problem.reason) for problem in dataset.problems] == [("tags.csv", True)]


def test_a_list_beside_folders_of_tags_is_named_and_left(tmp_path):
    touch(tmp_path, "cat/1.jpg", "dog/2.jpg")
    (tmp_path / "prices.csv").write_text("what,price")
    dataset = read(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert [(problem.name, "was not read" in problem.reason) for problem in dataset.problems] == [("prices.csv", True)]


def test_the_output_of_a_command_is_no_folder_of_tags(tmp_path):
    touch(tmp_path, "masks/1.png", "run.json", "boxes.coco.json")
    with pytest.raises(InputError, match="is the output of a command"):
        read(tmp_path)
