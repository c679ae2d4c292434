"""bas predict --shard: every photo in one part, whatever the source; finished parts stay, and none is half written."""

import json
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

import fsspec
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

import torchbas as tb
from torchbas.cli import main
from torchbas.cli.shards import shards_in
from torchbas.config import Architecture, Inference
from torchbas.errors import InputError
from torchbas.inference.localizer import Localizer
from torchbas.methods.bas import BASMethod
from torchbas.shards import sources
from torchbas.shards.parts import Parts
from torchbas.shards.sources import Shard, open_source


@pytest.fixture(scope="module")
def model(tmp_path_factory, demo_set):
    folder = tmp_path_factory.mktemp("model")
    network = BASMethod.build(Architecture("test_resnet", hidden=16), 6, False, ((0.5, 0.4, 0.3), (0.2, 0.3, 0.25)))
    inference = Inference(threshold=0.4, normalized=True)
    Localizer(network, demo_set.classes, resize=48, crop=48, inference=inference).save(folder)
    return folder


@pytest.fixture
def folder(tmp_path, demo_set):
    """Eleven photos and one that is none."""
    place = tmp_path / "photos"
    place.mkdir()
    for number, sample in enumerate(demo_set.only("test").samples[:11]):
        shutil.copy(sample.path, place / f"{number:02}{sample.path.suffix}")
    (place / "zz.jpg").write_bytes(b"no photo")
    return place


def predict(source, model, out, *words):
    return main(["predict", str(source), "--model", str(model), "--out", str(out), "--quiet", *map(str, words)])


