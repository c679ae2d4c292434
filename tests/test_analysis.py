"""Numbers of figures drawn from tables, against values known by hand; errors of broken tables."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from figures import command, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_cli import SHORT

from torchbas.analysis import draw_ious, draw_losses, draw_sizes, draw_terms, draw_thresholds
from torchbas.analysis.iou import correct_boxes
from torchbas.analysis.size import by_size, density
from torchbas.analysis.tables import Range, read_rows, read_series
from torchbas.analysis.terms import read_terms, smooth
from torchbas.cli import main
from torchbas.cli.analyze import FIGURES
from torchbas.errors import InputError


def test_ious_are_counted_of_correct_boxes_only():
    found = correct_boxes(np.array([0.2, 0.5, 0.52, 0.81, 1.0]))
    assert found.accuracy == 80
    assert found.median == pytest.approx((0.52 + 0.81) / 2)
    assert found.centers[[0, 6, 9]].tolist() == pytest.approx([0.525, 0.825, 0.975])
    assert found.share.tolist() == pytest.approx([40, 0, 0, 0, 0, 0, 20, 0, 0, 20])
    assert np.isnan(correct_boxes(np.array([0.1])).median)


def test_accuracy_by_size_is_counted_in_bins_with_their_lower_edge():
    area, iou = np.array([0.0, 0.1, 0.19, 0.5, 1.0]), np.array([0.4, 0.5, 0.3, 0.9, 0.7])
    found = by_size(area, iou, edges=(0.0, 0.1, 0.2, 0.4, 1.0))
    assert found.objects.tolist() == [1, 2, 0, 2]
    assert found.accuracy[[0, 1, 3]].tolist() == [0, 50, 100]
    assert np.isnan(found.accuracy[2])
    assert found.iou[[0, 1, 3]].tolist() == pytest.approx([0.4, 0.4, 0.8])


def test_a_box_beyond_the_photo_is_as_large_as_the_photo(tables, tmp_path):
    with (tables / "images.csv").open("a") as file:
        file.write("bas,9.jpg,wren,1.2,0.7,1,1\n")
    bins = table(draw_sizes([tables], tmp_path / "out")[2])
    assert [(row["series"], row["objects"], row["accuracy"]) for row in bins[6::7]] == [
        ("cam", "0", "nan"),
        ("bas", "1", "100.0"),
    ]


def test_a_density_lies_where_the_objects_are_and_its_mean_is_one():
    grid = density(np.array([0.25, 0.25]), np.array([0.8, 0.8]))
    assert grid.mean() == pytest.approx(1)
    assert np.unravel_index(grid.argmax(), grid.shape) == (40, 25)
    assert density(np.array([0.0, 1.0]), np.array([0.0, 1.0])).mean() == pytest.approx(1)  # nothing leaks at the border


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.integers(0, 20).map(lambda n: 2 * n + 1))
def test_a_moving_average_is_the_mean_over_the_window(values, window):
    reach = window // 2
    expected = [np.mean(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))]
    np.testing.assert_allclose(smooth(np.array(values), window), expected, atol=1e-9)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A folder as ``bas eval --out`` leaves it."""
    folder = tmp_path / "birds"
    folder.mkdir()
    images = [("row", "image", "class", "area", "iou", "top1", "top5")]
    images += [
        (row, f"{i}.jpg", "wren", 0.1 * i, iou, 1, "") for row in ("cam", "bas") for i, iou in enumerate((0.2, 0.9))
    ]
    curve = [("row", "threshold", "delta", "accuracy")]
    curve += [("bas", t, delta, 50 + t) for delta in ("0.5", "pxap-iou") for t in (0.5, 0.1)]
    for name, rows in (("images.csv", images), ("curve.csv", curve)):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


