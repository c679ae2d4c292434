"""Further lists of the authors of BAS: CUB with masks and Stanford Dogs; Stanford Cars and FGVC-Aircraft."""

from pathlib import Path

from ...errors import InputError
from ...structures import Problem, Sample
from ..images import SUFFIXES
from .listed import LabelList, classes_by_folder, image_root, match_ground_truth, read_listed, with_class_folders
from .reading import GroundTruth, Places, Reading, normalize_tag
from .records import boxes_of, class_names, name_of, records, size_of
from .wsolevaluation import read_localization

_EXAMPLE = "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg;0"
_BOXES = '"60.0 27.0 385.0 331.0 335 500": x0 y0 x1 y1 of each box, then height and width'
_BOX_LINE = '"name;class;type;x0 y0 x1 y1 height width" with type 0 or 2 to train on and 1 to test'
_SPLIT_OF_TYPE = {"0": "train", "1": "test", "2": "train"}


def read_test_list(folder: Path, places: Places) -> Reading:
    """CUB and Stanford Dogs: ``test_list.txt`` and, line for line, ``test_bounding_box.txt`` or ``test_gt.txt``.

    The ends of boxes are exclusive (x + w) and may lie beyond the photo. All photos of an ``images_list.txt`` that are
    not tested are trained on, or else those in the class folders of ``train/``. Photos lie in ``test/`` and ``train/``,
    in ``images/``, or without these folders, below ``places.images`` or else beside the lists. Masks are listed in
    ``CUBMask/test/localization.txt`` beside the lists or photos, relative to ``CUBMask/``; ``places.masks`` is that
    folder where it lies elsewhere.
    """
    images = places.images or folder
    test = LabelList.read(folder / "test_list.txt", ";", _EXAMPLE)
    train = LabelList(folder / "images_list.txt", {})
    if train.file.is_file():
        tested = set(test.names)
        rows = LabelList.read(train.file, ";", _EXAMPLE).rows
        train = LabelList(train.file, {line: row for line, row in rows.items() if row[0] not in tested})
    ground_truth = _line_by_line(test)
    notes = _add_masks(test, ground_truth, next(filter(Path.is_dir, _mask_folders(folder, places)), None))
    listed = test.samples(image_root(images, ["test", "images"], test.names), "test", ground_truth)
    listed += train.samples(image_root(images, ["train", "images"], train.names), "train", {})
    reading = read_listed(images, classes_by_folder(test, train), listed, places, notes)
    return reading if train.rows else with_class_folders(reading, images / "train", places)


def read_images_box(folder: Path, places: Places) -> Reading:
    """Stanford Cars and FGVC-Aircraft: ``images_box.txt``, one photo a line, and ``classes.txt``, one class a line.

    A line is ``name;class;type;x0 y0 x1 y1 height width``, the name without ``.jpg``. Type 0 is trained on, 1 tested;
    2, Aircraft's validation split, is trained on as the authors do. Boxes keep their numbers. Photos lie in
    ``images/``, or without that folder, below ``places.images`` or else beside the list.
    """
    images, source = places.images or folder, folder / "images_box.txt"
    rows = dict(records(source, _box_line, _BOX_LINE))
    classes = class_names(folder / "classes.txt")
    number = {name: label for label, name in enumerate(classes)}
    root = image_root(images, ["images"], (name for name, *_ in rows.values()))
    listed = []
    for line, (name, tag, split, ground_truth) in rows.items():
        if tag not in number:
            raise InputError(f'{source} line {line}: the class "{tag}" is not in classes.txt. Add it there.')
        listed.append((f"{source} line {line}", Sample(root / name, name, (number[tag],), split, *ground_truth)))
    return read_listed(images, classes, listed, places)


def _line_by_line(test: LabelList) -> dict[str, GroundTruth]:
    """Boxes and sizes by name: line n of the boxes' file belongs to the n-th photo of the list."""
    files = (test.file.with_name(name) for name in ("test_bounding_box.txt", "test_gt.txt"))
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return {}
    ground_truth = [boxes for _, boxes in records(file, _boxes_then_size, _BOXES)]
    if len(ground_truth) != len(test.rows):
        counts = f"{file} has {len(ground_truth)} lines, but {test.file.name} has {len(test.rows)}"
        raise InputError(f"{counts}, and they belong together line by line. Copy both again.")
    return dict(zip(test.names, ground_truth, strict=True))


def _mask_folders(folder: Path, places: Places) -> list[Path]:
    return [places.masks] if places.masks else [folder / "CUBMask", (places.images or folder) / "CUBMask"]


def _add_masks(test: LabelList, ground_truth: dict[str, GroundTruth], folder: Path | None) -> list[Problem]:
    """Add the masks of CUBMask, whose names have one more folder in front; notes where its photos differ."""
    if folder is None:
        return []
    file = folder / "test" / "localization.txt"
    masks = {name.partition("/")[2]: known for name, known in read_localization(file, folder).items()}
    for name, known in masks.items():
        ground_truth[name] = ground_truth.get(name, GroundTruth())._replace(
            instances=known.instances, ignore=known.ignore
        )
    return match_ground_truth(test.names, test.file, masks, file)


def _boxes_then_size(line: str) -> GroundTruth:
    *numbers, height, width = line.split()
    return GroundTruth(boxes_of(numbers), size=size_of(height, width))


def _box_line(line: str) -> tuple[str, str, str, GroundTruth]:
    name, tag, kind, numbers = line.split(";")
    if kind.strip() not in _SPLIT_OF_TYPE:
        raise ValueError(line)
    named = name_of(name.strip())
    if named.rpartition(".")[2].lower() not in SUFFIXES:
        named += ".jpg"
    return named, normalize_tag(tag), _SPLIT_OF_TYPE[kind.strip()], _boxes_then_size(numbers)
