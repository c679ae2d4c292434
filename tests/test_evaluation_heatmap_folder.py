"""Folders of score maps: what is refused, by name; and that no way of working through them changes a number."""

import csv
import json
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchbas import api
from torchbas.cli import main
from torchbas.data import arrays
from torchbas.errors import InputError, Interrupted
from torchbas.evaluation import heatmap_folder as scoremaps
from torchbas.evaluation.accumulator import MetricAccumulator
from torchbas.evaluation.evaluator import Evaluator
from torchbas.evaluation.heatmap_folder import find_maps, read_map, read_predictions, score_maps
from torchbas.evaluation.metrics import box_ious
from torchbas.evaluation.per_image import PerImageTable
from torchbas.evaluation.protocol import EvalProtocol, evaluable_samples
from torchbas.structures import Dataset, Sample

SIDE = 48
PROTOCOL = EvalProtocol("wsoleval", (0.2, "auto"), side=SIDE, interval=0.01)


@pytest.fixture
def maps(tmp_path):
    """Thirty images of three classes with one or two boxes, the last ten in ``val``; a smooth map of each."""
    rng, samples = np.random.default_rng(0), []
    for number in range(30):
        ends = np.sort(rng.integers(0, 200, (1 + number % 2, 2, 2)), axis=1) + np.array([[[0, 0], [20, 20]]])
        boxes = tuple((float(a[0]), float(a[1]), float(b[0]), float(b[1])) for a, b in ends)
        split = "val" if number >= 20 else "test"
        samples.append(Sample(tmp_path / "none.jpg", f"c/{number}.jpg", (number % 3,), split, boxes, size=(240, 220)))
        heat = cv2.resize(rng.random((5, 5)), (SIDE, SIDE))
        write(tmp_path, f"c/{number}.jpg", heat)
    return tmp_path, Dataset(tmp_path, ("cat", "dog", "owl"), tuple(samples))


def write(folder, name, heat):
    path = folder / f"{name}.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez(path, map=heat)


def everything(board):
    arrays = board.arrays()
    places = [tuple(place) for place in json.loads(str(arrays["names"]))]
    return {place: arrays[f"array{number}"].tolist() for number, place in enumerate(places)}


@pytest.mark.parametrize(
    ("heat", "said"),
    [
        (np.full((SIDE, SIDE), np.nan), "has values that are no number: set them to 0"),
        (np.zeros((SIDE, SIDE - 1)), r"has the shape \(48, 47\), not \(48, 48\): resize"),
        (np.zeros((1, SIDE, SIDE)), r"has the shape \(1, 48, 48\)"),
        (np.full((SIDE, SIDE), 1.001), r"has values from 1.001 to 1.001: bring the map to \[0, 1\]"),
        (np.full((SIDE, SIDE), -0.1), r"has values from -0.1 to -0.1"),
        (np.full((SIDE, SIDE), "x"), "holds <U1, no numbers"),
    ],
)
def test_an_unfit_map_is_refused_by_name(maps, heat, said):
    folder, dataset = maps
    write(folder, "c/7.jpg", heat)
    with pytest.raises(InputError, match=rf"c/7.jpg.npz {said}"):
        score_maps(folder, dataset, PROTOCOL)


