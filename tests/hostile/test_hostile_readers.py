"""Whatever a file holds, its reader answers or refuses it in one line that names it, and runs nothing of it."""

import zlib

import numpy as np
import payloads
import pytest
import readers
from mutations import mutated

KINDS = [name for name in readers.MAKERS if "_turned_" not in name or name.endswith("_6")]
CASES = {"model_bas": 4, "model_irn": 2, "model_segmenter": 8, "training_resumed": 10, "training_log": 10}
"""Mutations of each kind whose reader is slow; of the others :data:`MANY`."""
MANY = 20
ONE_OF_EACH = (
    "png",
    "mask_png",
    "list_csv",
    "list_json",
    "list_coco",
    "list_voc_xml",
    "list_cub",
    "list_tag_folders",
    "model_segmenter",
    "weights_authors",
    "training_checkpoint",
    "training_log",
    "map_npz",
    "seed",
    "irn_seed",
    "counts",
    "predictions",
    "table",
    "coco_boxes",
    "results",
    "manifest",
    "stage",
)
"""A kind for every function that opens files."""
WEIGHTS = [name for name in readers.MAKERS if name.startswith(("weights_", "irn_"))]

pytestmark = pytest.mark.filterwarnings("default")  # a decoder that warns of damage is right


@pytest.mark.parametrize("name", KINDS)
def test_a_mutated_file_is_read_or_refused(name, tmp_path):
    outcome = readers.check(name, readers.kind_of(name).files, tmp_path)
    assert outcome.kind == "read", outcome
    for number in range(CASES.get(name, MANY)):
        files = readers.case(name, np.random.default_rng((zlib.crc32(name.encode()), number)))
        outcome = readers.check(name, files, tmp_path)
        assert outcome.kind in ("read", "refused"), (number, outcome)


def test_the_same_seed_gives_the_same_bytes():
    data = readers.kind_of("png").files["photo.png"]
    drawn = [[mutated(np.random.default_rng((seed, n)), data, b"other") for n in range(99)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("name", [*WEIGHTS, "training_checkpoint", "map_npy", "map_npz", "seed", "counts"])
def test_no_pickle_runs(name, tmp_path):
    canary = tmp_path / "canary"
    (file,) = readers.kind_of(name).files
    for attack, content in payloads.attacks(canary).items():
        outcome = readers.check(name, {file: content}, tmp_path, canary)
        assert outcome.kind == "refused", (attack, outcome)


@pytest.mark.parametrize("bomb", payloads.bombs())
def test_a_bomb_is_refused(bomb, tmp_path):
    name, file, content = payloads.bombs()[bomb]
    assert len(content) < 3 << 20
    outcome = readers.check(name, readers.kind_of(name).files | {file: content}, tmp_path)
    assert outcome.kind == "refused", outcome


@pytest.mark.parametrize("what", payloads.misplaced())
def test_what_is_no_file_is_refused(what, tmp_path):
    for name in ONE_OF_EACH:
        kind = readers.kind_of(name)
        for number, file in enumerate(sorted(file for file, content in kind.files.items() if content)):
            folder = tmp_path / f"{name}{number}"
            for other, content in kind.files.items():
                (folder / other).parent.mkdir(parents=True, exist_ok=True)
                if other != file:
                    (folder / other).write_bytes(content)
            payloads.misplaced()[what](folder / file)
            outcome = readers.check(name, {}, folder)
            assert outcome.kind in ("read", "refused"), (name, file, outcome)


def test_a_far_place_of_a_pickle_s_memo_is_refused_before_all_below_it_is_allocated(tmp_path):
    content = readers.kind_of("irn_labels").files["cls_labels.npy"]
    start = content.index(b"\x80")  # where the pickle begins; its protocol follows
    far = content[: start + 2] + b"Nr" + (2**31 - 1).to_bytes(4, "little") + b"0" + content[start + 2 :]
    outcome = readers.check("irn_labels", {"cls_labels.npy": far}, tmp_path)
    assert outcome.kind == "refused", outcome
    assert "place 2147483647" in outcome.said
