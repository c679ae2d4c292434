"""Photos of colored discs in VOC's layout, with ground-truth masks and seeds close to them."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from torchbas import data
from torchbas.config import IRN_TRAINING, SEGMENTER_TRAINING, Segmentation
from torchbas.export.voc import write_labels
from torchbas.structures import Dataset
from torchbas.wsss import pipeline
from torchbas.wsss.cache import Silent
from torchbas.wsss.seeds.files import Seed, quarter, write_seed
from torchbas.wsss.seeds.sources import SeedFolder
from torchbas.wsss.setup import ComputeOptions, InitialWeights

CLASSES = ("red", "green", "blue")
SIZES = ((40, 56), (56, 40), (40, 56))
SETTINGS = Segmentation(
    scales=(1.0,),
    irn=replace(IRN_TRAINING, batch_size=4, steps=3, resize=48, crop=48),
    segmenter_network="deeplabv2_tiny",
    segmenter=replace(SEGMENTER_TRAINING, steps=3, batch_size=2, resize=33, crop=33),
)


def draw(root: Path, train: int = 5, **splits: int) -> Dataset:
    """That many photos of each split, each with a disc of one class; every third also has one of another."""
    counts, rows = {"train": train, **splits}, ["image,labels"]
    (root / "JPEGImages").mkdir(parents=True)
    for split, count in counts.items():
        (root / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
        names = [f"{split}_{number}" for number in range(count)]
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(names))
        for number, name in enumerate(names):
            labels = {number % 3} | ({(number + 1) % 3} if number % 3 == 2 else set())
            mask = disc(SIZES[number % 3], sorted(labels))
            write_labels(root / f"SegmentationClass/{name}.png", mask)
            sample(mask, number).save(root / f"JPEGImages/{name}.png")
            rows.append(f"{name},{';'.join(CLASSES[label] for label in sorted(labels))}")
    (root / "classes.txt").write_text("\n".join(CLASSES))
    (root / "image_labels.csv").write_text("\n".join(rows))
    return data.read(root)


def disc(size: tuple[int, int], labels: list[int]) -> np.ndarray:
    """A label map with a disc for each class, its rim ignored."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask = np.zeros(size, np.uint8)
    for number, label in enumerate(labels):
        distance = np.hypot(rows - 14 - 14 * number, columns - 14 - 12 * number)
        mask[distance < 11], mask[distance < 10] = 255, label + 1
    return mask


def sample(mask: np.ndarray, seed: int) -> Image.Image:
    """The discs in their colors on noise."""
    pixels = np.random.default_rng(seed).integers(60, 110, (*mask.shape, 3), np.uint8)
    for label in range(3):
        pixels[mask == label + 1, label] += 120
    return Image.fromarray(pixels)


def seeds_of(dataset: Dataset, folder: Path) -> Path:
    """Seeds of the training photos: blurred ground truth."""
    for one in dataset.only("train", "").samples:
        mask = data.read_mask(one.mask)
        height, width = quarter(mask.shape)
        maps = [Image.fromarray((mask == label + 1) * np.uint8(255)).resize((width, height)) for label in one.labels]
        stacked = (
            np.stack([np.asarray(each, np.float32) / 255 for each in maps]) if maps else np.zeros((0, height, width))
        )
        tags = tuple(dataset.classes[label] for label in one.labels)
        write_seed(folder / Path(one.name).with_suffix(".npz"), Seed(stacked.astype(np.float32), tags, mask.shape))
    return folder


class Deadly:
    """A bar that kills its process without a warning when a piece of work has come so far."""

    def __init__(self, at: int) -> None:
        self.at = at

    def each(self, items: Iterable[Any], total: int) -> Iterator[Any]:  # noqa: ARG002
        """The items, up to the deadly one."""
        for number, item in enumerate(items, start=1):
            yield item
            self.step(number, 0, {})

    def step(self, done: int, total: int, losses: dict[str, float]) -> None:  # noqa: ARG002
        """The end, when it is time."""
        if done == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def run(root: Path, seeds: Path, out: Path, deadly: str = "", at: int = 0) -> None:
    """A whole run of the pipeline on a drawn folder; it dies in the work of that name."""
    pipeline.BACKBONE = "test_resnet"
    progress = lambda name: nullcontext(Deadly(at) if name == deadly else Silent())  # noqa: E731
    compute = ComputeOptions(device="cpu", progress=progress)
    weights = InitialWeights(irn=False, segmenter=False, initialization="none")
    how = {"settings": SETTINGS, "weights": weights, "compute": compute, "objects": "instances"}
    pipeline.Pipeline(data.read(root), out, [SeedFolder("blurred", seeds)], **how).run()