def test_a_missing_or_damaged_map_names_the_image(maps):
    folder, dataset = maps
    (folder / "c/3.jpg.npz").unlink()
    said = rf"has no map of 1 of {len(dataset.samples)} images \(c/3.jpg\): write it as c/3.jpg.npz or"
    with pytest.raises(InputError, match=said):
        score_maps(folder, dataset, PROTOCOL)
    (folder / "c/3.jpg.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"c/3.jpg.npz cannot be read as an array"):
        score_maps(folder, dataset, PROTOCOL)


def test_all_missing_maps_are_said_before_any_is_scored(maps, tmp_path):
    folder, dataset = maps
    for number in range(3, 8):
        (folder / f"c/{number}.jpg.npz").unlink()
    (folder / "c/0.jpg.npz").write_bytes(b"no zip")
    said = rf"no map of 5 of {len(dataset.samples)} images \(c/3.jpg, c/4.jpg, c/5.jpg and 2 more\)"
    with pytest.raises(InputError, match=said):
        score_maps(folder, dataset, PROTOCOL, state=tmp_path / "counts.npz")
    assert not (tmp_path / "counts.npz").exists()


def test_maps_may_leave_out_the_folder_that_all_images_are_in(maps):
    folder, dataset = maps
    expected = score_maps(folder, dataset, PROTOCOL).arrays()
    inside = replace(dataset, samples=tuple(replace(one, name=f"images/{one.name}") for one in dataset.samples))
    found = score_maps(folder, inside, PROTOCOL).arrays()
    assert expected.keys() == found.keys()
    for name, counts in expected.items():
        np.testing.assert_array_equal(counts, found[name])
    two_folders = (*inside.samples[1:], replace(inside.samples[0], name="other/c/0.jpg"))
    with pytest.raises(InputError, match="no map of"):  # one map might be that of two images then
        score_maps(folder, replace(inside, samples=two_folders), PROTOCOL)


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_map_with_other_bytes_is_a_map_or_a_sentence(tmp_path_factory, suffix, data):
    path = tmp_path_factory.getbasetemp() / f"a{suffix}"
    with path.open("wb") as stream:
        (np.savez_compressed if suffix == ".npz" else np.save)(stream, np.eye(4))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=2)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    said = f"{path} is still a map"
    try:
        read_map(*find_maps(path.parent, ["a"]), 4)
    except InputError as error:
        said = str(error)
    path.unlink()
    assert said.startswith(str(path))
    assert "\n" not in said


def test_a_map_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST", 2**20)
    np.savez_compressed(tmp_path / "a.npz", map=np.zeros(2**20))
    with pytest.raises(InputError, match=r"a\.npz cannot be read as an array \(it holds more than 1 MB\)"):
        read_map(*find_maps(tmp_path, ["a"]), SIDE)


def test_damaged_counts_are_not_counted_from(maps, tmp_path):
    folder, dataset = maps
    (tmp_path / "counts.npz").write_bytes(b"PK no counts")
    with pytest.raises(InputError, match=r"counts\.npz is damaged: remove it, or --overwrite"):
        score_maps(folder, dataset, PROTOCOL, state=tmp_path / "counts.npz")


@pytest.mark.parametrize("odd", [{"done": -1}, {"names": "[["}, {"array0": np.zeros(3)}, {"array1": np.zeros(3)}])
def test_counts_of_another_form_are_not_counted_from(maps, tmp_path, odd):
    folder, dataset = maps
    state = tmp_path / "counts.npz"
    samples = evaluable_samples(dataset, PROTOCOL)
    fingerprint = scoremaps._fingerprint(folder, samples, PROTOCOL, None, None)
    evaluator = Evaluator(PROTOCOL)
    evaluator.accumulators["maps"] = MetricAccumulator(PROTOCOL)
    scoremaps._save(state, fingerprint, evaluator, 1, None)
    with np.load(state) as kept:
        np.savez(state, **{**kept, **{name: np.array(value) for name, value in odd.items()}})
    with pytest.raises(InputError, match=r"counts\.npz is damaged"):
        score_maps(folder, dataset, PROTOCOL, state=state)


def test_an_archive_of_other_things_holds_no_map(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("words.txt", "no array")
    with pytest.raises(InputError, match=r"a\.npz cannot be read as an array \(words\.txt in it is no array\)"):
        read_map(*find_maps(tmp_path, ["a"]), SIDE)


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"a.npy cannot be read"):
        read_map(*find_maps(tmp_path, ["a"]), SIDE)


def test_all_spellings_of_a_map_are_found(tmp_path):
    heat = np.eye(SIDE)
    for number, name in enumerate(("a.jpg.npz", "a.jpg.npy", "a.npz", "a.npy")):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        (np.savez if name.endswith("z") else np.save)(path, heat)
        np.testing.assert_array_equal(read_map(*find_maps(path.parent, ["a.jpg"]), SIDE), heat)


def test_one_image_without_truth_does_not_spoil_a_run(maps):
    folder, dataset = maps
    samples = (replace(dataset.samples[0], boxes=()), *dataset.samples[1:])
    assert score_maps(folder, replace(dataset, samples=samples), PROTOCOL).center_prior.images == 29
    bare = replace(dataset, samples=tuple(replace(sample, boxes=()) for sample in samples))
    with pytest.raises(InputError, match="has no true boxes to compare with"):
        score_maps(folder, bare, PROTOCOL)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on a machine of one core
