"""Figures keep their numbers."""

import csv
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from torchbas.viz import plots

CHARTS = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks/charts.py"))


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_curves_are_a_png_and_a_csv(tmp_path):
    series = {"BAS, $5 to $6": ([0, 0.5, 1], [1, 2, 3]), "CAM 猫": ([0, 1], [3, 0.25])}
    CHARTS["curves"](
        tmp_path / "new" / "c.png", series, xlabel="threshold", ylabel="Loc", title="T", hlines={"paper": 91.07}
    )
    with Image.open(tmp_path / "new" / "c.png") as picture:
        assert min(picture.size) >= 600
    rows = _rows(tmp_path / "new" / "c.csv")
    assert rows[:3] == [["series", "x", "y"], ["BAS, $5 to $6", "0", "1"], ["BAS, $5 to $6", "0.5", "2"]]
    assert rows[-2:] == [["CAM 猫", "1", "0.25"], ["paper", "", "91.07"]]


def test_bars_are_a_png_and_a_csv(tmp_path):
    series = {"CPU": {"step": 1.9, "sweep": 31}, "GPU": {"step": 1.1, "a very long name " * 5: 2}}
    CHARTS["bars"](tmp_path / "b.png", series, xlabel="times faster", reference=1)
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size[0] >= 600
    assert _rows(tmp_path / "b.csv")[1:4] == [["CPU", "step", "1.9"], ["CPU", "sweep", "31"], ["GPU", "step", "1.1"]]


def test_a_grid_shows_every_photo_in_its_row_and_column(tmp_path):
    red, blue = (plots.Picture(Image.new("RGB", (60, 40), color)) for color in ("red", "blue"))
    plots.grid_of_images(tmp_path / "g.png", {"one": [red, blue], "two": [blue]}, ["left", "right"], title="T")
    picture = np.asarray(Image.open(tmp_path / "g.png").convert("RGB")).astype(int)
    height, width = picture.shape[:2]
    reds, blues = (np.argwhere((picture == color).all(-1)) for color in ([255, 0, 0], [0, 0, 255]))
    assert reds[:, 1].max() < width * 0.6
    assert reds[:, 0].max() < height * 0.6
    assert {tuple(place) for place in (blues // [height // 2 + 1, width // 2 + 1])} >= {(0, 1), (1, 0)}
    wide, high = np.ptp(reds[:, 1]), np.ptp(reds[:, 0])
    assert wide / high == pytest.approx(1.5, rel=0.03)


def test_the_chosen_photo_of_a_grid_is_framed(tmp_path):
    plain = plots.Picture(Image.new("RGB", (60, 40), "white"), "t .3")
    rows = {"one": [plain, plain._replace(marked=True)]}
    plots.grid_of_images(tmp_path / "g.png", rows)
    picture = np.asarray(Image.open(tmp_path / "g.png").convert("RGB")).astype(int)
    frame = np.argwhere((picture == [0xD5, 0x5E, 0x00]).all(-1))
    assert len(frame)
    assert frame[:, 1].min() > picture.shape[1] * 0.5