def rows(out):
    return [row for path in sorted(Path(out).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


@given(st.integers(0, 50), st.integers(1, 60))
def test_shards_share_all_items_out_in_order(count, of):
    shares = [Shard(number, of).share(range(count)) for number in range(of)]
    assert [item for share in shares for item in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_rows_are_what_predict_finds(folder, model, tmp_path):
    assert predict(folder, model, tmp_path / "out", "--shard", "0-2/3", "--min-score", 0) == 0
    found = {one.name: one for one in tb.predict([str(p) for p in sorted(folder.glob("[0-9]*"))], model)}
    made = rows(tmp_path / "out")
    assert [row["key"] for row in made] == sorted(path.name for path in folder.iterdir())
    for row in made[:-1]:
        one = found[str(folder / row["key"])]
        assert (row["label"], row["height"], row["width"], row["error"]) == (one.label, *one.size, None)
        assert row["xyxy"] == pytest.approx(one.xyxy)
        assert row["mask"].encode() == one.rle["counts"]
        assert (row["score"], row["bas_ratio"]) == pytest.approx((one.score, one.bas_ratio), abs=1e-6)
    assert made[-1]["label"] is None
    assert "zz.jpg is not an image" in made[-1]["error"]


def test_one_shard_after_the_other_ends_with_the_manifest_and_is_exported(folder, model, tmp_path):
    out = tmp_path / "out"
    for number in range(3):
        assert not (out / "run.json").exists()
        assert predict(folder, model, out, "--shard", f"{number}/3") == 0
    run = json.loads((out / "run.json").read_text())
    assert (run["shards"], run["photos"], run["errors"]) == (3, 12, 1)
    assert predict(folder, model, tmp_path / "plain", "--format", "coco") == 0
    assert main(["export", str(out), "--format", "coco", "--out", str(tmp_path / "coco"), "--quiet"]) == 0
    one, other = (json.loads((tmp_path / name / "masks.coco.json").read_text()) for name in ("coco", "plain"))
    assert [(a["bbox"], a["segmentation"]) for a in one["annotations"]] == [
        (a["bbox"], a["segmentation"]) for a in other["annotations"]
    ]
    assert one["categories"] == other["categories"]


def test_a_folder_with_missing_shards_is_not_exported(folder, model, tmp_path, capsys):
    assert predict(folder, model, tmp_path / "out", "--shard", "0/2") == 0
    assert main(["export", str(tmp_path / "out"), "--format", "coco", "--out", str(tmp_path / "coco")]) == 2
    assert "some shards are missing" in capsys.readouterr().err


def test_finished_shards_are_skipped_and_damaged_ones_made_again(folder, model, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(folder, model, out, "--shard", "0-2/3") == 0
    before = {path.name: path.read_bytes() for path in out.glob("*.parquet")}
    (out / "part-00001.parquet").write_bytes(before["part-00001.parquet"][:500])
    (out / ".part-00002.parquet.0123456789abcdef.partial").write_bytes(b"half")
    assert predict(folder, model, out, "--shard", "0-2/3", "--json") == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == [0, 2]
    assert {path.name: path.read_bytes() for path in out.glob("*.parquet")} == before
    assert not list(out.glob(".*partial"))


@pytest.mark.parametrize("changed", [["--threshold", 0.6], ["--objects", "all"], ["--min-score", 0.5], ["photo"]])
def test_parts_of_other_work_are_refused_and_replaced_on_request(folder, model, tmp_path, changed, capsys):
    out = tmp_path / "out"
    assert predict(folder, model, out, "--shard", "0-2/3") == 0
    if changed == ["photo"]:
        (folder / "03.png").unlink(missing_ok=True)
        (folder / "03.jpg").unlink(missing_ok=True)
        changed = []
    assert predict(folder, model, out, "--shard", "0-1/2", *changed) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert predict(folder, model, out, "--shard", "0-1/2", *changed, "--overwrite") == 0
    assert sorted(path.name for path in out.glob("*.parquet")) == ["part-00000.parquet", "part-00001.parquet"]


def test_a_part_is_there_only_when_it_is_whole(tmp_path):
    def broken():
        yield dict.fromkeys(("key", "model"), "a") | {"label": None, "error": None}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Parts(str(tmp_path), {}, "work").write(Shard(0, 1), broken())
    assert not list(tmp_path.iterdir())


def in_tar(path, photos):
    with tarfile.open(path, "w") as tar:
        for name, content in photos:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))


def test_tars_lists_and_addresses_give_the_same_rows(folder, model, tmp_path):
    photos = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    in_tar(tmp_path / "a-0.tar", [("00.json", b"{}"), *photos[:6]])
    in_tar(tmp_path / "a-1.tar", photos[6:])
    (tmp_path / "list.txt").write_text("\n".join(f"photos/{name}" for name, _ in photos))
    memory = fsspec.filesystem("memory")
    for name, content in photos:
        memory.pipe_file(f"/bucket/{name}", content)
    places = [folder, tmp_path / "a-{0..1}.tar", tmp_path / "a-*.tar", tmp_path / "list.txt", "memory://bucket/"]
    made = []
    for number, place in enumerate(places):
        assert predict(place, model, tmp_path / f"out{number}", "--shard", "0-1/2") == 0
        made.append([{**row, "key": Path(row["key"]).name} for row in rows(tmp_path / f"out{number}")])
    assert made[0][-1].pop("error") is not None
    for other in made[1:]:
        assert other[-1].pop("error") is not None
        assert other == made[0]


def test_parts_go_to_an_address_too(folder, model, tmp_path):
    assert predict(folder, model, "memory://parts/a", "--shard", "0-1/2") == 0
    assert predict(folder, model, tmp_path / "out", "--shard", "0-1/2") == 0
    memory = fsspec.filesystem("memory")
    for path in (tmp_path / "out").glob("*.parquet"):
        assert memory.cat_file(f"/parts/a/{path.name}") == path.read_bytes()
    assert json.loads(memory.cat_file("/parts/a/run.json"))["photos"] == 12


def test_photos_before_the_damage_of_a_tar_are_kept(folder, tmp_path):
    whole = tmp_path / "a.tar"
    in_tar(whole, [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())])
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (some,) = open_source(str(tmp_path / "cut.tar")).read(Shard(0, 1))
    assert 2 < len(some.photos.samples) < 11
    assert "is damaged from here on" in some.problems[0].reason


def test_a_list_fetches_some_at_a_time_in_order(folder, monkeypatch):
    monkeypatch.setattr(sources, "AT_ONCE", 4)
    names = sorted(path.name for path in folder.iterdir())
    (folder / "list.txt").write_text("\n".join([*names, "absent.jpg"]))
    some = [*open_source(str(folder / "list.txt")).read(Shard(0, 1))]
    assert [len(one.photos.samples) for one in some] == [4, 4, 4, 0]
    assert [sample.name for one in some for sample in one.photos.samples] == names
    assert "absent.jpg cannot be fetched" in some[-1].problems[0].reason


@pytest.mark.parametrize("line", ["simplecache::file:///etc/x.jpg", "reference://a.jpg", "pipe://cat"])
def test_lists_name_no_other_protocols(tmp_path, line):
    (tmp_path / "list.txt").write_text(line)
    with pytest.raises(InputError, match="is no address that is read"):
        open_source(str(tmp_path / "list.txt"))


MISTAKES = {
    "no tar": (["absent-{0..3}.tar"], [], "absent-0.tar"),
    "no match": (["*.tar"], [], "matches no tar"),
    "format": (["photos"], ["--format", "coco"], "leave out --format"),
    "known": (["photos"], ["--tags", "known"], "own tags are not read"),
    "unknown tag": (["photos"], ["--tags", "griffin"], 'does not know the tag "griffin"'),
    "shard": (["photos"], ["--shard", "4/4"], "there are 0 to 3"),
    "word": (["photos"], ["--shard", "one"], "give one as 3/40"),
    "foreign folder": (["photos"], ["--out", "photos"], "holds other files than parts"),
    "no protocol": (["gopher://x/"], [], "is no address"),
    "empty list": (["empty.txt"], [], "has no line"),
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_said_in_one_sentence(model, tmp_path, mistake, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n")
    source, words, sentence = MISTAKES[mistake]
    assert predict(source[0], model, "out", "--shard", "0/2", *words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_ray_without_shards_is_refused(folder, model, tmp_path, capsys):
    assert predict(folder, model, tmp_path / "out", "--engine", "ray") == 2
    assert "add --shard" in capsys.readouterr().err


@pytest.mark.parametrize(("word", "shards"), [("3/40", ([3], 40)), ("0-2/3", ([0, 1, 2], 3))])
def test_shards_by_words(word, shards):
    assert shards_in(word) == shards


def test_a_predictor_makes_rows_of_bytes_arrays_and_paths(folder, model):
    predictor = tb.Predictor(model, min_score=0.0)
    paths = sorted(map(str, folder.glob("[0-9]*")))
    by_path = predictor({"path": paths})
    by_bytes = predictor({"path": paths, "bytes": [Path(path).read_bytes() for path in paths]})
    assert by_path == by_bytes
    assert by_path["key"] == paths
    with pytest.raises(InputError, match="need a column bytes, image or path"):
        predictor({"photo": paths})


@pytest.mark.slow
def test_ray_makes_the_same_parts(folder, model, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    assert predict(folder, model, tmp_path / "out", "--shard", "0-2/3") == 0
    words = ["predict", folder, "--model", model, "--out", tmp_path / "ray", "--shard", "0-2/3", "--engine", "ray"]
    program = "import sys; from torchbas.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *map(str, words), "--processes", "1"]
    subprocess.run(command, check=True, timeout=300)  # Ray warns in ways that end a test
    for path in (tmp_path / "out").glob("*.parquet"):
        assert (tmp_path / "ray" / path.name).read_bytes() == path.read_bytes()
    subprocess.run(command, check=True, timeout=60)  # nothing is left to do, and nothing hangs
