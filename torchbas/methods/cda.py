"""CDA (Su et al. 2021): context decoupling augmentation, IRN's training with pasted objects of other images.

Objects cut out by the masks of a first round are pasted into images without their class, which decouples a class from
its usual context. The bank holds images of one class whose mask covers .1 to .7 of them, cropped to the box of the
mask. One object is rotated by -90 to 90 degrees, shrunk where it exceeds .7 of the image's height or width, and pasted
at a random position into every second image of a batch, which then has both labels.
"""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ..config import Training
from ..data import Batch, open_image, read_mask
from ..errors import InputError
from ..io import output_paths
from ..structures import Dataset
from .irn import IRN
from .irn import Options as IRNOptions

SMALLEST, LARGEST = 0.1, 0.7
"""Shares of an image: area of an object in the bank, and its largest height and width where it is pasted."""
THREADS = 8


class Cutout(NamedTuple):
    """Object of the bank; a reference instead of pixels, so that a bank of any size fits into memory."""

    image: Path
    mask: Path
    label: int
    """0-based."""
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 of the mask in pixels of the image, the end exclusive."""


class Pasting(NamedTuple):
    """Random pose of one object."""

    cutout: Cutout
    degrees: float
    """Counterclockwise."""
    right: float
    """Horizontal position in [0, 1], from the leftmost to the rightmost possible one."""
    down: float
    """Vertical position in [0, 1], from the top."""


def read_bank(dataset: Dataset, masks: Path) -> dict[int, list[Cutout]]:
    """Objects by class, in the order of the samples; a sample's mask is ``masks`` / its name, ``.png``.

    Raises:
        InputError: an unreadable mask; no object at all.
    """
    places = output_paths((sample.name for sample in dataset.samples), ".png")
    single = [
        sample for sample in dataset.samples if len(sample.labels) == 1 and (masks / places[sample.name]).is_file()
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda sample: _cut(sample.path, masks / places[sample.name], sample.labels[0]), single)
        bank: dict[int, list[Cutout]] = {}
        for cutout in found:
            if cutout is not None:
                bank.setdefault(cutout.label, []).append(cutout)
    if not bank:
        raise InputError(
            f"{masks} has no mask, named as its photo but .png, of a photo with one tag of which it covers "
            f"{SMALLEST} to {LARGEST}: give the folder of masks that bas segment made."
        )
    return bank


def _cut(image: Path, path: Path, label: int) -> Cutout | None:
    mask = read_mask(path)
    if set(np.unique(mask)) - {0, 255} != {label + 1}:
        return None
    inside = mask == label + 1
    if not SMALLEST <= inside.mean() <= LARGEST:
        return None
    left, top, width, height = cv2.boundingRect(inside.astype(np.uint8))
    return Cutout(image, path, label, (left, top, left + width, top + height))


def cut_out(cutout: Cutout) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Pixels of the object's box, RGB, and its mask there.

    Raises:
        InputError: image and mask differ in size.
    """
    image, mask = open_image(cutout.image), read_mask(cutout.mask)
    if image.size != mask.shape[::-1]:
        raise InputError(f"{cutout.mask} is not as large as {cutout.image}: make the masks of these photos again.")
    left, top, right, bottom = cutout.box
    return np.asarray(image.crop(cutout.box)), mask[top:bottom, left:right] == cutout.label + 1


def paste_layer(pasting: Pasting, height: int, width: int) -> UInt8[Tensor, "4 {height} {width}"]:
    """The object on a canvas of the batch's size: RGB, and a mask of 0 and 1 as fourth channel."""
    colors, mask = cut_out(pasting.cutout)
    rows, columns = mask.shape
    angle = math.radians(pasting.degrees)
    tall = rows * abs(math.cos(angle)) + columns * abs(math.sin(angle))
    wide = columns * abs(math.cos(angle)) + rows * abs(math.sin(angle))
    scale = min(1.0, LARGEST * height / tall, LARGEST * width / wide)
    turn = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), pasting.degrees, scale)
    corner = pasting.right * (width - wide * scale), pasting.down * (height - tall * scale)
    turn[:, 2] += np.array(corner) + np.array((wide, tall)) * scale / 2 - np.array((columns, rows)) / 2
    canvas = cv2.warpAffine(colors, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    where = cv2.warpAffine(mask.astype(np.uint8), turn, (width, height), flags=cv2.INTER_NEAREST)
    return torch.from_numpy(np.concatenate([canvas, where[..., None]], axis=2)).permute(2, 0, 1)


def draw(labels: Float[Tensor, " K"], bank: Mapping[int, list[Cutout]]) -> Pasting | None:
    """Random object of a class absent from ``labels``; None where the bank has no such class."""
    absent = [label for label in sorted(bank) if not labels[label]]
    if not absent:
        return None
    chance = torch.rand(5, dtype=torch.float64).tolist()
    objects = bank[absent[int(chance[0] * len(absent))]]
    return Pasting(objects[int(chance[1] * len(objects))], 180 * chance[2] - 90, chance[3], chance[4])


def paste(batch: Batch, bank: Mapping[int, list[Cutout]]) -> Batch:
    """Batch with an object pasted into every second image, and its class added to the labels."""
    images, labels = batch.images.clone(), batch.labels.clone()
    height, width = images.shape[2:]
    known = batch.labels.cpu()
    drawn = {place: draw(known[place], bank) for place in range(1, len(images), 2)}
    chosen = {place: pasting for place, pasting in drawn.items() if pasting}
    if not chosen:
        return batch
    with ThreadPoolExecutor(THREADS) as pool:
        layers = torch.stack(list(pool.map(lambda pasting: paste_layer(pasting, height, width), chosen.values())))
    layers = layers.to(images.device)
    places = torch.tensor(list(chosen), device=images.device)
    images[places] = torch.where(layers[:, 3:] > 0, layers[:, :3], images[places])
    labels[places, torch.tensor([pasting.cutout.label for pasting in chosen.values()], device=images.device)] = 1
    return batch._replace(images=images, labels=labels)


@dataclass(frozen=True)
class Options(IRNOptions):
    """Options of cda."""

    bank: str | None = None
    """Folder of label PNGs, 0 background and n the n-th class: masks of a first round; needed for training only."""


class CDA(IRN):
    """IRN's classifier trained on images with pasted objects."""

    name = "cda"
    Options = Options
    learns_from_images = True

    def __init__(self, *network: Any) -> None:
        super().__init__(*network)
        self.bank: dict[int, list[Cutout]] = {}

    def setup(self, dataset: Dataset, training: Training, /) -> None:
        if self.options.bank is None:
            raise InputError("cda pastes objects of a first round's masks: give the folder of these masks as --bank.")
        self.bank = read_bank(dataset, Path(self.options.bank))

    def losses(self, batch: Batch, step: int) -> dict[str, Float[Tensor, ""]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().losses(paste(batch, self.bank), step)
