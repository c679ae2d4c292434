"""Where `bas label` works and where it does not: drawn and real folders of tagged photos, scored after.

python benchmarks/folders.py NAME... [--seeds 0 1] [--more FLAGS OF BAS LABEL]
python benchmarks/folders.py --list

For each folder and seed one `bas label` as a user types it, into results/folders/<name>_<seed>.json: BAS, CAM and
Layer-CAM of the same network, and a centered box of 80 % of the sides. With more flags it is BAS alone, into
results/changed/.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from drawn import Design, draw, texture
from jaxtyping import Bool
from PIL import Image
from record import data_folder, record
from torchmetrics.functional.classification import binary_auroc
from torchvision.ops import box_iou

from torchbas import api, data
from torchbas.cam import auto_threshold, class_activation, normalize, upsample
from torchbas.cli import job
from torchbas.cli import main as bas
from torchbas.cli.job import Job
from torchbas.inference.boxes import largest_box
from torchbas.inference.localizer import Localizer
from torchbas.localization import Localization
from torchbas.structures import Dataset

Box = tuple[float, float, float, float]


class Truth(NamedTuple):
    """Ground truth of a photo; a box is right that meets any true one."""

    boxes: list[Box]
    mask: Bool[np.ndarray, "H W"] | None = None


Cell = Callable[[Path, int], dict[str, Truth]]
"""Writes photos into a folder, by a seed, and returns the ground truth by ``tag/file``."""


def drawn(design: Design, folder: Path, seed: int) -> dict[str, Truth]:
    """A drawn set."""
    truth = {}
    for number, one in enumerate(draw(design, seed)):
        name = f"{one.tag or '_background'}/{number:04}.jpg"
        (folder / name).parent.mkdir(exist_ok=True)
        one.image.save(folder / name, quality=90)
        if one.tag:
            truth[name] = Truth(one.boxes, one.mask)
    return truth


def birds(species: tuple[int, ...], folder: Path, _: int, *, enlarged: float = 1.0) -> dict[str, Truth]:
    """Training photos of some species of cub25, each set into a background ``enlarged`` times as wide and high."""
    dataset, rng = data.read(data_folder() / "cub25").only("train"), np.random.default_rng(0)
    truth = {}
    for sample in dataset.samples:
        if sample.labels[0] not in species:
            continue
        name = f"{dataset.classes[sample.labels[0]]}/{sample.path.name}"
        image, shift = Image.open(sample.path).convert("RGB"), (0, 0)
        if enlarged > 1:
            width, height = round(image.width * enlarged), round(image.height * enlarged)
            ground = np.clip(cv2.resize(texture(rng, 256), (width, height)), 0, 255).astype(np.uint8)
            shift = (int(rng.integers(width - image.width)), int(rng.integers(height - image.height)))
            canvas = Image.fromarray(ground)
            canvas.paste(image, shift)
            image = canvas
        (folder / name).parent.mkdir(exist_ok=True)
        image.save(folder / name, quality=92)
        (x, y), boxes = shift, [*sample.boxes]
        truth[name] = Truth([(x0 + x, y0 + y, x1 + x, y1 + y) for x0, y0, x1, y1 in boxes])
    return truth


def msrc(tags: tuple[str, ...], folder: Path, _: int) -> dict[str, Truth]:
    """Photos of msrc15 with one tag, of these or all; a box of each component of its mask, and one of all of it."""
    dataset = data.read(data_folder() / "msrc15")
    truth = {}
    for sample in dataset.samples:
        if len(sample.labels) != 1 or not sample.mask or (tags and dataset.classes[sample.labels[0]] not in tags):
            continue
        mask = data.label_map(sample) == sample.labels[0] + 1
        name = f"{dataset.classes[sample.labels[0]]}/{sample.path.name}"
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(sample.path.resolve())
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        rows, columns = np.nonzero(mask)
        parts = [(x, y, x + width, y + height) for x, y, width, height, _ in stats[1:].tolist()]
        whole = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        truth[name] = Truth([_box(*box) for box in (*parts, whole)], mask)
    return truth


def _box(x0: float, y0: float, x1: float, y1: float) -> Box:
    return float(x0), float(y0), float(x1), float(y1)


def steel(folder: Path, _: int) -> dict[str, Truth]:
    """All of neu300."""
    source = data_folder() / "neu300"
    truth = {}
    for name, one in json.loads((source / "truth.json").read_text()).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to((source / name).resolve())
        truth[name] = Truth([_box(*box) for box in one["boxes"]])
    return truth


DEFECTS = ((0.002, 0.006), (0.01, 0.03), (0.03, 0.08), (0.08, 0.15), (0.15, 0.25))
CELLS: dict[str, Cell] = {
    "cub25": partial(birds, tuple(range(25))),
    "cub2": partial(birds, (8, 16)),
    "cub3": partial(birds, (4, 11, 20)),
    "cub3_alike": partial(birds, (4, 5, 7)),
    "cub6": partial(birds, (0, 3, 9, 13, 16, 21)),
    "cub6_enlarged": partial(birds, (0, 3, 9, 13, 16, 21), enlarged=2.0),
    "msrc15": partial(msrc, ()),
    "cat_dog": partial(msrc, ("cat", "dog")),
    "cow_sheep": partial(msrc, ("cow", "sheep")),
    "car_flower_cat": partial(msrc, ("car", "flower", "cat")),
    "neu300": steel,
    "tiny": partial(drawn, Design(6, 40, (0.003, 0.01))),
    "small": partial(drawn, Design(5, 40, (0.03, 0.1))),
    "middle": partial(drawn, Design(4, 40, (0.1, 0.3))),
    "large": partial(drawn, Design(4, 40, (0.3, 0.6))),
    "any_size": partial(drawn, Design(5, 40, (0.01, 0.6))),
    "two_tags": partial(drawn, Design(2, 60, (0.05, 0.3))),
    "twenty_tags": partial(drawn, Design(20, 15, (0.05, 0.3))),
    "alike": partial(drawn, Design(3, 40, (0.05, 0.3), alike=True)),
    "alike_small": partial(drawn, Design(3, 40, (0.02, 0.06), alike=True)),
    "several": partial(drawn, Design(4, 40, (0.02, 0.06), objects=(2, 5))),
    "several_large": partial(drawn, Design(3, 40, (0.08, 0.15), objects=(2, 3))),
    "with_background": partial(drawn, Design(3, 40, (0.05, 0.2), background=120)),
    "many_photos": partial(drawn, Design(3, 200, (0.05, 0.3))),
    "factory": partial(drawn, Design(5, 76, DEFECTS, gray=True, contrast=0.5, background=250)),
    "factory_all_defects": partial(drawn, Design(5, 76, DEFECTS, gray=True, contrast=0.5)),
}


def main() -> None:
    words = arguments()
    for name in words.names:
        for seed in words.seeds:
            measure(name, seed, words.more)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CELLS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--list", action="store_true", help="print the names, one a line")
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="flags of bas label")
    words = parser.parse_args()
    if words.list:
        parser.exit(0, "\n".join(CELLS) + "\n")
    for name in words.names:
        if name not in CELLS:
            parser.error(f"there is no folder {name}; --list prints the names")
    return words


class Kept(Job):
    """The job of `bas label`, which keeps what it found, so that the bench need not localize again."""

    found: Sequence[Localization] = ()

    def write(self, found: Sequence[Localization], *words: Any, **more: Any) -> dict[str, Any]:
        Kept.found = found
        return super().write(found, *words, **more)


def measure(name: str, seed: int, more: list[str]) -> None:
    """Label one folder, and record how well."""
    job.Job = Kept
    full_name = "_".join([name, str(seed), *(word.strip("-") for word in more)])
    backbone = more[more.index("--backbone") + 1] if "--backbone" in more else "mobilenetv1"
    weights = str(data_folder() / "weights" / f"{backbone}_imagenet_fp16.pth")
    with tempfile.TemporaryDirectory() as scratch:
        photos, out = Path(scratch, "photos"), Path("runs", "folders", full_name)
        photos.mkdir()
        truth = CELLS[name](photos, seed)
        began, cpu = time.monotonic(), time.process_time()
        command = ["label", str(photos), "--out", str(out), "--weights", weights, "--seed", str(seed), "--overwrite"]
        if bas([*command, "--quiet", *more]):
            raise SystemExit(1)
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        run = json.loads((out / "run.json").read_text())
        localizer = api.load(out)
        methods = {"bas": Kept.found} if more else {"bas": Kept.found, "layercam": layercam(photos, localizer)}
        scores = {method: score({one.name: found_of(one) for one in found}, truth) for method, found in methods.items()}
        if not more:
            scores["cam"] = score(cam(data.read(photos), localizer), truth)
        scores["centered_box"] = score({key: centered(one) for key, one in sizes_of(truth, photos).items()}, truth)
    states = [one["state"] for one in run.get("tags", [])]
    record(
        "changed" if more else "folders",
        full_name,
        data=f"{name}, {len(truth)} photos with {len(states)} tags, {run['photos'] - len(truth)} without",
        recipe=" ".join([localizer.recipe, *more]),
        protocol="largest component of each photo's own tag; a box is right with IoU >= .5 with any true one",
        split="the photos that were trained on",
        threshold={"value": localizer.inference.threshold, "chosen": "fixed: the recipe's"},
        metrics={f"{method}_{name}": value for method, found in scores.items() for name, value in found.items()},
        states={state: states.count(state) for state in dict.fromkeys(states)},
        stages=run["seconds"],
        seed=seed,
        seconds=round(seconds),
        cpu_seconds=round(cpu),
    )
    print(name, seed, json.dumps(scores), f"{seconds:.0f} s", flush=True)


class Found(NamedTuple):
    """What a method says of a photo's tag."""

    box: Box | None
    """None where it found nothing."""
    peak: tuple[int, int] = (0, 0)
    """x, y of the heatmap's maximum, in pixels."""
    mask: Bool[np.ndarray, "H W"] | None = None
    score: float = 0.0
    confidence: float = 0.0


