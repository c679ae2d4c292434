"""Whatever bytes, lines or values of a list are exchanged, reading it gives a dataset or one sentence."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchbas.data import summary
from torchbas.data.tags import read
from torchbas.errors import InputError
from torchbas.io import output_paths, stable_hash
from torchbas.structures import Dataset

XML = "<annotation><object><name>{}</name></object></annotation>"
PHOTOS = {"img/a.jpg": "", "img/b c.jpg": "", "img/c.png": ""}
COCO = {
    "images": [{"id": n, "file_name": f"{n}.jpg", "height": 5, "width": 7} for n in (1, 2)],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 2, 2], "segmentation": [[0, 0, 2, 0, 2, 2]]},
        {"id": 2, "image_id": 2, "category_id": 4, "iscrowd": 1, "segmentation": {"size": [5, 7], "counts": [35]}},
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}],
}
VOC = {
    "JPEGImages/1.jpg": "",
    "JPEGImages/2.jpg": "",
    "ImageSets/Segmentation/train.txt": "1\n",
    "ImageSets/Segmentation/val.txt": "/JPEGImages/2.jpg /SegmentationClass/2.png\n",
    "SegmentationClass/1.png": "",
}
LISTS: dict[str, dict[str, str]] = {
    "tag_folders": {
        "cat/1.jpg": "",
        "dog/2.jpg": "",
        "truth.json": json.dumps({"cat/1.jpg": {"boxes": [[1, 2, 3.5, 4]], "mask": "m.png"}}),
    },
    "csv": PHOTOS | {"tags.csv": 'file,tags,split\nimg/a.jpg,cat;dog,train\n"img/b c.jpg",dog,test\nimg/c.png,,\n'},
    "json": PHOTOS
    | {
        "tags.json": json.dumps(
            [{"file": "img/a.jpg", "tags": ["cat", "dog"], "split": "train"}, {"file": "img/c.png"}]
        ),
        "truth.json": json.dumps({"img/a.jpg": {"boxes": [[0, 0, 9, 9], [1, 1, 2, 2]]}}),
    },
    "json_object": PHOTOS | {"tags.json": json.dumps({"img/a.jpg": ["cat"], "img/b c.jpg": "dog"})},
    "coco": {"train2014/1.jpg": "", "train2014/2.jpg": "", "annotations/instances_train2014.json": json.dumps(COCO)},
    "voc_xml": VOC | {"Annotations/1.xml": XML.format("cat"), "Annotations/2.xml": XML.format("dog")},
    "voc_csv": VOC
    | {"image_labels.csv": "image,split,labels\n1,train,cat;dog\n2,val,dog\n", "classes.txt": "1 cat\n2 dog\n"},
    "voc_authors": {"train_cls.txt": "2007_000032 0 14\n", "val_cls.txt": "2007_000033 1\n"},
    "cub": {
        "images.txt": "1 001.A/a.jpg\n2 002.B/b c.jpg\n",
        "classes.txt": "1 001.A\n2 002.B\n",
        "image_class_labels.txt": "1 1\n2 2\n",
        "train_test_split.txt": "1 0\n2 1\n",
        "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0\n2 10.3 82.5 286.4 137.3\n",
        "images/001.A/a.jpg": "",
        "images/002.B/b c.jpg": "",
    },
    "ilsvrc": {
        "val_list.txt": "n02/v1.JPEG;2\nn01/v2.JPEG;0\n",
        "val_gt.txt": "n01\\\\v2.JPEG 500 375 ; 45 49 499 162 2 69 437 207\nn02\\\\v1.JPEG 100 200 ; 5 9 9 99",
        "train_list.txt": "n01/t.JPEG;0\n",
    },
    "openimages": {
        "train_images.txt": "train/0/1.jpg,0\n",
        "test_images.txt": "test/0/2.jpg,1\n",
        "classes.txt": "cat\ndog\n",
        "test_mask.txt": "test/0/2.jpg,test/0/2_m.png,test/0/2_i.png\ntest/0/2.jpg,test/0/3_m.png,\n",
    },
    "wsolevaluation": {
        "test/image_ids.txt": "a/1.jpg\na/2.jpg\nb/3.jpg\n",
        "test/class_labels.txt": "a/1.jpg,0\na/2.jpg,0\nb/3.jpg,1\n",
        "test/image_sizes.txt": "a/1.jpg,50,40\na/2.jpg,5,4\nb/3.jpg,9,9\n",
        "test/localization.txt": "a/1.jpg,6,7,38,33\na/2.jpg,a/m.png,a/i.png\nb/3.jpg,1,1,2,2\n",
        "classes.txt": "cat\ndog\n",
    },
    "test_list": {
        "images_list.txt": "001.A/a.jpg;0\n001.A/b.jpg;0\n002.B/c.jpg;1\n",
        "test_list.txt": "001.A/b.jpg;0\n002.B/c.jpg;1\n",
        "test_bounding_box.txt": "60.0 27.0 385.0 331.0 335 500\n10.5 2.0 505.0 340.0 335 500",
        "CUBMask/test/localization.txt": "CUB/001.A/b.jpg,001.A/b.png,001.A/i.png\n",
    },
    "images_box": {
        "images_box.txt": "00001;Hummer;0;30 52 246 147 168 300\n00002;F/A-18;1;1.0 2.0 3.0 4.0 168 300\n",
        "classes.txt": "Hummer\nF/A-18\n",
    },
}

LONG = 5000
HUGE = "1" + "0" * 310
WORDS = [
    "",
    " ",
    "/",
    "//",
    "..",
    "../../x.jpg",
    "/etc/x.jpg",
    ".",
    "\\\\h\\x.jpg",
    "\0",
    "x" * 300,
    "é",
    "_background",
]
WORDS += ["nan", "inf", "-1", "1e999", "1e308", "²", "٣", HUGE, "9" * LONG, "4294967296", "\ufeff", "\u2028", "0 0 0 0"]
VALUES: list[Any] = [
    *WORDS,
    None,
    True,
    [],
    {},
    [[]],
    {"a": {}},
    0,
    -1,
    1.5,
    1e300,
    10**310,
    float("nan"),
    float("inf"),
]
VALUES += ["\ud800", "cat", "1.jpg", [1, 2, 3, 4], [[4, 3, 2, 1]], ["cat", 3], json.loads("[" * 60 + "]" * 60)]
BYTES = [
    b"\xff",
    b"\0",
    b"\xe9",
    b"\r",
    b"\n",
    b'"',
    b"\xef\xbb\xbf",
    b"[" * LONG,
    b"9" * LONG,
    b"\\ud800",
    b"<",
    b"NaN",
]

byte_edit = st.tuples(st.floats(0, 1), st.integers(0, 9), st.sampled_from(BYTES) | st.binary(max_size=3))
word_edit = st.tuples(st.floats(0, 1), st.sampled_from("\n,; /\"' "), st.sampled_from(WORDS) | st.text(max_size=4))


def _paths(value: Any, above: tuple = ()) -> Iterator[tuple]:
    """The places of all values in JSON, as the keys that lead there."""
    yield above
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _paths(below, (*above, key))


def _with(value: Any, path: tuple, new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _with(value[path[0]], path[1:], new)
    return copy


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, dict[str, bytes]]:
    """A data set of which one or two lists were changed: bytes, words of lines, or values in JSON."""
    name = draw(st.sampled_from(sorted(LISTS)))
    files = {file: text.encode() for file, text in LISTS[name].items()}
    for _ in range(draw(st.integers(1, 2))):
        file = draw(st.sampled_from(sorted(file for file, text in LISTS[name].items() if text)))
        content = files[file]
        how = draw(st.sampled_from(["bytes", "values" if file.endswith("json") else "words", "lines", "gone"]))
        if how == "bytes":
            where, cut, new = draw(byte_edit)
            at = round(where * len(content))
            files[file] = content[:at] + new + content[at + cut :]
        elif how == "words":
            where, separator, new = draw(word_edit)
            parts = content.decode("utf-8", "replace").split(separator)
            parts[min(int(where * len(parts)), len(parts) - 1)] = new
            files[file] = separator.join(parts).encode("utf-8", "replace")
        elif how == "values":
            try:
                value = json.loads(content)
            except ValueError:
                continue
            value = _with(value, draw(st.sampled_from([*_paths(value)])), draw(st.sampled_from(VALUES)))
            files[file] = json.dumps(value).encode()
        elif how == "lines":
            lines = content.splitlines(keepends=True)
            files[file] = b"".join(draw(st.permutations(lines * 2))[: len(lines) + 1]) if lines else b""
        else:
            files.pop(file, None)
            files[file] = b""
    return name, files


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return next((folder / name for name in files if name in ("tags.csv", "tags.json")), folder)


def usable(dataset: Dataset) -> None:
    """What every later step takes for granted of a dataset."""
    names = [sample.name for sample in dataset.samples]
    assert len(set(names)) == len(names)
    assert len(set(dataset.classes)) == len(dataset.classes)
    assert all(dataset.classes)
    json.dumps([names, dataset.classes, summary(dataset)], ensure_ascii=False).encode()
    stable_hash(names, dataset.classes)
    output_paths(names, ".png")
    for sample in dataset.samples:
        assert all(0 <= label < len(dataset.classes) for label in sample.labels)
        assert not Path(sample.name).is_absolute()
        assert ".." not in Path(sample.name).parts
        for x0, y0, x1, y1 in sample.boxes:
            assert -(2**31) <= x0 <= x1 <= 2**32
            assert -(2**31) <= y0 <= y1 <= 2**32
        assert sample.size is None or min(sample.size) > 0


@pytest.mark.parametrize("name", LISTS)
def test_each_list_is_read_as_it_stands(tmp_path, name):
    path = _write(tmp_path, {file: text.encode() for file, text in LISTS[name].items()})
    dataset = read(path, need_images=False)
    assert dataset.samples
    usable(dataset)


@settings(deadline=None, max_examples=int(os.environ.get("TORCHBAS_EXAMPLES", "150")))
@given(mutated(), st.booleans(), st.booleans())
def test_a_mutated_list_is_read_or_refused_in_a_sentence(tmp_path_factory, files, strict, need_images):
    path = _write(tmp_path_factory.mktemp("lists"), files[1])
    try:
        usable(read(path, strict=strict, need_images=need_images))
    except InputError as error:
        str(error).encode()
