"""Sources of the tags of a VOC-style folder, in the order of their precedence, and its class names."""

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from ...errors import InputError
from ...inputs import open_text, regular
from ...structures import IGNORE_INDEX
from .reading import SPLITS, TagSource, exists, folder_name, normalize_tag
from .records import class_names, multi_labeled, records

Labels = dict[str, tuple[int, ...]]
"""Class numbers by the photo's id."""

VOC = tuple(
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "  # noqa: SIM905
    "sofa train tvmonitor".split()
)
COCO = tuple(
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"  # noqa: SIM905
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush".split(",")
)
_BACKGROUND = re.compile(r"_*background_*", re.IGNORECASE)
_NUMBERED = re.compile(r"(\d{1,9})\s+(.+)")


class Tags(NamedTuple):
    """The labels of the photos and their source."""

    source: Path
    """File or folder that the labels come from."""
    labels: Labels


def semantic_classes(file: Path, ids: Iterable[str]) -> tuple[str, ...]:
    """Class names of the label maps, number 1 first: from ``classes.txt``, or else COCO's or VOC's.

    Its lines are names, with or without a leading number, with or without the background; number 255 is skipped.
    Without the file, photos called ``COCO_...`` have COCO's 80 classes, all others VOC's 20.
    """
    if not file.is_file():
        return COCO if any(image_id.startswith("COCO_") for image_id in ids) else VOC
    lines = class_names(file)
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if not all(numbered):
        return lines[1:] if lines and _BACKGROUND.fullmatch(lines[0]) else lines
    names = {int(one[1]): normalize_tag(one[2]) for one in numbered if one and int(one[1]) not in (0, IGNORE_INDEX)}
    if sorted(names) != list(range(1, len(names) + 1)):
        raise InputError(f"{file}: the classes' numbers must be 1 to {len(names)}, each one once. Correct them there.")
    return tuple(names[number] for number in sorted(names))


def read_tags(
    folder: Path, ids: Mapping[str, str], classes: tuple[str, ...], masks: Mapping[str, Path], tags_from: TagSource
) -> Tags:
    """Tags of the photos in ``ids``, and of further photos where a list holds more.

    From the first of these that exists: ``image_labels.csv`` (``image,split,labels``, labels separated by ``;`` or
    white space; the split is ignored), the authors' ``train_cls.txt`` and ``val_cls.txt`` (``2007_000032 0 14``,
    numbers from 0, in the folder or beside the lists), the object names in ``Annotations/*.xml``, difficult ones too,
    as in IRN. Only on request by ``tags_from``: the classes in the true masks, or IRN's ``cls_labels.npy``.

    Raises:
        InputError: there is none of these, or it names a class that the classes lack.
    """
    number = {name: label for label, name in enumerate(classes)}
    if tags_from != "lists":
        from .voc_array_tags import labels_in_mask, labels_in_npy  # they import NumPy

        if tags_from == "npy":
            return Tags(folder / "cls_labels.npy", labels_in_npy(folder / "cls_labels.npy", len(classes)))
        found = {image_id: labels_in_mask(masks[image_id], classes) for image_id in ids if image_id in masks}
        return Tags(folder / "SegmentationClass", found)
    table, annotations = folder / "image_labels.csv", folder / "Annotations"
    if table.is_file():
        return Tags(table, _table(table, number))
    beside = (base / f"{split}_cls.txt" for base in (folder, folder / "ImageSets/Segmentation") for split in SPLITS)
    if lists := [file for file in beside if file.is_file()]:
        return Tags(lists[0], {image_id: labels for file in lists for image_id, labels in _numbers(file, classes)})
    if annotations.is_dir():
        files = {image_id: annotations / f"{image_id}.xml" for image_id in ids}
        return Tags(annotations, {image_id: _objects(file, number) for image_id, file in files.items() if exists(file)})
    raise InputError(
        f"{folder_name(folder)} says nowhere what its photos show. Add image_labels.csv with the columns image,labels, "
        'or Annotations/, or take the tags from the true masks: torchbas.data.read(..., tags_from="masks").'
    )


def _numbers(file: Path, classes: tuple[str, ...]) -> Iterable[tuple[str, tuple[int, ...]]]:
    for line, (image_id, labels) in records(file, multi_labeled, '"2007_000032 0 14", numbers of classes from 0'):
        if labels and labels[-1] >= len(classes):
            raise InputError(f"{file} line {line}: class {labels[-1]}, but the last one is {len(classes) - 1}.")
        yield image_id, labels


def _table(file: Path, number: Mapping[str, int]) -> Labels:
    labels: Labels = {}
    try:
        with open_text(file, newline="") as stream:
            rows = csv.DictReader(stream, strict=True)
            if not {"image", "labels"} <= set(rows.fieldnames or ()):
                raise InputError(f"{file} has no columns image and labels. Its first line must name them.")
            for row in rows:
                image_id, where = (row["image"] or "").strip(), f"{file} line {rows.line_num}"
                if image_id in labels:
                    raise InputError(f'{where}: "{image_id}" stands in an earlier line already. Delete one of the two.')
                labels[image_id] = _words(row["labels"] or "", number, where)
    except csv.Error as error:
        raise InputError(f"{file} is not a CSV file that can be read ({error}). Save it as CSV once more.") from error
    return labels


def _words(words: str, number: Mapping[str, int], where: str) -> tuple[int, ...]:
    """Class numbers of a cell; names that hold spaces are recognized between ``;``."""
    parts = [normalize_tag(part) for part in words.split(";")]
    names = [name for part in parts for name in ([part] if part in number else part.split())]
    return _known(names, number, where)


def _known(names: Iterable[str], number: Mapping[str, int], where: str) -> tuple[int, ...]:
    labels = set()
    for name in names:
        if name not in number:
            raise InputError(f'{where}: "{name}" is no class. List the classes in classes.txt, one a line, or mend it.')
        labels.add(number[name])
    return tuple(sorted(labels))


def _objects(file: Path, number: Mapping[str, int]) -> tuple[int, ...]:
    try:
        names = [normalize_tag(name.text or "") for name in ElementTree.parse(regular(file)).iterfind("object/name")]
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the last two: an encoding it does not have
        raise InputError(f"{file} is no XML that can be read ({error}). Copy it again.") from error
    return _known(names, number, str(file))
