"""Every figure's numbers, against answers known by hand; every broken table, against the sentence it gets."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import tiny_bas

from torchbas.analysis import Curve, draw_ious, draw_sizes, draw_sweep, draw_terms, draw_thresholds, sweep
from torchbas.analysis.iou import quality
from torchbas.analysis.mask_sweep import masks_around, scores_under, spread, true_mask
from torchbas.analysis.size import by_size, density
from torchbas.analysis.tables import Range, read_rows, read_series
from torchbas.analysis.terms import read_terms, smooth
from torchbas.cli import main
from torchbas.cli.analyze import FIGURES
from torchbas.config import Inference
from torchbas.errors import InputError
from torchbas.localize.localizer import Localizer
from torchbas.model.bas import create_model, pool
from torchbas.types import Collection, Photo


def a_square(side: int, size: int = 64, at: int = 20) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[at : at + side, at : at + side] = True
    return mask


def test_a_square_shrinks_and_grows_by_the_side_of_the_kernel():
    areas = masks_around(a_square(21), 3).sum(axis=(1, 2)).tolist()
    assert areas == [(21 - 14) ** 2, (21 - 9) ** 2, (21 - 4) ** 2, 21**2, (21 + 4) ** 2, (21 + 9) ** 2, (21 + 14) ** 2]


def test_the_middle_of_a_sweep_is_the_mask_itself_and_masks_lie_in_each_other():
    mask = np.random.default_rng(0).random((40, 50)) > 0.7
    masks = masks_around(mask, 4)
    assert (masks[4] == mask).all()
    assert (masks[:-1] <= masks[1:]).all()


def test_beyond_the_border_is_ground():
    everything = masks_around(np.ones((30, 30), bool), 2)
    assert everything.sum(axis=(1, 2)).tolist() == [21**2, 26**2, 900, 900, 900]


def test_boxes_and_masks_are_squeezed_and_cropped_like_the_photo(tmp_path):
    boxes = Photo(Path("a.jpg"), "a.jpg", boxes=((10.0, 0.0, 50.0, 20.0), (90.0, 30.0, 100.0, 40.0)))
    mask, source = true_mask(boxes, (40, 100), resize=20, crop=16)  # x / 5, y / 2, then 2 off each side
    expected = np.zeros((20, 20), bool)
    expected[0:10, 2:10] = expected[15:20, 18:20] = True
    assert source == "boxes"
    assert (mask == expected[2:18, 2:18]).all()
    for name, rows in (("one", slice(0, 10)), ("two", slice(30, 40))):
        pixels = np.zeros((40, 100), np.uint8)
        pixels[rows] = 7
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    union = replace(boxes, instances=(tmp_path / "one.png", tmp_path / "two.png"))
    mask, source = true_mask(union, (40, 100), resize=20, crop=20)
    assert source == "masks"
    assert np.flatnonzero(mask.all(axis=1)).tolist() == [0, 1, 2, 3, 4, 15, 16, 17, 18, 19]
    assert mask.sum() == 200
    single, _ = true_mask(replace(boxes, mask=tmp_path / "one.png"), (40, 100), resize=20, crop=20)
    assert single.sum() == 100


@pytest.mark.parametrize("hide", ["features", "image"])
@torch.no_grad()
def test_inside_and_outside_of_a_mask_are_the_networks_answers_to_hidden_features(hide):
    model = tiny_bas(hide=hide)
    image = torch.rand(1, 3, 16, 16)
    features = model.features(image)
    half = torch.zeros(1, 1, 16, 16)
    half[..., :7] = 1
    masks = torch.cat([torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16), half])
    inside, outside = scores_under(model, features, masks, image, batch_size=2)

    def answer(share: torch.Tensor) -> torch.Tensor:
        seen = features * share if hide == "features" else model.features(image * share)
        return pool(model.class_maps(seen))[0]

    whole, nothing = answer(torch.ones(1, 1, 16, 16)), answer(torch.zeros(1, 1, 16, 16))
    torch.testing.assert_close(inside, torch.stack([whole, nothing, answer(half)]))
    torch.testing.assert_close(outside, torch.stack([nothing, whole, answer(1 - half)]))


@torch.no_grad()
def test_a_mask_counts_on_the_feature_grid_with_the_share_that_it_covers():
    model = tiny_bas()
    features = torch.rand(1, 8, 4, 4)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :3] = 1  # the second column of the grid is half covered
    inside, _ = scores_under(model, features, mask, torch.rand(1, 3, 8, 8))
    share = torch.tensor([1, 0.5, 0, 0]).expand(1, 1, 4, 4)
    torch.testing.assert_close(inside, pool(model.class_maps(features * share)))


@pytest.fixture
def localizer(sample: Collection) -> Localizer:
    model = tiny_bas(len(sample.classes))
    return Localizer(model, sample.classes, (0.5,) * 3, (0.25,) * 3, 48, 40, Inference())


def test_a_sweep_is_normalised_by_the_whole_image(sample, localizer):
    curves = list(sweep(localizer, sample.only("test"), reach=9))
    assert len(curves) == 12
    assert {curve.truth for curve in curves} == {"masks"}
    for curve in curves:
        assert len(curve.area) == 19
        assert (np.diff(curve.area) >= 0).all()
        assert curve.relative_area[9] == 1
    full = [curve for curve in curves if curve.area[-1] == 1]
    assert full
    for curve in full:
        assert curve.activation[-1] == pytest.approx(1, rel=1e-5)
    empty = [curve for curve in curves if curve.area[0] == 0]
    assert empty
    for curve in empty:
        assert curve.background[0] == pytest.approx(1, rel=1e-5)


def test_entropy_and_right_are_those_of_the_scores(sample, localizer):
    photos = sample.only("test")
    one = replace(photos, photos=photos.photos[:1])
    (curve,) = sweep(localizer, one, reach=20)
    nothing = pool(localizer.model.class_maps(torch.zeros(1, 8, 40, 40)))[0]
    label = one.photos[0].labels[0]
    assert curve.entropy[0] == pytest.approx(float(-nothing.log_softmax(0)[label].detach()), rel=1e-4)
    assert curve.label == sample.classes[label]


def test_photos_whose_truth_cannot_be_told_are_left_out(sample, localizer):
    good, several, bare = sample.only("test").photos[:3]
    odd = replace(several, labels=(0, 1)), replace(bare, boxes=(), mask=None)
    left = list(sweep(localizer, replace(sample, photos=(good, *odd)), reach=1))
    assert [curve.name for curve in left] == [good.name]
    with pytest.raises(InputError, match="no photo with one tag"):
        list(sweep(localizer, replace(sample, photos=odd), reach=1))


def a_curve(area: list[float], values: list[float], right: bool = True) -> Curve:
    column = np.array(values, float)
    return Curve("a.jpg", "cat", right, "boxes", np.array(area, float), column, column, column)


def test_photos_are_compared_at_the_same_multiple_of_the_true_area():
    small = a_curve([0.1, 0.2, 0.4], [0, 4, 8])  # relative areas 0.5, 1, 2
    large = a_curve([0.2, 0.8, 1.0], [1, 7, 9])  # 0.25, 1, 1.25, and everything from there on
    found = spread([small, large], "entropy", np.array([0.0, 0.4, 0.5, 1.0, 1.25, 2.0, 2.5]))
    assert found.area.tolist() == [0.4, 0.5, 1.0, 1.25, 2.0, 2.5]  # nobody was swept down to 0
    assert found.photos.tolist() == [1, 2, 2, 2, 2, 1]
    assert found.mean.tolist() == pytest.approx([2.2, 1.5, 5.5, 7, 8.5, 9])
    assert [column[2] for column in (found.std, found.lower, found.median, found.upper)] == [1.5, 4.75, 5.5, 6.25]


def test_a_sweep_leaves_a_row_for_every_photo_and_mask(sample, localizer, tmp_path):
    files = draw_sweep(sweep(localizer, sample.only("test"), reach=2), tmp_path / "new" / "folder")
    assert all(file.stat().st_size for file in files)
    rows = _table(files[0])
    assert len(rows) == 12 * 5
    assert [row["n"] for row in rows[:5]] == ["-2", "-1", "0", "1", "2"]
    statistics = _table(files[2])
    assert {row["quantity"] for row in statistics} == {"activation", "entropy", "background"}
    with pytest.raises(InputError, match=r"other\.jpg"):
        draw_sweep(sweep(localizer, sample.only("test"), reach=1), tmp_path, example="other.jpg")
    with pytest.raises(InputError, match="positive score"):
        draw_sweep([], tmp_path)


def test_the_quality_of_boxes_counts_correct_ones_only():
    found = quality(np.array([0.2, 0.5, 0.52, 0.81, 1.0]))
    assert found.accuracy == 80
    assert found.median == pytest.approx((0.52 + 0.81) / 2)
    assert found.centres[[0, 6, 9]].tolist() == pytest.approx([0.525, 0.825, 0.975])
    assert found.share.tolist() == pytest.approx([40, 0, 0, 0, 0, 0, 20, 0, 0, 20])
    assert np.isnan(quality(np.array([0.1])).median)


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
    bins = _table(draw_sizes([tables], tmp_path / "out")[2])
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
def test_a_moving_average_is_the_mean_of_what_lies_around(values, window):
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


def test_series_are_named_by_their_folder_only_if_they_must(tables, tmp_path):
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
    rows = _table(tmp_path / "out" / "thresholds.csv")
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
        found = read_series([file], "images.csv", {"iou": Range(0, 1)})[""]
    except InputError as error:
        found, said = {}, str(error)
    assert all(len(table["iou"]) for table in found.values()) if found else str(file) in said


def a_run(folder: Path, text: str = "step,total,suppress\n1,2,\n2,2,0.9\n3,2,0.5\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "log.csv").write_text(text)
    return folder


def test_a_term_that_joins_later_begins_later(tmp_path):
    steps, losses = read_terms(a_run(tmp_path / "run" / "model").parent, ["suppress"])["suppress"]
    assert steps.tolist() == [2, 3]
    assert losses.tolist() == [0.9, 0.5]


def test_terms_of_several_runs_share_a_figure(tmp_path):
    runs = [a_run(tmp_path / name) for name in ("one", "two", "three/two")]
    draw_terms(runs, tmp_path / "out", terms=("suppress", "total"))
    rows = _table(tmp_path / "out" / "terms.csv")
    assert {row["series"] for row in rows} == {"one", str(runs[1]), str(runs[2])}
    assert [row["raw"] for row in rows if row["panel"] == "suppress"][:2] == ["0.9", "0.5"]


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


def _table(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))


def command(capsys: pytest.CaptureFixture[str], figure: str, *words: str | Path) -> tuple[int, str, str]:
    code = main(["analyze", figure, *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


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


@pytest.mark.slow
def test_a_sweep_and_terms_by_command(sample, localizer, tmp_path, capsys):
    model = create_model("test_resnet", len(sample.classes), hidden=16)
    model.get_parameter("head.4.bias").data.fill_(1)  # a positive score of every tag
    replace(localizer, model=model).save(tmp_path / "run")
    (tmp_path / "run" / "log.csv").write_text("step,suppress\n1,0.5\n")
    words = [sample.root, "--model", tmp_path / "run", "--reach", "2", "--every", "5"]
    code, printed, _ = command(capsys, "sweep", *words, "--out", tmp_path / "sweep", "--json", "--quiet")
    assert code == 0
    assert json.loads(printed)["files"] == [str(tmp_path / "sweep" / name) for name in FIGURES["sweep"]]
    assert len(_table(tmp_path / "sweep" / "sweep.csv")) == 3 * 5
    assert command(capsys, "terms", tmp_path / "run", "--out", tmp_path / "terms")[0] == 0


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
