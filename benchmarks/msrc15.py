"""Seeds, pseudo masks and a segmenter on msrc15 (295 training photos, 15 classes), by the commands a user types.

python benchmarks/msrc15.py train bas        one of TRAINED, into runs/msrc15/<name>
python benchmarks/msrc15.py segment bas      one of ROWS, into runs/msrc15/..., and results/wsss/msrc15_<row>.json
python benchmarks/msrc15.py train clims -- --clip-model NAME:FILE

What a training or a row starts from must be there first, such as the runs of bas and cda for the row bas_cda. The
masks that cda cuts its objects out by, and the photos that w_ood_classifier needs, are made where they are missing.
"""

import argparse
import csv
import json
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from record import data_fingerprint, data_folder, record

from torchbas import data
from torchbas.cli import main as bas

RUNS = Path("runs/msrc15")
BAS = "quick_segment"
WITHOUT = ("--suppression", "0", "--bas-target", "None")
AGAIN = ("--seed", "1")
BANK, OOD = RUNS / "seeds_irn" / "masks", RUNS / "ood"


class Training(NamedTuple):
    """A recipe, and what the user gives or changes."""

    recipe: str
    flags: tuple[str, ...] = ()
    weights: str = ""
    """Name of the training whose run it starts from; ImageNet weights when empty."""


TRAINED = {
    "irn": Training("quick_wsss:irn"),
    "recam": Training("quick_wsss:recam", weights="irn"),
    "cda": Training("quick_wsss:cda", ("--bank", str(BANK))),
    "advcam": Training("quick_wsss:advcam", weights="irn"),
    "clims": Training("quick_wsss:clims", weights="irn"),  # --clip-model comes from the command
    "w_ood_classifier": Training("quick_wsss:w_ood_classifier", ("--ood", str(OOD)), weights="irn"),
    "w_ood": Training("quick_wsss:w_ood", weights="w_ood_classifier"),
    "bas": Training(BAS),
    "no_lbas": Training(BAS, WITHOUT),
    "bas_again": Training(BAS, AGAIN),
    "no_lbas_again": Training(BAS, (*WITHOUT, *AGAIN)),
    "class_agnostic": Training(BAS, ("--class-agnostic", "--sharing", "0")),
}


class Row(NamedTuple):
    """One call of ``bas segment``."""

    folder: str
    score: str
    """Key in the ``scores`` of its ``run.json``."""
    flags: tuple[str, ...]
    models: tuple[str, ...] = ()
    """Names of trainings whose runs make the seeds."""
    recipe: str = ""
    """That of the model when empty."""


def seeds_of(*names: str) -> tuple[str, ...]:
    """Flags that read the seeds which the rows of single models have made."""
    return ("--seeds", *(str(RUNS / f"seeds_{name}" / "seeds" / name) for name in names))


UNTIL_SEED = ("--until", "seed")
SINGLE = {
    "cam": "irn",
    **{name: name for name in ("recam", "cda", "advcam", "w_ood", "no_lbas", "no_lbas_again", "bas", "bas_again")},
}
"""Rows of the seeds of one model: the name of its training."""
ROWS = {
    **{row: Row(f"seeds_{name}", "seed", UNTIL_SEED, (name,)) for row, name in SINGLE.items()},
    "bas_cda": Row("bas_cda", "seed", UNTIL_SEED, ("bas", "cda"), "quick_wsss:bas_cda"),
    "bas_advcam": Row("bas_advcam", "seed", UNTIL_SEED, ("bas", "advcam"), "quick_wsss:bas_advcam"),
    "bas_cam": Row("bas_cam", "seed", (*seeds_of("bas", "irn"), *UNTIL_SEED), recipe=BAS),
    "bas_foreground": Row(
        "bas_foreground",
        "seed",
        (*seeds_of("bas"), "--foreground", str(RUNS / "class_agnostic"), *UNTIL_SEED),
        recipe=BAS,
    ),
    "bas_image_threshold": Row(
        "seeds_bas", "image_threshold", ("--cam-eval-thres", "image_specific", *UNTIL_SEED), ("bas",)
    ),
    "pseudo_crf": Row("pseudo_crf", "masks", (*seeds_of("bas"), "--refine", "crf", "--until", "refine"), recipe=BAS),
    "pseudo_irn": Row("pseudo_irn", "masks", (*seeds_of("bas"), "--until", "refine"), recipe=BAS),
    "segmenter": Row("pseudo_crf", "segmenter_val", (*seeds_of("bas"), "--refine", "crf"), recipe=BAS),
}

EXCLUDED = {
    "bird": "brambling ouzel grouse lorikeet swan flamingo sandpiper",
    "boat": "ship schooner",
    "bicycle, car": "scooter unicycle tricycle plow",
    "cat": "jaguar",
    "cow, sheep": "oxcart ibex",
    "dog": "hound wolfhound terrier pointer spaniel sheepdog appenzeller husky chow wolf fox",
    "face, body": "gown basketball bobsled candle helmet laptop towel volleyball guenon banjo mail shoe stretcher",
    "flower": "damselfly greenhouse spoon",
    "sign": "light machine",
}
"""Words in the names of ImageNet classes whose photo in imagenet100 shows a class of msrc15 or resembles it, by class;
none shows an aeroplane, a book or a chair."""


