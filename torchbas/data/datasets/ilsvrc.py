"""ILSVRC (ImageNet's 1,000 classes) in the lists of the authors of BAS."""

from pathlib import Path

from .listed import LabelList, classes_by_folder, image_root, match_ground_truth, read_listed, with_class_folders
from .reading import GroundTruth, Places, Reading
from .records import boxes_of, name_of, size_of, table

_EXAMPLE = "n01751748/ILSVRC2012_val_00000001.JPEG;65"
_GROUND_TRUTH = r'"n01751748\\ILSVRC2012_val_00000001.JPEG 500 375 ; 45 49 499 162", width first, 4 numbers a box'


def read_ilsvrc(folder: Path, places: Places) -> Reading:
    """``val_list.txt`` and ``val_gt.txt``, the test split of WSOL, and a ``train_list.txt`` or ``train/`` to train on.

    Lists hold ``n01751748/ILSVRC2012_val_00000001.JPEG;65``, and classes are called by their synsets. ``val_gt.txt``
    names photos with slashes or (double) backslashes; its boxes keep their numbers, those of ImageNet's XML, where the
    end is the last pixel inside. Photos lie in ``val/`` and ``train/``, or without these folders, below
    ``places.images`` or else beside the lists; without a ``train_list.txt`` the photos of the synsets' folders in
    ``train/`` are trained on.
    """
    images = places.images or folder
    test = LabelList.read(folder / "val_list.txt", ";", _EXAMPLE)
    train = LabelList(folder / "train_list.txt", {})
    if train.file.is_file():
        train = LabelList.read(train.file, ";", _EXAMPLE)
    file = folder / "val_gt.txt"
    ground_truth = table(file, _ground_truth, _GROUND_TRUTH)
    listed = test.samples(image_root(images, ["val"], test.names), "test", ground_truth)
    listed += train.samples(image_root(images, ["train"], train.names), "train", {})
    classes = classes_by_folder(test, train)
    reading = read_listed(
        images, classes, listed, places, match_ground_truth(test.names, test.file, ground_truth, file)
    )
    return reading if train.rows else with_class_folders(reading, images / "train", places)


def _ground_truth(line: str) -> tuple[str, GroundTruth]:
    head, boxes = line.split(";")
    name, width, height = head.rsplit(maxsplit=2)
    return name_of(name), GroundTruth(boxes_of(boxes.split()), size=size_of(height, width))