def layercam(photos: Path, localizer: Localizer) -> list[Localization]:
    """Layer-CAM of the same network at its own threshold, drawn to the edges like the maps of BAS."""
    other = replace(localizer, inference=replace(localizer.inference, layercam=localizer.classes))
    return [*api.predict(data.read(photos), other)]


def found_of(one: Localization) -> Found:
    y, x = np.unravel_index(one.heatmap.argmax(), one.size)
    return Found(one.xyxy, (int(x), int(y)), one.mask, one.score, one.confidence)


@torch.inference_mode()
def cam(dataset: Dataset, localizer: Localizer) -> dict[str, Found]:
    """CAM of the same network, at the auto threshold."""
    network = localizer.model.eval()
    device, found = next(network.parameters()).device, {}
    tagged = replace(localizer.with_own_classes(dataset), samples=tuple(s for s in dataset.samples if s.labels))
    loader = data.evaluation_loader(tagged, partial(data.whole_view, size=localizer.resize), 16)
    for batch in loader:
        images = data.standardize(batch.images.to(device), *network.normalization)
        labels = batch.labels.to(device).argmax(dim=1)
        encoded = network.encode(images)
        maps = normalize(class_activation(encoded.class_maps, labels))
        maps = upsample(maps, (encoded.features.shape[2], encoded.features.shape[3]))
        thresholds = auto_threshold(maps).tolist()
        for index, size, grid, threshold in zip(batch.index, batch.size, maps.cpu().numpy(), thresholds, strict=True):
            height, width = size.tolist()
            heatmap = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
            y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
            name = tagged.samples[int(index)].name
            found[name] = Found(largest_box(heatmap, threshold), (int(x), int(y)), heatmap > threshold)
    return found


