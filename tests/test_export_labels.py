"""Label maps as PNG files: every value comes back, in the colors of Pascal VOC."""

import errno
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from torchbas.errors import InputError
from torchbas.export.voc import write_labels, write_submission


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_label_map_survives_the_file(tmp_path, labels):
    write_labels(tmp_path / "a.png", labels)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), labels)


def test_a_label_map_has_the_colors_of_voc(tmp_path):
    write_labels(tmp_path / "new" / "a.png", np.array([[0, 1, 15], [20, 255, 2]], np.uint8))
    colors = cv2.imread(str(tmp_path / "new" / "a.png"))[..., ::-1]
    assert colors[0].tolist() == [[0, 0, 0], [128, 0, 0], [192, 128, 128]]
    assert colors[1].tolist() == [[0, 64, 128], [224, 224, 192], [0, 128, 0]]


def test_a_view_of_a_larger_map_is_written_too(tmp_path):
    labels = np.arange(48, dtype=np.uint8).reshape(6, 8)[1:5:2, ::-2]
    write_labels(tmp_path / "a.png", labels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), labels)


def test_a_full_disk_leaves_the_old_labels_alone(tmp_path, monkeypatch):
    old, new = np.zeros((2, 3), np.uint8), np.ones((4, 4), np.uint8)
    write_labels(tmp_path / "a.png", old)

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(InputError, match=r"a\.png cannot be written \(No space left on device\)\. Free some space"):
        write_labels(tmp_path / "a.png", new)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), old)


PLACE = "results/VOC2012/Segmentation/comp6_test_cls"


def test_a_submission_is_an_archive_of_palette_pngs(tmp_path):
    maps = {f"2008_00000{n}": np.full((3, 4 + n), n, np.uint8) for n in (6, 1)}
    archive = write_submission(((f"{name}.jpg", labels) for name, labels in maps.items()), tmp_path / "out")
    assert archive == tmp_path / "out" / "results.tar.gz"
    with tarfile.open(archive, "r:gz") as packed:
        assert packed.getnames() == [f"{PLACE}/2008_000001.png", f"{PLACE}/2008_000006.png"]
        packed.extractall(tmp_path / "server", filter="data")
    for name, labels in maps.items():
        with Image.open(tmp_path / "server" / PLACE / f"{name}.png") as picture:
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.asarray(picture), labels)
        assert (tmp_path / "out" / PLACE / f"{name}.png").is_file()


def test_only_what_was_given_is_submitted(tmp_path):
    for name in ("a", "b"):
        archive = write_submission([(name, np.zeros((2, 2), np.uint8))], tmp_path)
    with tarfile.open(archive) as packed:
        assert packed.getnames() == [f"{PLACE}/b.png"]


def test_what_the_server_cannot_take_is_refused(tmp_path):
    with pytest.raises(InputError, match="a: VOC's server knows labels from 0 to 20, not 255"):
        write_submission([("a", np.full((2, 2), 255, np.uint8))], tmp_path)
    with pytest.raises(InputError, match="there is no photo to submit"):
        write_submission([], tmp_path)
    assert not (tmp_path / "results.tar.gz").exists()
