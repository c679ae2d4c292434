"""The registry recognizes every format by its files, and reading and checking import nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from torchbas.data.datasets import FORMATS, TAG_FOLDERS, format_of
from torchbas.data.datasets.reading import Places

FILES = {
    "cub": ["images.txt", "classes.txt", "image_class_labels.txt"],
    "wsolevaluation": ["test/image_ids.txt"],
    "ilsvrc": ["val_list.txt"],
    "openimages": ["test_images.txt", "classes.txt"],
    "test_list": ["test_list.txt"],
    "images_box": ["images_box.txt"],
    "coco": ["annotations/instances_val2017.json"],
    "voc": ["JPEGImages/1.jpg", "ImageSets/Segmentation/train.txt"],
    "csv": ["list.CSV"],
    "json": ["list.json"],
    "tag_folders": ["cat/1.jpg"],
}


def _touch(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_every_format_has_a_line_about_it_and_the_name_of_its_key():
    assert list(FORMATS) == list(FILES)
    assert all(one.name == name and one.about and "\n" not in one.about for name, one in FORMATS.items())


@pytest.mark.parametrize("name", FILES)
def test_each_format_is_recognized_by_its_files_alone(tmp_path, name):
    _touch(tmp_path, FILES[name])
    path = tmp_path / FILES[name][0] if name in ("csv", "json") else tmp_path
    assert format_of(path) is FORMATS[name]
    others = [one for one in FORMATS.values() if one.recognizes(path) and one is not FORMATS[name]]
    assert others == [TAG_FOLDERS] * (path.is_dir() and name != "tag_folders")


def test_of_two_formats_the_earlier_one_reads_the_folder(tmp_path):
    _touch(tmp_path, FILES["voc"] + FILES["cub"] + FILES["images_box"])
    assert format_of(tmp_path) is FORMATS["cub"]


def test_a_folder_may_end_like_a_list_and_a_photo_has_no_format(tmp_path):
    _touch(tmp_path, ["tags.csv/cat/1.jpg"])
    assert format_of(tmp_path / "tags.csv") is TAG_FOLDERS
    assert format_of(tmp_path / "tags.csv/cat/1.jpg") is None


def test_a_format_reads_what_it_recognizes(tmp_path):
    _touch(tmp_path, ["a.jpg"])
    (tmp_path / "list.json").write_text('{"a.jpg": "cat"}')
    assert FORMATS["json"].read(tmp_path / "list.json", Places()).dataset.classes == ("cat",)


@pytest.mark.slow
def test_reading_and_checking_photos_imports_no_torch_and_no_opencv(tmp_path):
    for name in ("cat/1.jpg", "cat/2.png", "dog/3.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 7), "red").save(tmp_path / name)
    (tmp_path / "m.png").parent.mkdir(exist_ok=True)
    Image.new("L", (9, 7)).save(tmp_path / "m.png")
    (tmp_path / "truth.json").write_text(json.dumps({"cat/1.jpg": {"mask": "m.png"}}))
    program = """
import json, sys
from torchbas.data import inspect, read, summary
counted = summary(inspect(read(sys.argv[1])))
heavy = {"cv2", "lightning_fabric", "matplotlib", "numba", "pycocotools", "timm", "torch", "torchvision"}
print(json.dumps([counted["tags"], counted["with_mask"], sorted(heavy & set(sys.modules))]))
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert json.loads(done.stdout) == [{"cat": 2, "dog": 1}, 1, []]
