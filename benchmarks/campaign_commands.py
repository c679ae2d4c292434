"""Commands on mutated folders, lists, cards, weights and flags: how each ends, and what it leaves."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mutations import NUMBERS, mutated
from sandbox import Outcome, watched

from torchbas.cli import main
from torchbas.data import make_demo_dataset, read
from torchbas.wsss import pipeline

PATIENCE = 600
"""Seconds until a command hangs; most take one."""
TINY = (
    "--backbone test_resnet --weights none --hidden 8 --resize 40 --crop 36 --steps 2 --batch-size 4 "
    "--precision 32-true --quiet --offline"
)
COMMANDS = {
    "check": "check {in}/photos --quiet",
    "check list": "check {in}/list/tags.csv --quiet",
    "label": "label {in}/photos --out {out}",
    "train list": "train {in}/list/tags.csv --out {out}",
    "label corrected": "label {in}/photos --out {out} --corrected {in}/corrections.json",
    "predict": "predict {in}/photos --model {in}/model --out {out} --quiet --offline",
    "eval": "eval {in}/photos --model {in}/model --out {out} --no-ten-crop --quiet --offline",
    "eval maps": "eval {in}/photos --maps {in}/maps --out {out} --quiet",
    "segment": "segment {in}/photos --model {in}/model --out {out} --until seed --scales 1 --quiet --offline",
    "analyze iou": "analyze iou {in}/tables/images.csv --out {out} --quiet",
    "analyze terms": "analyze terms {in}/model --out {out} --quiet",
    "resume": "train {in}/photos --out {in}/model --resume",
}
"""By name: the words; of ``label`` and ``train`` those of a tiny training follow."""
NUMERIC = ("lr", "area", "suppression", "guidance", "top", "threshold", "min-score", "seed", "batch-size", "crop")
PATHS = ("", "/", "..", "absent", "a/b", "hf-hub:a/b", "\0", "x" * 5000, "-", "--", "é\udcff", "/dev/null")


def words_of(name: str, inputs: Path, out: Path) -> list[str]:
    """The words of a command."""
    words = COMMANDS[name].format(**{"in": inputs, "out": out}).split()
    return words + (TINY.split() if words[0] in ("label", "train") else [])


def make_inputs(folder: Path) -> None:
    """Photos, a list of them, a trained model, maps and tables; each small and valid."""
    make_demo_dataset(folder / "photos", 1, 1, 40)
    photos = sorted((folder / "photos/train").rglob("*.jpg"))
    (folder / "list").mkdir()
    for photo in photos:
        shutil.copy(photo, folder / f"list/{photo.parent.name}.jpg")
    rows = "".join(f"{photo.parent.name}.jpg,{photo.parent.name}\n" for photo in photos)
    (folder / "list/tags.csv").write_text(f"file,tags\n{rows}")
    assert main([word for word in words_of("resume", folder, folder) if word != "--resume"]) == 0
    rng = np.random.default_rng(0)
    for photo in (folder / "photos").rglob("*.jpg"):
        place = folder / "maps" / photo.relative_to(folder / "photos").with_suffix(".npy")
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(place, rng.random((224, 224), np.float32))
    (folder / "corrections.json").write_text(json.dumps(make_corrections(folder / "photos")))
    (folder / "tables").mkdir()
    table = "row,image,class,area,iou,top1,top5\nmaps,a.jpg,cat,0.5,0.25,1,1\nmaps,b.jpg,dog,0.1,0.75,0,1\n"
    (folder / "tables/images.csv").write_text(table)


def make_corrections(photos: Path) -> dict[str, Any]:
    """A box in every photo, as the gallery saves it."""
    dataset = read(photos)
    tags = dataset.classes
    images = [
        {"id": number, "file_name": one.name, "reviewed": [tags[one.labels[0]]]}
        for number, one in enumerate(dataset.samples)
    ]
    boxes = [
        {"image_id": number, "category_id": one.labels[0], "bbox": [5, 8, 20, 16]}
        for number, one in enumerate(dataset.samples)
    ]
    categories = [{"id": number, "name": tag} for number, tag in enumerate(tags)]
    return {"images": images, "annotations": boxes, "categories": categories}


def make_apart(folder: Path) -> None:
    """The same in a process that ends, so that none of its threads lives where others begin."""
    maker = get_context("fork").Process(target=make_inputs, args=(folder,))
    maker.start()
    maker.join()
    assert maker.exitcode == 0, "the commands fail on valid inputs"


def content(folder: Path) -> dict[str, bytes]:
    """The files below a folder."""
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def _changed(rng: np.random.Generator, words: list[str], inputs: Path) -> list[str]:
    """The words of a command, of which one was changed, or as they are, where a file of its input was."""
    if rng.random() < 0.3:
        flag, value = NUMERIC[rng.integers(len(NUMERIC))], NUMBERS[rng.integers(len(NUMBERS))].decode()
        if rng.random() < 0.7:
            return [*words, f"--{flag}", value]
        place = 1 + int(rng.integers(len(words) - 1))
        return [*words[:place], PATHS[rng.integers(len(PATHS))], *words[place + 1 :]]
    read = [word for word in words if word.startswith(str(inputs))]
    files = [
        file
        for word in (read[0], *read[-1:])
        for file in ([Path(word)] if Path(word).is_file() else sorted(Path(word).rglob("*")))
        if file.is_file() and not file.name.startswith(("events.", "."))
    ]
    for _ in range(rng.integers(1, 4)):
        one, other = (files[rng.integers(len(files))] for _ in range(2))
        one.write_bytes(mutated(rng, one.read_bytes(), other.read_bytes()))
    return words


def _ended(words: list[str]) -> Outcome:
    """How a command ended, as the user sees it."""
    sys.argv = ["bas", *words]
    with watched() as seen:
        try:
            code = main()  # without words of its own it raises nothing
        except SystemExit as end:  # flags that cannot be understood
            code = end.code
        except Exception as error:
            trace = error.__traceback__
            while trace and trace.tb_next:
                trace = trace.tb_next
            where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
            return Outcome("traceback", f"{type(error).__name__} at {where}: {error} ({' '.join(words)[:200]})"[:400])
    return Outcome("code run", "; ".join(seen)) if seen else Outcome(f"exit {code}")


def prepare(place: Path, seed: int) -> tuple[Callable[[int], tuple[str, Outcome]], Callable[[int], str]]:
    """What runs a case, and what says which command it is."""
    os.environ["MPLBACKEND"] = "agg"
    pipeline.BACKBONE = "test_resnet"
    torch.set_num_threads(1)
    made = place / "made"
    made.mkdir()
    make_apart(made)
    valid = content(made)
    names = list(COMMANDS)

    def name_of(number: int) -> str:
        return names[np.random.default_rng((seed, number)).integers(len(names))]

    def run(number: int) -> tuple[str, Outcome]:
        name, rng = name_of(number), np.random.default_rng((seed, number, 1))
        case, out = place / "case", place / "case/out"
        shutil.rmtree(case, ignore_errors=True)
        inputs = Path(shutil.copytree(made, case / "in"))
        words = _changed(rng, words_of(name, inputs, out), inputs)
        before = content(case)
        os.chdir(case)  # a relative path that a mutation has made leads to here
        outcome = _ended(words)
        given = words[words.index("--out") + 1] if "--out" in words[:-1] else ""
        mine = f"{os.path.relpath(given, case)}/" if given and "\0" not in given else "out/"
        after = content(case)
        other = [file for file in before | after if not file.startswith(mine) and before.get(file) != after.get(file)]
        if made_of(valid) != made_of(content(made)):
            other.append("made")
        return name, Outcome("files outside changed", f"{other[0]} ({' '.join(words)[:200]})") if other else outcome

    return run, name_of


def made_of(files: dict[str, bytes]) -> dict[str, int]:
    """Sizes of files by name."""
    return {name: len(one) for name, one in files.items()}


if __name__ == "__main__":
    sys.exit("run python benchmarks/campaign.py commands")
