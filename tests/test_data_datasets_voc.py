"""Folders laid out like VOC: splits, tags and masks of the photos."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchbas.data import inspect, label_map, read, summary
from torchbas.data.datasets.voc_array_tags import labels_in_npy
from torchbas.data.datasets.voc_tags import COCO, VOC
from torchbas.errors import InputError


def photo(folder, name, size=(6, 4)):
    file = folder / "JPEGImages" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    color = tuple(file.stem.encode()[-3:].rjust(3))  # no two photos alike
    Image.new("RGB", size, color).save(file)


def mask(folder, name, values, below="SegmentationClass"):
    """Saved with VOC's kind of palette."""
    file = folder / below / f"{name}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.resize(np.array(values, np.uint8), (4, 6)))
    picture.putpalette(list(range(256)) * 3)
    picture.save(file)


def lists(folder, **splits):
    (folder / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
    for name, ids in splits.items():
        (folder / f"ImageSets/Segmentation/{name}.txt").write_text("\n".join(ids) + "\n")


def annotate(folder, name, *objects):
    """As in VOC: a part has a name too, and a difficult object is one."""
    words = "".join(
        f"<object><name>{one}</name><difficult>1</difficult><part><name>head</name></part></object>" for one in objects
    )
    (folder / "Annotations").mkdir(exist_ok=True)
    (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation><folder>VOC</folder>{words}</annotation>")


@pytest.fixture
def voc(tmp_path):
    """Two training photos, one of them only in the augmented list, a validation photo and a test photo."""
    for name in ("2007_000032", "2008_000001", "2007_000033", "2008_000006"):
        photo(tmp_path, f"{name}.jpg")
    lists(
        tmp_path,
        train=["2007_000032"],
        train_aug=["2007_000032", "2008_000001"],
        val=["2007_000033"],
        trainval=["2007_000032", "2007_000033"],
        test=["2008_000006"],
    )
    for name, values in (("2007_000032", [0, 1, 15, 255]), ("2007_000033", [0, 20])):
        mask(tmp_path, name, values)
    mask(tmp_path, "2008_000001", [0, 15], "SegmentationClassAug")
    mask(tmp_path, "2007_000032", [0, 1], "SegmentationClassAug")
    annotate(tmp_path, "2007_000032", "person", "aeroplane", "person")
    annotate(tmp_path, "2008_000001", "person")
    annotate(tmp_path, "2007_000033", "tvmonitor")
    return tmp_path


def known(dataset):
    return {one.name: (one.labels, one.split, one.mask and one.mask.parent.name) for one in dataset.samples}


def problems_of(dataset):
    """Problems except for classes without a photo."""
    return [problem for problem in dataset.problems if "can be learned" not in problem.reason]


def test_voc_is_read_with_its_annotations(voc):
    dataset = read(voc)
    assert dataset.classes == VOC
    assert known(dataset) == {
        "2007_000032.jpg": ((0, 14), "train", "SegmentationClass"),
        "2008_000001.jpg": ((14,), "train", None),  # trained on, but not scored
        "2007_000033.jpg": ((19,), "val", "SegmentationClass"),
        "2008_000006.jpg": ((), "test", None),
    }
    assert problems_of(dataset) == []
    assert label_map(dataset.samples[0])[0].tolist() == [0, 1, 15, 255, 0, 1]


def test_without_an_augmented_list_the_short_one_is_trained_on(voc):
    (voc / "ImageSets/Segmentation/train_aug.txt").unlink()
    assert [one.name for one in read(voc).only("train").samples] == ["2007_000032.jpg"]


def test_the_authors_lists_take_precedence_over_the_annotations(voc):
    (voc / "train_cls.txt").write_text("2007_000032 14 \n2008_000001 0 14 \n")
    (voc / "val_cls.txt").write_text("2007_000033 3 14\n")
    labels = {name: one[0] for name, one in known(read(voc)).items()}
    assert labels == {
        "2007_000032.jpg": (14,),
        "2008_000001.jpg": (0, 14),
        "2007_000033.jpg": (3, 14),
        "2008_000006.jpg": (),
    }


def test_the_table_of_labels_takes_precedence_over_all_others(voc):
    (voc / "train_cls.txt").write_text("2007_000032 14\n")
    rows = ["image,split,labels", "2007_000032,train,cat;dog", "2008_000001,,dog cat", "2007_000033,val,"]
    (voc / "image_labels.csv").write_text("\n".join(rows))
    dataset = read(voc)
    assert [one.labels for one in dataset.samples] == [(7, 11), (7, 11), (), ()]
    (untagged,) = problems_of(dataset)
    assert untagged.name == "2007_000033"
    assert untagged.reason.startswith("shows none of the classes, says image_labels.csv")
    assert summary(dataset)["untagged"] == 2


def test_class_names_may_hold_blanks_between_semicolons(voc):
    (voc / "classes.txt").write_text("0 background\n2 traffic light\n1 light\n255 ignore\n")
    rows = ["image,labels", "2007_000032,traffic light", "2008_000001,light;traffic light", "2007_000033,light"]
    (voc / "image_labels.csv").write_text("\n".join(rows))
    dataset = read(voc)
    assert dataset.classes == ("light", "traffic light")
    assert [one.labels for one in dataset.samples][:3] == [(1,), (0, 1), (0,)]


@pytest.mark.parametrize("text", ["cat\ndog\n", "background\ncat\ndog", "1 cat\n2 dog", "__background__\r\ncat\r\ndog"])
def test_classes_are_named_with_or_without_numbers_and_background(voc, text):
    (voc / "classes.txt").write_text(text)
    (voc / "train_cls.txt").write_text("2007_000032 1\n")
    assert read(voc).classes == ("cat", "dog")


def test_photos_may_have_any_name_folder_and_ending(tmp_path):
    names = {"café 1": "png", "a/b.c": "JPEG", "10_10_s": "webp"}
    for name, suffix in names.items():
        photo(tmp_path, f"{name}.{suffix}")
        mask(tmp_path, name, [0, 1])
    lists(tmp_path, train=list(names))
    (tmp_path / "classes.txt").write_text("thing\n")
    (tmp_path / "image_labels.csv").write_text("image,labels\n" + "\n".join(f"{name},thing" for name in names))
    assert known(read(tmp_path)) == {
        "café 1.png": ((0,), "train", "SegmentationClass"),
        "a/b.c.JPEG": ((0,), "train", "a"),
        "10_10_s.webp": ((0,), "train", "SegmentationClass"),
    }


def test_the_authors_lists_suffice(tmp_path):
    """Their COCO has photos and masks in one folder each, no ImageSets."""
    for name in ("COCO_train2014_000000000009", "COCO_val2014_000000000042"):
        photo(tmp_path, f"{name}.jpg")
        mask(tmp_path, name, [0, 46])
    (tmp_path / "train_cls.txt").write_text("COCO_train2014_000000000009 45 49 50\n")
    (tmp_path / "val_cls.txt").write_text("COCO_val2014_000000000042 16\n")
    dataset = read(tmp_path)
    assert dataset.classes == COCO
    assert known(dataset) == {
        "COCO_train2014_000000000009.jpg": ((45, 49, 50), "train", "SegmentationClass"),
        "COCO_val2014_000000000042.jpg": ((16,), "val", "SegmentationClass"),
    }
    assert [COCO[label] for label in (0, 45, 49, 50, 79)] == ["person", "bowl", "orange", "broccoli", "toothbrush"]


def test_the_authors_lists_of_pairs_are_lists_of_photos(voc):
    line = "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png"
    lists(voc, train_aug=[line.format("2007_000032"), line.format("2008_000001")])
    assert known(read(voc))["2008_000001.jpg"] == ((14,), "train", None)


def test_photos_and_masks_may_lie_elsewhere_or_nowhere(voc, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (voc / "JPEGImages").rename(other / "photos")
    (voc / "JPEGImages").mkdir()
    (voc / "SegmentationClass").rename(other / "masks")
    dataset = read(voc, images=other / "photos", masks=other / "masks")
    assert known(dataset)["2007_000032.jpg"] == ((0, 14), "train", "masks")
    assert dataset.samples[0].path.is_file()
    assert known(read(voc, masks=other / "masks", need_images=False)) == known(dataset)
    with pytest.raises(InputError, match=r'train\.txt line 1: "2007_000032\.jpg" is not in .* 3 more like it'):
        read(voc)


def test_masks_tag_photos_only_on_request(voc):
    (voc / "Annotations").rename(voc / "gone")
    with pytest.raises(InputError, match=r"says nowhere what its photos show.*tags_from=\"masks\""):
        read(voc)
    assert [one.labels for one in read(voc, tags_from="masks").samples] == [(0, 14), (14,), (19,), ()]
    (voc / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(InputError, match=r"\.png holds class \d+, but there are 2\. List them in classes\.txt"):
        read(voc, tags_from="masks")


def test_other_formats_have_their_tags_in_one_place_only(tmp_path):
    photo(tmp_path, "a.jpg")
    with pytest.raises(InputError, match="no folder like VOC's"):
        read(tmp_path, tags_from="masks")


@pytest.mark.parametrize("key", [np.int32, str])
def test_the_pickled_table_of_irn_is_read_only_on_request(voc, key):
    names = {2007000032: [4], 2008000001: [0, 19], 2007000033: []}
    table = {
        key(name) if key is np.int32 else f"{name // 10**6}_{name % 10**6:06d}": np.isin(range(20), labels).astype("f4")
        for name, labels in names.items()
    }
    np.save(voc / "cls_labels.npy", np.array(table, object), allow_pickle=True)
    assert [one.labels for one in read(voc, tags_from="npy").samples] == [(4,), (0, 19), (), ()]
    assert [one.labels for one in read(voc).samples] == [(0, 14), (14,), (19,), ()]
    (voc / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(InputError, match=r"is no table of 2 labels a photo \(a row of shape \(20,\)\)"):
        read(voc, tags_from="npy")


def test_a_pickled_table_cannot_run_anything(voc):
    class Malicious:
        def __reduce__(self):
            return exec, (f"open({str(voc / 'harm')!r}, 'w')",)

    np.save(voc / "cls_labels.npy", np.array({"2007_000032": Malicious()}, object), allow_pickle=True)
    assert b"exec" in pickle.dumps(Malicious())
    with pytest.raises(InputError, match=r"it wants to run builtins\.exec"):
        read(voc, tags_from="npy")
    assert not (voc / "harm").exists()


def test_differences_between_the_lists_are_noted(voc):
    (voc / "train_cls.txt").write_text("2007_000032 14\n2009_000001 3\n2009_000002 3\n")
    (voc / "SegmentationClass/2007_000033.png").unlink()
    problems = {problem.name: problem.reason for problem in read(voc).problems}
    assert "names 2 photos that train_cls.txt does not" in problems["2008_000001"]
    assert 'names 2 photos that Segmentation does not, "2009_000001" first; they are left' in problems["2009_000001"]
    assert problems["aeroplane"].startswith('19 classes tag no photo, "aeroplane" first')
    assert any("has no mask" in problem.reason for problem in read(voc).problems)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("train_cls.txt", "2007_000032 20\n", r"train_cls\.txt line 1: class 20, but the last one is 19"),
        ("train_cls.txt", "2007_000032 x\n", r'train_cls\.txt line 1: "2007_000032 x" is not understood'),
        ("image_labels.csv", "image,tags\n", r"image_labels\.csv has no columns image and labels"),
        ("image_labels.csv", "image,labels\na,cat\nb,zebu\n", r'line 3: "zebu" is no class'),
        ("image_labels.csv", "image,labels\na,cat\na,dog\n", r'line 3: "a" stands in an earlier line'),
        ("image_labels.csv", 'image,labels\n"a,cat\n', r"is not a CSV file that can be read"),
        ("Annotations/2007_000032.xml", "<annotation>", r"2007_000032\.xml is no XML that can be read"),
        ("classes.txt", "1 cat\n3 dog\n", r"numbers must be 1 to 2"),
        ("classes.txt", "cat\ndog\n", r'2007_000032\.xml: "(person|aeroplane)" is no class'),
        ("ImageSets/Segmentation/val.txt", "2007_000032\n", r'"2007_000032\.jpg" stands in .*train\.txt line 1'),
    ],
)
def test_a_broken_list_is_named(voc, file, text, message):
    (voc / file).write_text(text)
    with pytest.raises(InputError, match=message):
        read(voc)


def test_lists_without_a_photo_are_named(tmp_path):
    photo(tmp_path, "a.jpg")
    lists(tmp_path, trainval=["a"])
    with pytest.raises(InputError, match=r"has no train\.txt, val\.txt or test\.txt with a photo"):
        read(tmp_path)


def test_a_listed_photo_that_does_not_exist_is_named(voc):
    (voc / "JPEGImages/2008_000001.jpg").unlink()
    with pytest.raises(InputError, match=r'train_aug\.txt line 2: "2008_000001\.jpg" is not in'):
        read(voc)
    assert len(read(voc, strict=False).samples) == 3


def test_masks_of_another_size_or_mode_are_named(voc):
    mask(voc, "2007_000032", [0])
    Image.new("L", (5, 4)).save(voc / "SegmentationClass/2007_000032.png")
    Image.new("RGB", (6, 4)).save(voc / "SegmentationClass/2007_000033.png")
    dataset = inspect(read(voc))
    problems = {problem.name: problem.reason for problem in problems_of(dataset)}
    assert len(dataset.samples) == 4
    sentence = f"is 5 x 4 pixels, but {voc}/JPEGImages/2007_000032.jpg is 6 x 4. Make both the same."
    assert problems["2007_000032.jpg"].endswith(sentence)
    assert problems["2007_000033.jpg"].endswith("is no mask but RGB. Save it as a palette or 8-bit gray PNG.")
    with pytest.raises(InputError, match=r"2008_000001\.jpg has no true mask"):
        label_map(dataset.samples[1])


def test_a_photo_of_one_pixel_is_a_photo(voc):
    photo(voc, "2007_000032.jpg", (1, 1))
    Image.new("L", (1, 1), 15).save(voc / "SegmentationClass/2007_000032.png")
    assert label_map(read(voc).samples[0]).tolist() == [[15]]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_table_of_irn_with_other_bytes_is_a_table_or_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "cls_labels.npy"
    np.save(path, np.array({"2007_000032": np.eye(20)[3]}, object), allow_pickle=True)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    said = f"{path} is no table"
    try:
        labels_in_npy(path, 20)
    except InputError as error:
        said = str(error)
    assert said.startswith(f"{path} is no table")
    assert "\n" not in said