def sizes_of(truth: dict[str, Truth], photos: Path) -> dict[str, tuple[int, int]]:
    return {name: data.image_size(photos / name) for name in truth}


def centered(size: tuple[int, int], share: float = 0.8) -> Found:
    """A centered box of 80 % of each side."""
    height, width = size
    (x, y), mask = (width * (1 - share) / 2, height * (1 - share) / 2), np.zeros(size, bool)
    mask[round(y) : round(height - y), round(x) : round(width - x)] = True
    return Found((x, y, width - x, height - y), (width // 2, height // 2), mask)


def score(found: dict[str, Found], truth: dict[str, Truth]) -> dict[str, float]:
    """GT-known, pointing game and mask IoU in percent; AUROC of score and confidence for boxes that are right."""
    right, pointed, overlap, scores, confidences = [], [], [], [], []
    for name, true in truth.items():
        one = found.get(name, Found(None))
        iou = box_iou(torch.tensor([one.box]), torch.tensor(true.boxes)).max().item() if one.box else 0.0
        right.append(iou >= 0.5)
        inside = any(x0 <= one.peak[0] < x1 and y0 <= one.peak[1] < y1 for x0, y0, x1, y1 in true.boxes)
        pointed.append(bool(one.box) and (bool(true.mask[one.peak[::-1]]) if true.mask is not None else inside))
        if true.mask is not None:
            mask = np.zeros_like(true.mask) if one.mask is None else one.mask
            overlap.append((mask & true.mask).sum() / max((mask | true.mask).sum(), 1))
        scores.append(one.score)
        confidences.append(one.confidence)
    rates = {"gt_known": right, "pointing": pointed, **({"mask_iou": overlap} if overlap else {})}
    result: dict[str, float] = {key: round(100 * float(np.mean(values)), 1) for key, values in rates.items()}
    if any(scores):
        for key, values in (("auroc_score", scores), ("auroc_confidence", confidences)):
            if len(set(right)) == 2:
                result[key] = round(binary_auroc(torch.tensor(values), torch.tensor(right)).item(), 3)
    return result


if __name__ == "__main__":
    main()
