"""Figures of seeds, label maps, thresholds and weights, against values known by hand or slow implementations."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from figures import command, table
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny import NORMALIZATION, tiny_bas

from torchbas.analysis import draw_image_thresholds, draw_masks, draw_seeds, draw_weights, threshold_curves
from torchbas.analysis.pictures import color_labels, ious, select_samples, series_by_name
from torchbas.analysis.weights import WeightedRun, lines_of
from torchbas.cli.analyze import FIGURES
from torchbas.config import Architecture, Inference, Objective
from torchbas.errors import InputError
from torchbas.export.voc import write_labels
from torchbas.inference.localizer import Localizer
from torchbas.io import write_manifest
from torchbas.methods.bas import BASMethod
from torchbas.model.classifier import pool
from torchbas.structures import Dataset, Sample
from torchbas.wsss.seeds.files import Seed, write_seed

SIZE = (32, 48)
CLASSES = ("cat", "dog", "hen", "cow", "fox")


@pytest.fixture
def pets(tmp_path: Path) -> Dataset:
    """Three photos: a cat in the left half; a cat there and a dog in the right half; a dog without a mask."""
    root = tmp_path / "pets"
    half = np.zeros(SIZE, np.uint8)
    half[:, :24] = 1
    both = np.where(half == 0, 2, half).astype(np.uint8)
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / f"JPEGImages/{number}.png")
    for number, labels in enumerate((half, both)):
        write_labels(root / f"SegmentationClass/{number}.png", labels)
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("0\n1\n2\n")
    (root / "train_cls.txt").write_text("0 0\n1 0 1\n2 1\n")
    (root / "classes.txt").write_text("\n".join(("background", *CLASSES)))
    samples = tuple(
        Sample(
            root / f"JPEGImages/{number}.png",
            f"{number}.png",
            labels,
            "train",
            mask=root / f"SegmentationClass/{number}.png" if number < 2 else None,
            size=SIZE,
        )
        for number, labels in enumerate(((0,), (0, 1), (1,)))
    )
    return Dataset(root, CLASSES, samples)


def seeds(folder: Path, pets: Dataset, high: float = 1.0) -> Path:
    """Maps of ``high`` where the ground truth of the first two photos is, and a quarter elsewhere."""
    left = np.full((8, 12), 0.25, np.float32)
    left[:, :6] = high
    for sample, maps in zip(pets.samples, ([left], [left, left[:, ::-1]], [left]), strict=True):
        tags = tuple(pets.classes[label] for label in sample.labels)
        write_seed(folder / f"{sample.name[0]}.npz", Seed(np.stack(maps), tags, SIZE))
    return folder


def label_maps(folder: Path, value: int) -> Path:
    for number in range(3):
        write_labels(folder / f"{number}.png", np.full(SIZE, value, np.uint8))
    return folder


@pytest.fixture
def localizer() -> Localizer:
    return Localizer(tiny_bas(5), CLASSES, 48, 40, Inference())


@given(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 1.0]), min_size=12, max_size=12), st.integers(0, 10**6))
def test_iou_at_every_threshold_is_that_of_each_binary_map(values, seed):
    grid = np.array(values, np.float32).reshape(3, 4)
    ground_truth = np.random.default_rng(seed).choice([0, 1, 2, 255], (3, 4)).astype(np.uint8)
    thresholds = np.array([0.0, 0.1, 0.25, 0.6])
    scored = ground_truth != 255
    expected = []
    for threshold in thresholds:
        above, positive = grid[scored] > np.float32(threshold), ground_truth[scored] == 1
        union = (above | positive).sum()
        expected.append((above & positive).sum() / union if union else 0)
    np.testing.assert_allclose(ious(grid, ground_truth, 1, thresholds), expected)


def test_series_have_the_shortest_names_that_are_all_different(tmp_path):
    a, b = tmp_path / "a/masks", tmp_path / "b/masks"
    assert series_by_name([a, tmp_path / "b/other", a]) == {"masks": a, "other": tmp_path / "b/other"}
    assert series_by_name([a, b]) == {"a masks": a, "b masks": b}
    assert [*series_by_name([tmp_path / "1/a/masks", tmp_path / "2/a/masks"])] == [
        str(tmp_path / "1/a/masks"),
        str(tmp_path / "2/a/masks"),
    ]


def test_samples_are_those_named_or_evenly_spaced_ones_with_ground_truth(pets, tmp_path):
    folder = seeds(tmp_path / "seeds", pets)
    assert [sample.name for sample, _ in select_samples([folder], pets, ".npz", (), 5)] == ["0.png", "1.png"]
    assert [sample.name for sample, _ in select_samples([folder], pets, ".npz", ("2.png", "0.png"), 1)] == [
        "2.png",
        "0.png",
    ]
    (folder / "1.npz").unlink()
    assert [sample.name for sample, _ in select_samples([folder], pets, ".npz", (), 5)] == ["0.png"]
    with pytest.raises(InputError, match=r"1\.png is no photo of .* with a \.npz file in"):
        select_samples([folder], pets, ".npz", ("1.png",), 5)
    with pytest.raises(InputError, match=r"no photo of .* has a \.npz file in .*nowhere"):
        select_samples([folder, tmp_path / "nowhere"], pets, ".npz", (), 5)


def test_a_label_map_has_vocs_colors():
    picture = np.asarray(color_labels(np.array([[0, 1], [2, 255]], np.uint8), (2, 2)))
    assert picture.tolist() == [[[0, 0, 0], [128, 0, 0]], [[0, 128, 0], [224, 224, 192]]]


def test_seeds_are_drawn_with_the_best_iou_of_each_map(pets, tmp_path):
    folders = [seeds(tmp_path / "cam", pets, 0.5), seeds(tmp_path / "bas", pets)]
    files = draw_seeds(pets, folders, tmp_path / "out", samples=("1.png", "2.png"))
    assert [file.name for file in files] == [*FIGURES["seeds"]]
    rows = [(*row.values(),) for row in table(files[1])]
    assert [row[:3] for row in rows] == [
        ("1.png", "cat", "cam"),
        ("1.png", "dog", "cam"),
        ("1.png", "cat", "bas"),
        ("1.png", "dog", "bas"),
        ("2.png", "dog", "cam"),
        ("2.png", "dog", "bas"),
    ]
    assert [float(row[3]) for row in rows] == pytest.approx([0.375, 0.375, 0.625, 0.625, 0.375, 0.625])
    assert {float(row[5]) for row in rows[:4]} == {100}  # between a quarter and the rest every threshold is perfect
    assert rows[4][4:] == ("", "")
    height, width = np.asarray(Image.open(files[0])).shape[:2]
    assert width > height


def test_label_maps_are_drawn_with_the_iou_of_each_present_class(pets, tmp_path):
    folders = [label_maps(tmp_path / "all_cat", 1), label_maps(tmp_path / "empty", 0)]
    files = draw_masks(pets, folders, tmp_path / "out")
    assert [file.name for file in files] == [*FIGURES["masks"]]
    found = {(row["image"], row["class"], row["series"]): float(row["iou"]) for row in table(files[1])}
    assert found == {
        ("0.png", "background", "all_cat"): 0,
        ("0.png", "cat", "all_cat"): 50,
        ("0.png", "background", "empty"): 50,
        ("0.png", "cat", "empty"): 0,
        ("1.png", "cat", "all_cat"): 50,
        ("1.png", "dog", "all_cat"): 0,
        ("1.png", "background", "empty"): 0,
        ("1.png", "cat", "empty"): 0,
        ("1.png", "dog", "empty"): 0,
    }
    write_labels(tmp_path / "empty/0.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(InputError, match=r"empty/0\.png does not fit .*0\.png: .* differ in size"):
        draw_masks(pets, folders, tmp_path / "out")


@torch.no_grad()
def test_a_threshold_masks_what_is_above_it_and_costs_its_area(pets, localizer, tmp_path):
    folder = seeds(tmp_path / "seeds", pets)
    (sample,) = threshold_curves(localizer, pets, [folder], samples=("0.png",))
    (one,) = sample["seeds"]
    assert one.thresholds.tolist() == [round(0.05 * n, 2) for n in range(1, 20)]
    assert one.area.tolist() == [1.0] * 4 + [0.5] * 15  # .25 is not above .25
    assert one.iou[:4].tolist() == [0.5] * 4
    assert one.iou[11:13].tolist() == [1, 1]  # half way between .25 and 1, where the edge of the large map lies
    pixels = torch.from_numpy(np.array(Image.open(pets.samples[0].path))).permute(2, 0, 1)[None].float() / 255
    features = localizer.model.features((pixels - 0.5) / 0.25)
    outside = features.clone()
    outside[..., :24] = 0
    kept = (features, features * 0, outside)
    scores = [pool(localizer.model.class_maps(one))[0, 0].relu() for one in kept]
    assert one.bas_ratio[0] == pytest.approx(float(scores[1] / scores[0]), abs=1e-5)
    assert one.bas_ratio[10] == pytest.approx(float((scores[2] / scores[0]).clamp(max=1)), abs=1e-5)
    np.testing.assert_allclose(one.loss, one.bas_ratio + one.area)
    assert one.loss[one.chosen] == one.loss.min()


def test_thresholds_are_drawn_as_means_and_as_one_map(pets, localizer, tmp_path):
    folders = [seeds(tmp_path / "cam", pets, 0.5), seeds(tmp_path / "bas", pets)]
    samples = list(threshold_curves(localizer, pets, folders))
    files = draw_image_thresholds(samples, tmp_path / "out")
    assert [file.name for file in files] == [*FIGURES["image-thresholds"]]
    means = table(files[1])
    iou = [float(row["y"]) for row in means if row["panel"].startswith("IoU") and row["series"].startswith("cam")]
    assert (iou[:4], iou[6:8], iou[9:]) == ([50] * 4, [100, 100], [0] * 10)  # .5 is not above .5
    process = table(files[3])
    assert [row["series"] for row in process] == ["cam"] * 19 + ["bas"] * 19
    assert sum(int(row["chosen"]) for row in process) == 2
    with pytest.raises(InputError, match="none of these photos has a tag"):
        draw_image_thresholds([{"cam": []}], tmp_path / "out")
    with pytest.raises(InputError, match=r"2\.png has no true mask"):
        list(threshold_curves(localizer, pets, folders, samples=("2.png",)))


def a_segmentation(folder: Path, miou: float | None, *models: Path, **words: object) -> Path:
    """A folder as ``bas segment`` leaves it."""
    score = None if miou is None else {"miou": miou}
    said = {"model": [str(model) for model in models], "seeds": [], "foreground": None, **words}
    folder.mkdir()
    write_manifest(folder, {"command": "segment", "words": said, "scores": {"seed": score}})
    return folder


def a_run(folder: Path, guidance: float, area: float = 1.2) -> Path:
    """A folder as ``bas train`` leaves it."""
    folder.mkdir(parents=True)
    write_manifest(folder, {"command": "train", "words": {"settings": {"options": Objective(guidance, area)}}})
    return folder


def test_lines_join_what_differs_in_one_weight():
    points = [
        WeightedRun(0.2, 1.2, 1, 57),
        WeightedRun(0.1, 1.2, 1, 50),
        WeightedRun(0.2, 2.0, 1, 40),
        WeightedRun(0.5, 1.5, 1, 56),
    ]
    (alpha,) = lines_of(points, "guidance").items()
    assert alpha[0] == "beta 1.2, lambda 1"
    assert (alpha[1].x, alpha[1].y) == ((0.1, 0.2), (50, 57))
    (beta,) = lines_of(points, "area").items()
    assert (beta[0], beta[1].x, beta[1].y) == ("alpha 0.2, lambda 1", (1.2, 2.0), (57, 40))
    assert lines_of(points, "suppression") == {}


def test_weights_are_read_from_the_runs(tmp_path):
    runs = [a_run(tmp_path / f"runs/{n}", alpha) for n, alpha in enumerate((0.2, 0.1))]
    made = [a_segmentation(tmp_path / f"made_{n}", 57.5 - n, run) for n, run in enumerate(runs)]
    files = draw_weights(made, tmp_path / "out")
    assert [file.name for file in files] == [*FIGURES["weights"]]
    rows = [(row["panel"], row["series"], row["x"], row["y"]) for row in table(files[1])]
    panel, series = "alpha, of L_frg", "beta 1.2, lambda 1"
    assert rows == [(panel, series, "0.1", "56.5"), (panel, series, "0.2", "57.5")]
    with pytest.raises(InputError, match="differ in --guidance, --area or --suppression alone"):
        draw_weights(made[:1], tmp_path / "out")
    for odd, said in (
        (a_segmentation(tmp_path / "blind", None, runs[0]), "blind has no score of seeds"),
        (a_segmentation(tmp_path / "two", 50.0, *runs), "two is of several models"),
        (a_segmentation(tmp_path / "weak", 50.0, runs[0], foreground="x"), "weak is of several models"),
    ):
        with pytest.raises(InputError, match=said):
            draw_weights([odd], tmp_path / "out")


@pytest.mark.parametrize(
    "content", ["[" * 9999, "{}", '{"scores": {"seed": {"miou": 5}}, "words": []}', '{"scores": 3}']
)
def test_a_manifest_of_another_form_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=tmp_path.name):
        draw_weights([tmp_path], tmp_path / "out")


@pytest.mark.parametrize("figure", ["seeds", "masks"])
def test_a_figure_of_photos_by_command(figure, pets, tmp_path, capsys):
    folder = seeds(tmp_path / "it", pets) if figure == "seeds" else label_maps(tmp_path / "it", 1)
    out = tmp_path / "out"
    code, printed, said = command(capsys, figure, pets.root, folder, "--count", "1", "--out", out, "--json")
    assert (code, json.loads(printed)["files"]) == (0, [str(out / name) for name in FIGURES[figure]]), said
    assert {row["image"] for row in table(out / f"{figure}.csv")} == {"0.png"}
    code, _, said = command(capsys, figure, pets.root, "--out", tmp_path / "new")
    assert (code, "needs something to read" in said) == (2, True)
    code, _, said = command(capsys, figure, pets.root, folder, "--count", "0", "--out", tmp_path / "new")
    assert (code, "--count must be at least 1" in said) == (2, True)


@pytest.mark.slow
def test_image_thresholds_and_weights_by_command(pets, tmp_path, capsys):
    architecture = Architecture(backbone="test_resnet", hidden=16)
    model = BASMethod.build(architecture, len(CLASSES), False, NORMALIZATION)
    Localizer(model, CLASSES, 48, 40, Inference()).save(tmp_path / "run")
    words = [pets.root, seeds(tmp_path / "it", pets), "--model", tmp_path / "run", "--out", tmp_path / "curves"]
    code, printed, said = command(capsys, "image-thresholds", *words, "--json")
    assert (code, len(json.loads(printed)["files"])) == (0, 4), said
    runs = [a_run(tmp_path / f"runs/{n}", 0.1 * n) for n in (1, 2)]
    made = [a_segmentation(tmp_path / f"made_{n}", 50.0, run) for n, run in enumerate(runs)]
    assert command(capsys, "weights", *made, "--out", tmp_path / "weights")[0] == 0
