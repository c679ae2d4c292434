"""Photos of coloured discs in VOC's layout, with true masks and seeds that nearly know them."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from torchbas import data
from torchbas.config import Segmentation
from torchbas.formats.seeds import Seed, quarter, write_seed
from torchbas.formats.voc import write_labels
from torchbas.segment import pipeline
from torchbas.segment.setup import Machine, Start
from torchbas.segment.sources import Ready
from torchbas.segment.stage import Silent
from torchbas.types import Collection

CLASSES = ("red", "green", "blue")
SIZES = ((40, 56), (56, 40), (40, 56))
SETTINGS = Segmentation(
    scales=(1.0,),
    irn_batch_size=4,
    irn_steps=3,
    irn_crop=48,
    student="deeplabv2_tiny",
    student_steps=3,
    student_batch_size=2,
    student_crop=33,
)


def draw(root: Path, train: int = 5, **splits: int) -> Collection:
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
            photo(mask, number).save(root / f"JPEGImages/{name}.png")
            rows.append(f"{name},{';'.join(CLASSES[label] for label in sorted(labels))}")
    (root / "classes.txt").write_text("\n".join(CLASSES))
    (root / "image_labels.csv").write_text("\n".join(rows))
    return data.read(root)


def disc(size: tuple[int, int], labels: list[int]) -> np.ndarray:
    """A label map with a disc for each class, and a rim that nobody judges."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask = np.zeros(size, np.uint8)
    for place, label in enumerate(labels):
        far = np.hypot(rows - 14 - 14 * place, columns - 14 - 12 * place)
        mask[far < 11], mask[far < 10] = 255, label + 1
    return mask


def photo(mask: np.ndarray, seed: int) -> Image.Image:
    """The discs in their colours on noise."""
    pixels = np.random.default_rng(seed).integers(60, 110, (*mask.shape, 3), np.uint8)
    for label in range(3):
        pixels[mask == label + 1, label] += 120
    return Image.fromarray(pixels)


def seeds_of(collection: Collection, folder: Path) -> Path:
    """Seeds of the photos learned from: blurred truth."""
    for one in collection.only("train", "").photos:
        mask = data.read_mask(one.mask)
        height, width = quarter(mask.shape)
        maps = [Image.fromarray((mask == label + 1) * np.uint8(255)).resize((width, height)) for label in one.labels]
        stacked = (
            np.stack([np.asarray(each, np.float32) / 255 for each in maps]) if maps else np.zeros((0, height, width))
        )
        tags = tuple(collection.classes[label] for label in one.labels)
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
    machine = Machine(device="cpu", follow=lambda name: nullcontext(Deadly(at) if name == deadly else Silent()))
    start = Start(irn=False, student=False, initialisation="none")
    how = {"settings": SETTINGS, "start": start, "machine": machine, "objects": "instances"}
    pipeline.Pipeline(data.read(root), out, [Ready("blurred", seeds)], **how).run()