def test_series_are_named_by_their_folder_only_where_names_collide(tables, tmp_path):
    other = tmp_path / "more"
    other.mkdir()
    (other / "images.csv").write_text((tables / "images.csv").read_text())
    wanted = {"iou": Range(0, 1)}
    assert [*read_series([tables], "images.csv", wanted)[""]] == ["cam", "bas"]
    both = read_series([tables, other / "images.csv", tables], "images.csv", wanted)[""]
    assert [*both] == ["birds cam", "birds bas", "more cam", "more bas"]
    assert both["more bas"]["iou"].tolist() == [0.2, 0.9]


def test_a_threshold_curve_is_sorted_and_has_a_panel_per_delta(tables, tmp_path):
    draw_thresholds([tables], tmp_path / "out")
    rows = table(tmp_path / "out" / "thresholds.csv")
    assert [row["panel"] for row in rows] == ["Boxes with IoU ≥ 0.5"] * 2 + ["IoU of masks"] * 2
    assert [row["x"] for row in rows] == ["0.1", "0.5"] * 2


BROKEN = [
    ("", r"line 1: no column row, iou"),
    ("row,area\nbas,0.5\n", r"line 1: no column iou \(there are: row, area\)"),
    ("row,iou\n", r"line 1: no rows follow"),
    ("row,iou\nbas,0.5\n\nbas,much\n", r'line 4: iou is "much", which is no number'),
    ("row,iou\nbas,nan\n", r'line 2: iou is "nan"'),
    ("row,iou\nbas,\n", r'line 2: iou is ""'),
    ("row,iou\nbas\n", r"line 2: the row has too few cells"),
    ("row,iou\nbas,1.5\n", r"line 2: iou is 1.5, outside 0 to 1"),
    ('row,iou\n"bas,1', r"no CSV table"),
    (b"\xff\xfe\x00", r"no CSV table"),
]


@pytest.mark.parametrize(("content", "said"), BROKEN)
def test_a_broken_table_is_named_with_its_line(content, said, tmp_path):
    file = tmp_path / "images.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=f"images.csv.*{said}") as error:
        read_series([file], "images.csv", {"iou": Range(0, 1)})
    assert "\n" not in str(error.value)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(InputError, match=r"images\.csv cannot be read"):
        read_series([tmp_path], "images.csv", {"iou": Range(0, 1)})


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(WORDS, st.floats(0, 1)), min_size=1, max_size=8))
def test_what_is_written_is_read(tmp_path, rows):
    file = tmp_path / "images.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("iou", "row"), *((iou, row) for row, iou in rows)])
    found = read_series([file], "images.csv", {"iou": Range(0, 1)})[""]
    assert {name: table["iou"].tolist() for name, table in found.items()} == {
        name: [iou for row, iou in rows if row == name] for name, _ in rows
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text('row,iou"\r\n0.5', max_size=40).map(lambda text: f"row,iou\n{text}".encode()))
def test_any_file_is_read_or_refused_in_one_sentence(tmp_path, content):
    file = tmp_path / "images.csv"
    file.write_bytes(content)
    try:
        found, message = read_series([file], "images.csv", {"iou": Range(0, 1)})[""], ""
    except InputError as error:
        found, message = {}, str(error)
    assert all(len(table["iou"]) for table in found.values()) if found else str(file) in message


