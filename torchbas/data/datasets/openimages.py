"""OpenImages30k in the lists of the authors of BAS; clovaai's metadata of it have the format of wsolevaluation."""

from pathlib import Path

from .listed import LabelList, check_class_names, match_ground_truth, read_listed
from .reading import Places, Reading
from .records import class_names
from .wsolevaluation import read_localization

_EXAMPLE = "test/0ph39/5231352db885f7d1.jpg,0"


def is_openimages(folder: Path) -> bool:
    """Whether the folder holds ``test_images.txt`` or ``train_images.txt``, and ``classes.txt``."""
    lists = (folder / "test_images.txt", folder / "train_images.txt")
    return any(file.is_file() for file in lists) and (folder / "classes.txt").is_file()


def read_openimages(folder: Path, places: Places) -> Reading:
    """``train_images.txt`` and ``test_images.txt`` (``path,label``), ``classes.txt`` and ``test_mask.txt``.

    A line of ``test_mask.txt`` is ``path,mask,ignore`` with an empty last field for further masks of a photo; masks are
    relative to ``places.masks``, or else to ``mask/`` beside the lists, or else to the lists. Photos are relative to
    ``places.images``, or else to the lists.
    """
    images = places.images or folder
    beside = folder / "mask"
    masks = places.masks or (beside if beside.is_dir() else folder)
    file = folder / "test_mask.txt"
    ground_truth = read_localization(file, masks) if file.is_file() else {}
    listed, notes = [], []
    for split in ("train", "test"):
        source = folder / f"{split}_images.txt"
        if source.is_file():
            labels = LabelList.read(source, ",", _EXAMPLE)
            listed += labels.samples(images, split, ground_truth if split == "test" else {})
            notes += match_ground_truth(labels.names, source, ground_truth, file) if split == "test" else []
    classes = class_names(folder / "classes.txt")
    check_class_names(classes, folder / "classes.txt", listed)
    return read_listed(images, classes, listed, places, notes)