def test_the_same_numbers_with_two_processes_and_in_any_order(maps):
    folder, dataset = maps
    alone = score_maps(folder, dataset, PROTOCOL)
    assert everything(score_maps(folder, dataset, PROTOCOL, workers=2)) == everything(alone)
    backwards = replace(dataset, samples=dataset.samples[::-1])
    scores, turned = (board.scores("auto") for board in (alone, score_maps(folder, backwards, PROTOCOL)))
    assert scores.summaries == turned.summaries
    assert scores.rows == turned.rows


def test_parts_merge_to_the_whole(maps):
    folder, dataset = maps
    whole = score_maps(folder, dataset, PROTOCOL).scores(0.2)
    parts = [replace(dataset, samples=dataset.samples[start::3]) for start in range(3)]
    first, *others = (score_maps(folder, part, PROTOCOL) for part in parts)
    for other in others:
        first.merge(other)
    assert first.scores(0.2) == whole


def test_the_table_says_what_became_of_every_image(maps, tmp_path):
    folder, dataset = maps
    with PerImageTable(tmp_path / "images.csv", 0.2) as table:
        score_maps(folder, dataset, PROTOCOL, table=table)
    lines = list(csv.DictReader((tmp_path / "images.csv").read_text("utf-8").splitlines()))
    assert [line["image"] for line in lines] == [sample.name for sample in dataset.samples]
    for line, sample in zip(lines, dataset.samples, strict=True):
        areas = [(x1 - x0) * (y1 - y0) / (240 * 220) for x0, y0, x1, y1 in sample.boxes]
        ground_truth = PROTOCOL.boxes(sample, (240, 220))
        iou = box_ious("wsoleval", read_map(*find_maps(folder, [sample.name]), SIDE), ground_truth, np.array([0.2]))[
            "largest"
        ][0]
        assert float(line["area"]) == pytest.approx(max(areas), abs=1e-5)
        assert float(line["iou"]) == pytest.approx(iou, abs=1e-5)
        assert line["class"] == dataset.classes[sample.labels[0]]


@pytest.mark.parametrize("stop", [1, 12, 29])
def test_the_same_numbers_after_a_stop_and_resume(maps, tmp_path, monkeypatch, stop):
    folder, dataset = maps
    monkeypatch.setattr(scoremaps, "SAVE_EVERY", 5)
    state = tmp_path / "counts.npz"

    def interrupted(judged, _):
        for number, one in enumerate(judged):
            if number == stop:
                raise KeyboardInterrupt
            yield one

    def table(name):
        return PerImageTable(tmp_path / name, 0.2)

    with pytest.raises(Interrupted, match=f"Stopped after {stop} of 30 maps"), table("stopped.csv") as per_image:
        score_maps(folder, dataset, PROTOCOL, state=state, table=per_image, progress=interrupted)
    with table("stopped.csv") as per_image:
        resumed = score_maps(folder, dataset, PROTOCOL, state=state, table=per_image)
    with table("straight.csv") as per_image:
        whole = score_maps(folder, dataset, PROTOCOL, table=per_image)
    assert everything(resumed) == everything(whole)
    assert (tmp_path / "stopped.csv").read_text() == (tmp_path / "straight.csv").read_text()
    assert len((tmp_path / "straight.csv").read_text().splitlines()) == 31


def test_counts_of_other_settings_are_not_continued(maps, tmp_path):
    folder, dataset = maps
    state = tmp_path / "counts.npz"
    write(folder, "bad.jpg", np.full((SIDE, SIDE), 2.0))
    broken = replace(dataset, samples=(*dataset.samples, replace(dataset.samples[0], name="bad.jpg")))
    with pytest.raises(InputError, match=r"bad\.jpg\.npz has values"):
        score_maps(folder, broken, PROTOCOL, state=state)
    refused = pytest.raises(InputError, match=r"counts.npz was made with other settings or data")
    with refused:
        score_maps(folder, dataset, PROTOCOL, state=state)
    moved = replace(broken, samples=(replace(broken.samples[0], boxes=((0.0, 0.0, 9.0, 9.0),)), *broken.samples[1:]))
    for data, options in ((moved, {}), (broken, {"predictions": {"c/0.jpg": ["cat"]}})):
        with refused:
            score_maps(folder, data, PROTOCOL, state=state, **options)
    with PerImageTable(tmp_path / "images.csv", "auto") as table, refused:
        score_maps(folder, broken, PROTOCOL, state=state, table=table)
    with pytest.raises(InputError, match=r"bad\.jpg\.npz has values"):
        score_maps(folder, broken, PROTOCOL, state=state)