def a_run(folder: Path, text: str = "step,total,suppress\n1,2,\n2,2,0.9\n3,2,0.5\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "log.csv").write_text(text)
    return folder


def test_steps_without_a_term_are_left_out_of_its_curve(tmp_path):
    steps, losses = read_terms(a_run(tmp_path / "run" / "model").parent, ["suppress"])["suppress"]
    assert steps.tolist() == [2, 3]
    assert losses.tolist() == [0.9, 0.5]


def test_terms_of_several_runs_share_a_figure(tmp_path):
    runs = [a_run(tmp_path / name) for name in ("one", "two", "three/two")]
    draw_terms(runs, tmp_path / "out", terms=("suppress", "total"))
    rows = table(tmp_path / "out" / "terms.csv")
    assert {row["series"] for row in rows} == {"one", str(runs[1]), str(runs[2])}
    assert [row["raw"] for row in rows if row["panel"] == "suppress"][:2] == ["0.9", "0.5"]


def test_a_run_draws_its_losses_once_there_is_a_line_to_draw(tmp_path):
    draw_losses(a_run(tmp_path / "short", "step,epoch,batch,total\n1,0,0,2\n"))
    assert not (tmp_path / "short" / "losses.png").exists()
    draw_losses(a_run(tmp_path / "run", "step,epoch,batch,total,suppress\n1,0,0,2,\n2,0,1,2,0.9\n3,0,2,2,0.5\n"))
    with Image.open(tmp_path / "run" / "losses.png") as drawn:
        assert drawn.width > drawn.height  # two panels
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["log.csv", "losses.png"]


def test_terms_by_command(tmp_path, capsys):
    code, printed, _ = command(capsys, "terms", a_run(tmp_path / "run"), "--out", tmp_path / "terms", "--json")
    assert code == 0
    assert json.loads(printed)["files"] == [str(tmp_path / "terms" / name) for name in FIGURES["terms"]]


def test_a_run_without_the_term_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no log"):
        read_terms(tmp_path, ["suppress"])
    with pytest.raises(InputError, match="no column area"):
        read_terms(a_run(tmp_path / "one"), ["area"])
    with pytest.raises(InputError, match="no number in it"):
        read_terms(a_run(tmp_path / "two", "step,suppress\n1,\n"), ["suppress"])


def test_rows_come_with_the_line_they_end_on(tmp_path):
    (tmp_path / "a.csv").write_text('a\n"1\n2"\n3\n')
    assert [line for line, _ in read_rows(tmp_path / "a.csv", ["a"])] == [3, 4]


@pytest.mark.parametrize("figure", ["iou", "size", "thresholds"])
def test_a_figure_from_tables_by_command(figure, tables, tmp_path, capsys):
    out = tmp_path / "out"
    code, printed, said = command(capsys, figure, tables, "--out", out, "--json")
    assert code == 0
    files = json.loads(printed)["files"]
    assert files == [str(out / name) for name in FIGURES[figure]]
    assert sorted(path.name for path in out.iterdir()) == sorted([*FIGURES[figure], ".torchbas", "run.json"])
    assert "".join(said.split()).endswith(f"Next:open{files[0]}")  # the terminal may break the line anywhere
    code, _, said = command(capsys, figure, tables, "--out", out)
    assert code == 2
    assert "--overwrite" in said
    assert command(capsys, figure, tables, "--out", out, "--overwrite", "--quiet")[0] == 0


def test_mistakes_are_named(tables, tmp_path, capsys):
    for words, said in [
        (["iou", "--out", tmp_path / "out"], "needs something to read"),
        (["iou", tables, "--out", tables], "where the input lies"),
        (["iou", tables / "images.csv", "--out", tables], "where the input lies"),
        (["iou", tables, "--out", tmp_path / "out", "--delta", "1"], "--delta 1"),
        (["terms", tmp_path, "--out", tmp_path / "out"], "log.csv"),
    ]:
        code, _, error = command(capsys, *words)
        assert code == 2
        assert said in error


def test_ious_and_sizes_return_what_they_wrote(tables, tmp_path):
    for draw, figure in ((draw_ious, "iou"), (draw_sizes, "size")):
        files = draw([tables], tmp_path / figure)
        assert [file.name for file in files] == [*FIGURES[figure]]
        assert all(file.is_file() for file in files)


def test_a_finished_run_whose_losses_are_drawn_needs_its_log_no_more(demo_set, tmp_path, capsys):
    words = ["train", str(demo_set.root), "--out", str(tmp_path / "run"), *SHORT]
    assert main(words) == 0
    (tmp_path / "run/log.csv").write_bytes(b"\x9f")
    assert main([*words, "--resume"]) == 0
    (tmp_path / "run/losses.png").unlink()
    assert main([*words, "--resume"]) == 2
    assert "log.csv is not written in UTF-8" in " ".join(capsys.readouterr().err.split())
