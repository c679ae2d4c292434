"""The registry of data sets and list formats: one file each in this folder, one line each in ``FORMATS``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .authors import read_images_box, read_test_list
from .coco import is_coco, read_coco
from .cub import read_cub
from .ilsvrc import read_ilsvrc
from .openimages import is_openimages, read_openimages
from .reading import Places, Reading
from .tag_folders import read_tag_folders
from .tag_lists import read_csv, read_json_list
from .voc import is_voc, read_voc
from .wsolevaluation import is_wsolevaluation, read_wsolevaluation


@dataclass(frozen=True)
class Format:
    """One format of photos with tags: a folder of lists, a list, or a folder of tags."""

    name: str
    """Its key in :data:`FORMATS`."""
    about: str
    """What it is, in one line."""
    recognizes: Callable[[Path], bool]
    """Whether a path, of a folder or a file, has this format; nothing but names of files is looked up."""
    read: Callable[[Path, Places], Reading]
    """The dataset at a path of this format; raises :class:`~torchbas.errors.InputError` for a broken list."""


def _holds(*names: str) -> Callable[[Path], bool]:
    """Recognizes folders with all of these files."""
    return lambda path: all((path / name).is_file() for name in names)


def _ends(suffix: str) -> Callable[[Path], bool]:
    """Recognizes paths with this suffix that are no folders."""
    return lambda path: path.suffix.lower() == suffix and not path.is_dir()


CUB = _holds("images.txt", "classes.txt", "image_class_labels.txt")
TAG_FOLDERS = Format("tag_folders", "one folder per tag, optionally below splits", Path.is_dir, read_tag_folders)

FORMATS = {
    one.name: one
    for one in (
        Format("cub", "CUB-200-2011 as published", CUB, read_cub),
        Format("wsolevaluation", "metadata of clovaai/wsolevaluation", is_wsolevaluation, read_wsolevaluation),
        Format("ilsvrc", "ILSVRC, lists of the authors of BAS", _holds("val_list.txt"), read_ilsvrc),
        Format("openimages", "OpenImages30k, lists of the authors of BAS", is_openimages, read_openimages),
        Format(
            "test_list", "CUB and Stanford Dogs, lists of the authors of BAS", _holds("test_list.txt"), read_test_list
        ),
        Format(
            "images_box",
            "Stanford Cars, FGVC-Aircraft, lists of the authors",
            _holds("images_box.txt"),
            read_images_box,
        ),
        Format("coco", "COCO 2014 or 2017 as published", is_coco, read_coco),
        Format("voc", "Pascal VOC, and any folder laid out like it", is_voc, read_voc),
        Format("csv", "a CSV with the columns file,tags and optionally split", _ends(".csv"), read_csv),
        Format("json", "a JSON from files to tags, or a list of entries", _ends(".json"), read_json_list),
        TAG_FOLDERS,
    )
}
"""Formats by name, in the order of recognition: the first one that recognizes a path reads it."""


def format_of(path: Path) -> Format | None:
    """The first format that recognizes ``path``; every folder has one, a file may have none."""
    return next((one for one in FORMATS.values() if one.recognizes(path)), None)
