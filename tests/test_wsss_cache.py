"""A stage on disk, work in other processes: what is kept, what is refused, and how much memory it takes."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import discs
import numpy as np
import pytest
from PIL import Image

from torchbas.config import Segmentation
from torchbas.errors import InputError
from torchbas.structures import Dataset, Sample
from torchbas.wsss.cache import STAMP, Stage, fingerprint, for_each, in_flight, sample_paths
from torchbas.wsss.refine import Binarize, LabelMaps
from torchbas.wsss.seeds.combine import Seeds

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")  # where there is one core
PHOTOS = Dataset(Path("photos"), ("cat", "dog"), tuple(Sample(Path(f"{n}.png"), f"{n}.png", (0,)) for n in range(4)))


def test_a_stage_is_begun_gone_on_with_and_finished(tmp_path):
    stage = Stage(tmp_path / "masks", "one")
    assert not stage.complete
    assert not stage.begin()
    (stage.folder / "1.png").touch()
    assert not stage.begin()
    stage.finish({"miou": 3})
    assert stage.begin()
    assert stage.complete
    assert stage.result == {"miou": 3}
    assert (stage.folder / "1.png").is_file()


@pytest.mark.parametrize("finished", [False, True])
def test_a_stage_of_other_settings_is_refused_or_thrown_away(tmp_path, finished):
    old, new = Stage(tmp_path / "masks", "one"), Stage(tmp_path / "masks", "other")
    old.begin()
    (old.folder / "1.png").touch()
    if finished:
        old.finish(None)
    assert not new.complete
    with pytest.raises(InputError, match=r"masks was made with other settings or data: .*--overwrite"):
        new.begin()
    assert (old.folder / "1.png").is_file()
    assert not new.begin(overwrite=True)
    assert [path.name for path in new.folder.iterdir()] == [STAMP]
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]


def test_killed_while_it_was_thrown_away_a_stage_is_whole_or_gone(tmp_path, monkeypatch):
    old, new = Stage(tmp_path / "masks", "one"), Stage(tmp_path / "masks", "other")
    old.begin()
    (old.folder / "1.png").touch()
    old.finish(None)

    def killed(path, **_):
        if path.exists():
            (path / STAMP).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            new.begin(overwrite=True)
    assert not new.begin()
    assert [path.name for path in new.folder.iterdir()] == [STAMP]


def test_killed_while_it_was_begun_a_stage_can_be_begun(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / f"masks/.{STAMP}.partial").write_text('{"ident')
    assert not Stage(tmp_path / "masks", "one").begin()


def test_files_of_something_else_are_left_alone(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/mine.txt").touch()
    with pytest.raises(InputError, match="holds files of something else"):
        Stage(tmp_path / "masks", "one").begin(overwrite=True)
    assert (tmp_path / "masks/mine.txt").is_file()


@pytest.mark.parametrize("words", ["", "{", "{}", "[]", "3"])
def test_a_damaged_stamp_is_named(tmp_path, words):
    (tmp_path / STAMP).write_text(words)
    with pytest.raises(InputError, match=f"{STAMP} is damaged"):
        Stage(tmp_path, "one").begin()


def test_the_fingerprint_is_of_photos_tags_classes_settings_and_parts():
    first, *others = PHOTOS.samples
    same = fingerprint(PHOTOS, "masks", Segmentation())
    assert same == fingerprint(replace(PHOTOS, root=Path("moved")), "masks", Segmentation())
    for samples, name, settings in (
        (replace(PHOTOS, samples=tuple(others)), "masks", Segmentation()),
        (replace(PHOTOS, samples=(replace(first, labels=(1,)), *others)), "masks", Segmentation()),
        (replace(PHOTOS, classes=("dog", "cat")), "masks", Segmentation()),
        (PHOTOS, "seeds", Segmentation()),
        (PHOTOS, "masks", Segmentation(cam_power=1.0)),
    ):
        assert fingerprint(samples, name, settings) != same


class Writes:
    """Work that leaves a file; it fails for one photo, and says how large its process is."""

    def __init__(self, folder: Path, fails: str = "") -> None:
        self.folder, self.fails = folder, fails

    def __call__(self, sample: Sample) -> None:
        if sample.name == self.fails:
            raise InputError(f"{sample.name} is broken.")
        (self.folder / sample.name).write_text(str(os.getpid()))


@pytest.mark.parametrize("workers", [0, 2])
def test_work_is_done_for_every_photo(tmp_path, workers):
    for_each(Writes(tmp_path), PHOTOS.samples, workers)
    done = {path.name: int(path.read_text()) for path in tmp_path.iterdir()}
    assert set(done) == {sample.name for sample in PHOTOS.samples}
    assert len(set(done.values())) == max(workers, 1)
    assert (os.getpid() in done.values()) == (workers == 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_goes_wrong_arrives_as_the_sentence_it_was(tmp_path, workers):
    with pytest.raises(InputError) as error:
        for_each(Writes(tmp_path, fails="2.png"), PHOTOS.samples, workers)
    assert str(error.value) == "2.png is broken."


def test_no_more_is_begun_than_is_allowed_and_the_order_is_kept():
    begun = []

    def work(number, pause):
        begun.append(number)
        time.sleep(pause)
        return number

    taken = []
    with ThreadPoolExecutor(4) as pool:
        for number in in_flight(pool, work, ((n, 0.02 * (n % 3)) for n in range(12)), 4):
            assert len(begun) - len(taken) <= 4
            taken.append(number)
    assert taken == list(range(12))


class Measured:
    """Binarizes a seed with a CRF, and writes down how much memory its process then has, in pages."""

    def __init__(self, binarize: Binarize, folder: Path) -> None:
        self.binarize, self.folder = binarize, folder

    def __call__(self, sample: Sample) -> None:
        self.binarize(sample)
        pages = Path("/proc/self/statm").read_text().split()[1]
        with (self.folder / str(os.getpid())).open("a") as file:
            file.write(f"{pages}\n")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the kernel does not tell")
def test_the_memory_of_a_worker_does_not_grow_with_the_photos(tmp_path):
    one = discs.draw(tmp_path / "voc", 3)
    samples = [replace(one.samples[n % 3], name=f"{n}.png") for n in range(300)]
    seeds = discs.seeds_of(one, tmp_path / "seeds")
    where = {sample.name: Path(one.samples[n % 3].name).with_suffix(".npz") for n, sample in enumerate(samples)}
    masks = LabelMaps(tmp_path / "masks", sample_paths(samples, ".png"))
    (tmp_path / "sizes").mkdir()
    binarize = Binarize(Seeds((seeds,), where), masks, Segmentation(refine="crf"))
    for_each(Measured(binarize, tmp_path / "sizes"), samples, workers=2)
    megabytes = os.sysconf("SC_PAGE_SIZE") / 2**20
    for process in (tmp_path / "sizes").iterdir():
        sizes = [int(line) * megabytes for line in process.read_text().split()]
        assert len(sizes) == 150
        assert max(sizes[50:]) - sizes[50] < 8
    assert len(list((tmp_path / "masks").iterdir())) == 300
    with Image.open(masks.path(samples[0])) as image:
        assert np.asarray(image).any()


def test_a_stamp_is_json_that_says_what_was_found(tmp_path):
    stage = Stage(tmp_path, "one")
    stage.begin()
    stage.finish({"photos": 2})
    assert json.loads((tmp_path / STAMP).read_text()) == {"fingerprint": "one", "result": {"photos": 2}}
