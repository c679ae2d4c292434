"""Atomic writes, portable output paths, manifests and stable hashes, against slow or independent references."""

import errno
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import torchbas
from torchbas.config import Recipe, Training
from torchbas.errors import InputError
from torchbas.io import atomic_write, is_partial, output_paths, read_manifest, stable_hash, write_manifest


def run(program: str, **environment: str) -> str:
    """What a Python process of its own prints."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment).stdout


def test_io_imports_neither_torch_nor_numpy():
    heavy = {"torch", "numpy", "PIL", "cv2"}
    assert run(f"import sys, torchbas.io; print({heavy} & set(sys.modules))") == "set()\n"


def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "x.txt").write_text("old")

    def interrupted():
        with atomic_write(tmp_path / "x.txt") as partial:
            partial.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_refusing_disk_is_an_input_error_that_names_the_target(tmp_path):
    with (
        pytest.raises(InputError, match=r"x\.txt cannot be written \(No space left on device\)\. Free some space"),
        atomic_write(tmp_path / "x.txt"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_files_with_a_long_common_prefix_are_written_side_by_side(tmp_path):
    names = [f"{'n' * 100}{number}.png" for number in range(2)]
    with atomic_write(tmp_path / names[0]) as first, atomic_write(tmp_path / names[1]) as second:
        first.write_text("0")
        second.write_text("1")
    assert [(tmp_path / name).read_text() for name in names] == ["0", "1"]
    assert len(list(tmp_path.iterdir())) == 2


def test_calls_that_write_the_same_file_have_partial_files_of_their_own(tmp_path):
    with atomic_write(tmp_path / "x.txt") as ours:
        ours.write_text("ours")
        with atomic_write(tmp_path / "x.txt") as theirs:
            theirs.write_text("theirs")
        assert (tmp_path / "x.txt").read_text() == "theirs"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["ours"]


def write_some(folder: Path, first: int) -> None:
    for number in range(first, 200, 4):
        with atomic_write(folder / f"{'photo of the same long beginning ' * 4}{number}.png") as partial:
            partial.write_text(str(number))


def test_many_workers_write_many_files_of_a_long_common_beginning(tmp_path):
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(write_some, [tmp_path] * 4, range(4)))
    assert {path.stem.rsplit(" ", 1)[1]: path.read_text() for path in tmp_path.iterdir()} == {
        str(number): str(number) for number in range(200)
    }


@pytest.mark.parametrize("name", ["a.png", "n" * 250, "🦓" * 60, "é" * 120, "\udcff" * 200, ".hidden"])
def test_a_partial_file_is_hidden_and_has_a_name_that_file_systems_take(tmp_path, name):
    with atomic_write(tmp_path / name) as partial:
        partial.touch()
        assert partial.parent == tmp_path
        assert partial.name.startswith(".")
        assert is_partial(partial.name)
        assert len(partial.name.encode()) < 144  # encrypted file systems have the shortest names
    assert os.listdir(tmp_path) == [name]  # noqa: PTH208 - the name itself, undecodable bytes included


@pytest.mark.parametrize("name", ["run.json", ".images.csv.partial", "a.0123456789abcdef.partial", ".a.0123.partial"])
def test_no_other_file_passes_for_a_partial_one(name):
    assert not is_partial(name)


@given(st.lists(st.text(st.sampled_from("aAé.\u0301/\\: \n_p1") | st.characters()), max_size=8, unique=True))
@example(["a.jpg", "a.png", "A.JPG", "a.jpg.jpg", "a.jpg.png", "a"])
@example(["../../etc/passwd", "/etc/passwd", "..\\..\\etc\\passwd", "C:\\etc\\passwd", "..", ".", "", "/"])
@example(["classes.json/1.jpg", "Stage.JSON/1.jpg", "_classes.json/1.jpg", "stage.jpg", "stage.json"])
@example(
    ["a" * 251 + ".jpg", "a" * 251 + ".png", "é" * 125 + "a.jpg", "é" * 125 + "a.JPG", "x" * 255 + "/" + "y" * 300]
)
@example(["/".join(["d" * 200] * 20) + "/a.jpg", "/".join(["d" * 200] * 20) + "/b.jpg", "d" * 3000])
@example(["a.png/b.jpg", "a.jpg", "a.jpg.png/c.jpg", "nul.jpg", "COM1", "x ", "x.", "x"])
def test_output_paths_differ_stay_inside_and_suit_windows(names):
    paths = output_paths(names, ".png")
    assert list(paths) == names
    texts = [str(path) for path in paths.values()]
    assert len({text.casefold() for text in texts}) == len(names)
    for path in paths.values():
        assert not path.is_absolute()
        assert path.suffix == ".png"
        assert not set("".join(path.parts)) & set('<>:"|?*\\\n\0')
        assert len(str(path).encode("utf-8", "surrogatepass")) <= 2400
        assert path.parts[0].casefold() not in ("classes.json", "stage.json")
        for part in path.parts:
            assert len(part.encode("utf-8", "surrogatepass")) <= 255
            assert part not in ("", ".", "..")
            assert part[-1] not in " ."
            assert part.split(".")[0].lower() not in ("nul", "com1")
    folders = {str(parent).casefold() for path in paths.values() for parent in path.parents}
    assert not folders & {text.casefold() for text in texts}


def test_a_plain_name_only_changes_its_suffix():
    names = ["img/one.two.jpg", "img/three.JPEG", "noend", "b.jpg", "b.webp"]
    expected = ["img/one.two.png", "img/three.png", "noend.png", "b.jpg.png", "b.webp.png"]
    assert list(output_paths(names, ".png").values()) == list(map(PurePosixPath, expected))


@pytest.mark.parametrize("suffix", [".png", ".json", ".npz"])
def test_the_longest_names_and_those_of_our_own_files_can_be_written_beside_these(tmp_path, suffix):
    names = [
        "n" * 251 + ".jpg",
        "n" * 251 + ".png",
        "classes.json/1.jpg",
        "stage.json/1.jpg",
        "stage.jpg",
        "classes.png",
    ]
    for name in ("classes.json", "stage.json"):
        (tmp_path / name).touch()
    for name, path in output_paths(names, suffix).items():
        with atomic_write(tmp_path / path) as partial:
            partial.write_text(name)
    assert {path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == {"", *names}


def test_the_manifest_comes_back_in_the_types_of_json(tmp_path):
    content = {
        "recipe": Training(epochs=3),
        "path": Path("a/b"),
        "loss": [float("nan"), float("-inf"), np.float32(0.5)],
        "n": np.int64(3),
    }
    path = write_manifest(tmp_path / "new", content | {"tags": ("x", "Zebra 🦓"), 5: {"deep": np.zeros(2)}})
    read = read_manifest(tmp_path / "new")
    assert path == tmp_path / "new" / "run.json"
    assert read["torchbas"] == torchbas.__version__
    assert read["recipe"]["epochs"] == 3
    assert (read["path"], read["loss"], read["n"]) == ("a/b", [None, None, 0.5], 3)
    assert (read["tags"], read["5"]) == (["x", "Zebra 🦓"], {"deep": [0, 0]})
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run.json"]


def test_a_folder_without_a_manifest_is_incomplete(tmp_path):
    with pytest.raises(InputError, match=r"no readable run\.json: its command did not finish"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json is"):
        read_manifest(tmp_path)


TEXT = st.text(max_size=4)
NUMBERS = st.integers() | st.floats(allow_nan=False).filter(lambda value: not value.is_integer())
TREES = st.recursive(
    st.none() | TEXT | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def other_form(tree: object) -> object:
    """The same tree with tuples for lists and its dictionaries in the reverse order."""
    if isinstance(tree, dict):
        return {key: other_form(tree[key]) for key in reversed(tree)}
    return tuple(map(other_form, tree)) if isinstance(tree, list) else tree


@given(TREES)
def test_tuples_hash_as_lists_and_the_order_of_dictionaries_does_not_matter(tree):
    assert stable_hash(other_form(tree)) == stable_hash(tree)


@given(TREES, TREES)
@example(None, "null")
@example(1, "1")
@example([], {})
@example(["a", "b"], ["a,b"])
@example([["a"], "b"], ["a", ["b"]])
def test_only_equal_values_have_equal_hashes(one, other):
    assert (stable_hash(one) == stable_hash(other)) == (one == other)


@given(st.lists(TREES, max_size=3), st.lists(TREES, max_size=3))
def test_the_borders_between_parts_count(one, other):
    assert (stable_hash(*one, *other) == stable_hash(one, other)) == ([*one, *other] == [one, other])


@given(st.floats(width=32, allow_nan=False), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.sets(TEXT))
def test_numpy_scalars_hash_as_numbers_and_sets_in_any_order(real, integer, flag, names):
    scalars = [np.float32(real), np.float64(real), np.int64(integer), np.bool_(flag), np.array([integer])]
    assert stable_hash(scalars) == stable_hash([real, real, integer, flag, [integer]])
    assert stable_hash(names) == stable_hash(frozenset(sorted(names, reverse=True)))


def test_dataclasses_hash_as_dictionaries_and_paths_as_text():
    recipe = Recipe("mine", "about", training=Training(epochs=3))
    assert stable_hash(recipe) == stable_hash(asdict(recipe)) != stable_hash(Recipe("mine", "about"))
    assert stable_hash(PurePosixPath("a/b")) == stable_hash(PureWindowsPath("a\\b")) == stable_hash("a/b")


def test_values_that_are_no_numbers_differ_from_nothing():
    values = [None, float("nan"), float("inf"), float("-inf"), "NaN"]
    assert len({stable_hash(value) for value in values}) == len(values)


@pytest.mark.parametrize("part", [object(), len, b"bytes", Training, 1j])
def test_what_has_no_stable_form_is_refused(part):
    with pytest.raises(TypeError):
        stable_hash({"deep": [part]})


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_a_hash_is_the_same_in_every_process(seed):
    program = "from torchbas.io import stable_hash; print(stable_hash({'b': 0.1, 'a': (1, None)}, {'x', 'y'}, 'é'))"
    # From: printf '[{"a":[1,null],"b":0.1},["x","y"],"\\u00e9"]' | sha256sum
    expected = "ae1acfdfda83a1479bc92a66518e815a2e8f698eff2efbf723e34f45d555b131"
    assert run(program, PYTHONHASHSEED=seed) == f"{expected}\n"