def test_predictions_make_top_1_and_top_5(maps, tmp_path):
    folder, dataset = maps
    lines = [f"{p.name},{'cat' if i < 9 else 'owl'},dog" for i, p in enumerate(dataset.samples)]
    (tmp_path / "top.csv").write_text("\n".join(["image,first,second", *lines]), encoding="utf-8")
    scores = score_maps(folder, dataset, PROTOCOL, predictions=read_predictions(tmp_path / "top.csv")).scores(0.2)
    assert scores.top1_cls == pytest.approx(100 * (3 + 7) / 30)
    found = scores.rows["maps"][0.2]
    assert found["top1_loc"] <= found["top5_loc"] <= found["gt_known"]
    (tmp_path / "top.csv").write_text("c/0.jpg,cat", encoding="utf-8")
    with pytest.raises(InputError, match=r"the predictions lack c/1.jpg"):
        score_maps(folder, dataset, PROTOCOL, predictions=read_predictions(tmp_path / "top.csv"))
    assert "top1_loc" not in score_maps(folder, dataset, PROTOCOL).scores(0.2).rows["maps"][0.2]


def test_a_threshold_of_the_validation_split_is_used_on_the_test_split(maps, monkeypatch):
    folder, dataset = maps
    monkeypatch.setattr("torchbas.api.scores.EvalProtocol", lambda *a: EvalProtocol(*a, side=SIDE))
    best = api.score_maps(dataset.only("val"), folder).summaries["maps"]["oracle"]["threshold"]
    scores = api.score_maps(dataset, folder, threshold="validation")
    assert scores.images == 20
    assert scores.summaries["maps"]["at"] == best
    with pytest.raises(InputError, match="has no split val beside its test split"):
        api.score_maps(dataset.only("test"), folder, threshold="validation")


def test_masks_are_judged_beside_boxes(maps):
    folder, dataset = maps
    cv2.imwrite(str(folder / "mask.png"), np.pad(np.full((20, 20), 255, np.uint8), 14))
    samples = tuple(
        replace(sample, boxes=(), size=None, instances=(folder / "mask.png",)) for sample in dataset.samples
    )
    summary = score_maps(folder, replace(dataset, samples=samples), PROTOCOL).scores(0.2).summaries["maps"]
    assert summary["pxap"] == pytest.approx(100 * (20 / 48) ** 2, abs=12)
    assert summary["piou"] >= 17


def test_the_command_scores_a_folder_of_maps(tmp_path, capsys, demo_set):
    for sample in demo_set.only("test").samples:
        path = tmp_path / "maps" / f"{sample.name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.pad(np.ones((112, 112), np.float32), 56))
    words = ["eval", str(demo_set.root), "--maps", str(tmp_path / "maps"), "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["protocol"] == "wsoleval"
    assert answer["images"] == 12
    assert answer["summaries"]["maps"]["maxboxacc"] <= answer["summaries"]["maps"]["maxboxaccv2_per_delta"]["0.5"]
    assert (tmp_path / "out/images.csv").read_text().startswith("row,image,class,area,iou,top1,top5\nmaps,")
    assert (tmp_path / "out/curve.csv").read_text().startswith("row,threshold,delta,accuracy\nmaps,0,0.3,")
    assert json.loads((tmp_path / "out/scores.json").read_text())["images"] == 12
    assert main(words) == 2
    assert "--overwrite or --resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --model RUN, --maps FOLDER or --labels FOLDER"),
        (["--model", "m", "--maps", "n"], "give --model RUN, --maps FOLDER or --labels FOLDER"),
        (["--maps", "nowhere"], "--maps nowhere is no folder"),
        (["--maps", "n", "--threshold", "1.5"], "--threshold 1.5 makes no sense: give auto, validation"),
        (["--model", "m", "--predictions", "p.csv"], "--predictions goes with --maps"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(words, said, demo_set, capsys):
    assert main(["eval", str(demo_set.root), *words]) == 2
    assert said in capsys.readouterr().err
