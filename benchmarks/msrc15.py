"""Seeds, masks and a student on msrc15 (295 photos to learn from, 15 classes), by the commands a user types.

python benchmarks/msrc15.py train bas        one of TRAINED, into runs/msrc15/<name>
python benchmarks/msrc15.py segment bas      one of ROWS, into runs/msrc15/..., and results/wsss/msrc15_<row>.json
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from record import data_fingerprint, data_folder, record

from torchbas import data
from torchbas.cli import main as bas

RUNS = Path("runs/msrc15")
RECIPE = "quick_segment"
TRAINED: dict[str, list[str]] = {
    "irn": ["--method", "irn", "--stem", "frozen", "--lr", "0.03"],
    "recam": [
        "--method",
        "recam",
        "--weights",
        str(RUNS / "irn"),
        "--steps",
        "72",
        "--new-layers",
        "100",
        "--stem",
        "frozen",
    ],
    "no_lbas": ["--suppression", "0"],
    "bas": [],
    "agnostic": ["--agnostic", "--sharing", "0"],
    "bas_not_centred": ["--no-centred"],
    "bas_not_shared": ["--sharing", "0"],
    "bas_half": ["--guidance", "0.5", "--area", "1.5"],
    "bas_warm": ["--area-steps", "60"],
}
"""What is trained, and how it differs from the recipe; IRN's loss is a mean over classes, hence its rate."""
SEEDS = {name: str(RUNS / f"seeds_{name}" / "seeds" / name) for name in ("bas", "irn")}
ROWS: dict[str, tuple[str, str, list[str]]] = {
    "cam": ("seeds_irn", "seed", ["--model", str(RUNS / "irn"), "--until", "seed"]),
    "recam": ("seeds_recam", "seed", ["--model", str(RUNS / "recam"), "--until", "seed"]),
    **{
        name: (f"seeds_{name}", "seed", ["--model", str(RUNS / name), "--until", "seed"])
        for name in ("no_lbas", "bas", "bas_not_centred", "bas_not_shared", "bas_half", "bas_warm")
    },
    "bas_cam": ("bas_cam", "seed", ["--seeds", SEEDS["bas"], SEEDS["irn"], "--until", "seed"]),
    "bas_foreground": (
        "bas_foreground",
        "seed",
        ["--seeds", SEEDS["bas"], "--foreground", str(RUNS / "agnostic"), "--until", "seed"],
    ),
    "bas_image_threshold": (
        "seeds_bas",
        "image_threshold",
        ["--model", str(RUNS / "bas"), "--cut", "image", "--until", "seed"],
    ),
    "pseudo_crf": ("pseudo_crf", "masks", ["--seeds", SEEDS["bas"], "--refine", "crf", "--until", "refine"]),
    "pseudo_irn": ("pseudo_irn", "masks", ["--seeds", SEEDS["bas"], "--until", "refine"]),
    "student": ("pseudo_crf", "student_val", ["--seeds", SEEDS["bas"], "--refine", "crf"]),
}
"""Folder, the score that counts, and the words of bas segment."""


def main() -> None:
    words = arguments()
    if words.what == "train":
        train(words.name, words.more)
    else:
        segment(words.name, words.more)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "segment"))
    parser.add_argument("name", choices=sorted({*TRAINED, *ROWS}))
    parser.add_argument("more", nargs="*", help="after --: more words for bas")
    return parser.parse_args()


def train(name: str, more: list[str]) -> None:
    folder = data_folder()
    own = TRAINED[name]
    words = ["train", str(folder / "msrc15"), "--out", str(RUNS / name), "--recipe", RECIPE]
    start = [] if "--weights" in own else ["--weights", weights()]
    start_time = time.monotonic()
    if bas([*words, *start, *own, *more]):
        raise SystemExit(1)
    seconds = round(time.monotonic() - start_time)
    (RUNS / name / "train.json").write_text(json.dumps({"words": [*own, *more], "seconds": seconds}))


def segment(row: str, more: list[str]) -> None:
    folder = data_folder() / "msrc15"
    photos = data.read(folder)
    place, score_name, own = ROWS[row]
    out = RUNS / place
    start = time.monotonic()
    words = ["segment", str(folder), "--out", str(out), "--recipe", RECIPE, "--weights", weights()]
    if bas([*words, "--student-weights", weights(), *own, *more]):
        raise SystemExit(1)
    score = json.loads((out / "run.json").read_text())["scores"][score_name]
    split = "val" if row == "student" else "train"
    record(
        "wsss",
        f"msrc15_{row}",
        data=f"msrc15, {data_fingerprint([photo.name for photo in photos.photos if photo.split == split])}",
        recipe=f"{RECIPE}{described(own, more)}",
        protocol=protocol(row),
        split=split,
        threshold=threshold(row, score),
        metrics={"miou": score["miou"]},
        iou=score["iou"],
        photos=score["photos"],
        **({"curve": score["curve"]} if "curve" in score else {}),
        seed=0,
        seconds=round(time.monotonic() - start),
    )


def described(own: list[str], more: list[str]) -> str:
    runs = [Path(word).name for word in own if word.startswith(str(RUNS))]
    trained = [
        " ".join(word for word in TRAINED[run] if not word.startswith(str(RUNS))) for run in runs if run in TRAINED
    ]
    said = [" + ".join(runs), *trained, *more]
    return "".join(f", {part}" for part in said if part)


def protocol(row: str) -> str:
    what = {
        "student": "DeepLabV2 on ResNet50 (initialisation: ImageNet) with a dense CRF, labels of the student",
        "pseudo_irn": "seeds of BAS after IRN's random walk",
        "pseudo_crf": "seeds of BAS after one dense CRF",
    }.get(row, "seeds: three scales and their mirror images, the photo's own tags only")
    return f"{what}; mIoU over 16 classes with background, 255 left out, counts of the whole split"


def threshold(row: str, score: dict[str, Any]) -> dict[str, Any]:
    if row == "bas_image_threshold":
        return {"value": None, "chosen": "auto: each image's and class's own, by L_bas + L_ac"}
    if "threshold" in score:
        return {"value": score["threshold"], "chosen": "oracle: the best of 99 for the whole set, as in the paper"}
    return {"value": None, "chosen": "fixed: the recipe's"}


def weights() -> str:
    return str(data_folder() / "weights" / "resnet50_imagenet_fp16.pth")


if __name__ == "__main__":
    main()