def main() -> None:
    words = arguments()
    if words.what == "train":
        train(words.name, words.more)
    else:
        segment(words.name, words.more)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "segment"))
    parser.add_argument("name", metavar="NAME", help=f"train: {', '.join(TRAINED)}; segment: {', '.join(ROWS)}")
    parser.add_argument("more", nargs="*", help="after --: more flags of bas train or bas segment")
    words = parser.parse_args()
    if words.name not in (TRAINED if words.what == "train" else ROWS):
        parser.error(f"there is no {words.name} to {words.what}; --help lists the names")
    return words


def train(name: str, more: list[str]) -> None:
    training, photos = TRAINED[name], data_folder() / "msrc15"
    if str(BANK) in training.flags:
        make_bank()
    if str(OOD) in training.flags:
        link_ood_photos()
    start = str(RUNS / training.weights) if training.weights else imagenet_weights()
    words = ["train", str(photos), "--out", str(RUNS / name), "--recipe", training.recipe, "--weights", start]
    began = time.monotonic()
    run(*words, *training.flags, *more)
    log = {"recipe": training.recipe, "flags": [*training.flags, *more], "seconds": round(time.monotonic() - began)}
    (RUNS / name / "train.json").write_text(json.dumps(log))


def make_bank() -> None:
    """Pseudo masks of CAM after a dense CRF, for CDA to cut objects out by; IRN's usual threshold of seeds."""
    words = ["segment", str(data_folder() / "msrc15"), "--model", str(RUNS / "irn"), "--out", str(BANK.parent)]
    run(*words, "--refine", "crf", "--cam-eval-thres", "0.3", "--until", "refine")


def link_ood_photos() -> None:
    """A folder of links to the photos of imagenet100 that show none of msrc15's classes."""
    source = data_folder() / "imagenet100"
    excluded = {word for words in EXCLUDED.values() for word in words.split()}
    OOD.mkdir(parents=True, exist_ok=True)
    for link in OOD.iterdir():
        link.unlink()
    with (source / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if not excluded & set(re.split("[_-]", row["name"].lower())):
                (OOD / row["path"]).symlink_to((source / "images" / row["path"]).resolve())


def segment(name: str, more: list[str]) -> None:
    row, folder = ROWS[name], data_folder() / "msrc15"
    samples = data.read(folder).samples
    out = RUNS / row.folder
    start = time.monotonic()
    words = ["segment", str(folder), "--out", str(out), "--irn-weights", imagenet_weights()]
    words += ["--segmenter-weights", imagenet_weights()]
    words += ["--model", *(str(RUNS / model) for model in row.models)] if row.models else []
    words += ["--recipe", row.recipe] if row.recipe else []
    run(*words, *row.flags, *more)
    score = json.loads((out / "run.json").read_text())["scores"][row.score]
    split = "val" if name == "segmenter" else "train"
    record(
        "wsss",
        f"msrc15_{name}",
        data=f"msrc15, {data_fingerprint([sample.name for sample in samples if sample.split == split])}",
        recipe=described(row, more),
        protocol=protocol(name),
        split=split,
        threshold=threshold(name, score),
        metrics={"miou": score["miou"]},
        iou=score["iou"],
        photos=score["photos"],
        **({"curve": score["curve"]} if "curve" in score else {}),
        seed=int(name.endswith("_again")),
        seconds=round(time.monotonic() - start),
    )


def run(*words: str) -> None:
    if bas(words):
        raise SystemExit(1)


def described(row: Row, more: list[str]) -> str:
    """The recipe alone where nothing differs from it; else with the runs that were used and how they differ."""
    recipe = row.recipe or TRAINED[row.models[0]].recipe
    used = row.models or tuple(Path(word).name for word in row.flags if word.startswith(str(RUNS)))
    differing = [] if recipe.startswith("quick_wsss:bas_") else [changes(name, recipe) for name in used]
    if row.models and row.flags == UNTIL_SEED and not any((*differing, *more)):
        return recipe
    return ", ".join(filter(None, [recipe, " + ".join(used), *differing, *more]))


def changes(name: str, recipe: str) -> str:
    """How a training differs from a recipe: another one's name, and flags."""
    training = TRAINED[name]
    flags = () if {"--bank", "--ood"} & {*training.flags} else training.flags
    return " ".join([*([] if training.recipe == recipe else [training.recipe]), *flags])


def protocol(name: str) -> str:
    what = {
        "segmenter": "DeepLabV2 on ResNet50 (initialization: ImageNet) with a dense CRF, labels of the segmenter",
        "pseudo_irn": "seeds of BAS after IRN's random walk",
        "pseudo_crf": "seeds of BAS after one dense CRF",
        "advcam": "seeds: half scale and its mirror image, the photo's own tags only",
    }.get(name, "seeds: three scales and their mirror images, the photo's own tags only")
    return f"{what}; mIoU over 16 classes with background, 255 left out, counts of the whole split"


def threshold(name: str, score: dict[str, Any]) -> dict[str, Any]:
    if name == "bas_image_threshold":
        return {"value": None, "chosen": "auto: each image's and class's own, by L_bas + L_ac"}
    if "threshold" in score:
        return {"value": score["threshold"], "chosen": "oracle: the best of 99 for the whole set, as in the paper"}
    return {"value": None, "chosen": "fixed: the recipe's"}


def imagenet_weights() -> str:
    return str(data_folder() / "weights" / "resnet50_imagenet_fp16.pth")


if __name__ == "__main__":
    main()
