"""The metadata of clovaai/wsolevaluation: CUB, ILSVRC, OpenImages30k, and any data set in the same format."""

from pathlib import Path

from ...errors import InputError
from ...structures import Box, Problem, Sample
from ..images import SUFFIXES
from .listed import Listed, check_class_names, match_ground_truth, read_listed, unmatched
from .reading import GroundTruth, Places, Reading
from .records import boxes_of, class_names, labeled, name_of, records, size_of, table

SPLIT_OF = {"train": "train", "train-weaksup": "train", "val": "val", "train-fullsup": "val", "test": "test"}
"""Folder of a split, in both spellings, to its split; ``train-fullsup`` is the paper's small validation set."""

_FORM = "path,x0,y0,x1,y1 or path,mask.png,ignore.png without further commas"


def is_wsolevaluation(folder: Path) -> bool:
    """Whether the folder holds ``image_ids.txt``, or has a split's folder that does."""
    return bool(_splits(folder))


def read_wsolevaluation(folder: Path, places: Places) -> Reading:
    """``image_ids.txt``, ``class_labels.txt``, and, where not empty, ``image_sizes.txt`` and ``localization.txt``.

    Boxes keep the numbers of the file; in the published files their end is exclusive (CUB's x + w), clipped into the
    image. Photos are relative to ``places.images``, or else to ``dataset/NAME`` beside ``metadata/NAME``, or else to
    the data set's folder; masks to ``places.masks``, or else to the same folder as the photos. Classes have numbers
    only, unless a ``classes.txt`` in the data set's folder names them, one a line. A photo without a label, or
    without a size where sizes are listed, is a fault; one without boxes and masks is kept.
    """
    splits = _splits(folder)
    single = len(splits) == 1 and splits.get(folder)
    folder_of_set = folder.absolute().parent if single else folder.absolute()
    beside = folder_of_set.parent.parent / "dataset" / folder_of_set.name
    images = places.images or (beside if beside.is_dir() else folder_of_set)
    listed: list[Listed] = []
    faults: list[Problem] = []
    notes: list[Problem] = []
    for below, split in splits.items():
        entries, split_faults, split_notes = _read_split(below, split, images, places.masks or images)
        listed += entries
        faults += split_faults
        notes += split_notes
    reading = read_listed(images, _classes(folder_of_set, listed), listed, places, notes)
    return Reading(reading.dataset, faults + reading.faults)


def read_localization(file: Path, masks: Path) -> dict[str, GroundTruth]:
    """Boxes and masks by photo from lines ``path,x0,y0,x1,y1`` or ``path,mask,ignore``.

    Further masks of a photo leave ``ignore`` empty. Masks are relative to ``masks``.
    """
    boxes: dict[str, tuple[Box, ...]] = {}
    instances: dict[str, tuple[Path, ...]] = {}
    ignored: dict[str, Path] = {}
    for line, (name, box, mask, ignore) in records(file, _located, _FORM):
        if ignore and name in ignored:
            raise InputError(f'{file} line {line}: a second ignore mask for "{name}". Leave that field empty.')
        if box:
            boxes[name] = boxes.get(name, ()) + box
        if mask:
            instances[name] = (*instances.get(name, ()), masks / mask)
        if ignore:
            ignored[name] = masks / ignore
    names = boxes | instances
    return {name: GroundTruth(boxes.get(name, ()), None, instances.get(name, ()), ignored.get(name)) for name in names}


def _splits(folder: Path) -> dict[Path, str]:
    if (folder / "image_ids.txt").is_file():
        return {folder: SPLIT_OF.get(folder.absolute().name, "")}
    return {folder / name: split for name, split in SPLIT_OF.items() if (folder / name / "image_ids.txt").is_file()}


def _read_split(
    folder: Path, split: str, images: Path, masks: Path
) -> tuple[list[Listed], list[Problem], list[Problem]]:
    """The photos of one split, the faults (each cost a photo), and the notes."""
    ids, labels_file, sizes_file, ground_truth_file = (
        folder / f"{name}.txt" for name in ("image_ids", "class_labels", "image_sizes", "localization")
    )
    names = dict(records(ids, name_of, '"cat/1.jpg", a path below the folder of the photos'))
    labels = dict(entry for _, entry in records(labels_file, labeled(","), '"path,label" with labels from 0'))
    sizes = table(sizes_file, _size, '"path,width,height"')
    ground_truth = read_localization(ground_truth_file, masks) if ground_truth_file.is_file() else {}
    notes = match_ground_truth(list(names.values()), ids, ground_truth, ground_truth_file)
    for file, rows in ((labels_file, labels), (sizes_file, sizes)):
        notes += unmatched(rows, names.values(), file, ids, "its lines are left out")
    listed, faults = [], []
    for line, name in names.items():
        where = f"{ids} line {line}"
        lacking = labels_file if name not in labels else sizes_file if sizes and name not in sizes else None
        if lacking:
            faults.append(
                Problem(name, f'{where}: "{name}" is not in {lacking.name}. Add it there, or delete the line.')
            )
        else:
            known = ground_truth.get(name, GroundTruth())[:-1]
            listed.append((where, Sample(images / name, name, (labels[name],), split, *known, sizes.get(name))))
    return listed, faults, notes


def _classes(folder_of_set: Path, listed: list[Listed]) -> tuple[str, ...]:
    file = folder_of_set / "classes.txt"
    if file.is_file():
        classes = class_names(file)
        check_class_names(classes, file, listed)
        return classes
    return tuple(map(str, range(1 + max((sample.labels[0] for _, sample in listed), default=-1))))


def _size(line: str) -> tuple[str, tuple[int, int]]:
    name, width, height = line.rsplit(",", 2)
    return name_of(name), size_of(height, width)


def _located(line: str) -> tuple[str, tuple[Box, ...], str, str]:
    """Name, boxes, mask and ignore mask; those that the line lacking are empty."""
    name, *numbers = line.rsplit(",", 4)
    try:
        if len(numbers) == 4:
            return name_of(name), boxes_of(numbers), "", ""
    except ValueError:  # then it lists masks, and no path holds a comma
        pass
    name, mask, ignore = line.split(",")
    if any(file.rpartition(".")[2].lower() not in SUFFIXES for file in (mask, ignore or mask)):
        raise ValueError(line)
    return name_of(name), (), name_of(mask), ignore and name_of(ignore)
