"""CDA (Su et al. 2021): cut objects out by the masks of a first round and paste them into photos without their class.

So a class no longer comes with its usual surroundings. The bank are photos of one class whose mask covers .1 to .7 of
them, cut to the box of the mask. One object is turned by up to 90 degrees either way, made smaller where it exceeds .7
of the photo's height or width, and pasted anywhere into every second photo of a batch, which then has both classes.
The rest is IRN's training.
"""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
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
from ..formats.files import mirrored
from ..types import Collection
from .irn import IRN

SMALLEST, LARGEST = 0.1, 0.7
"""Of a photo: the object's area in the bank, and its largest height and width where it is pasted."""
THREADS = 8


class Cutout(NamedTuple):
    """An object of the bank: where it is, not its pixels, for a bank of any size fits into memory so."""

    photo: Path
    mask: Path
    label: int
    """0-based."""
    box: tuple[int, int, int, int]
    """Of the mask, in pixels of the photo, the end exclusive."""


class Pasting(NamedTuple):
    """What chance decides about one object."""

    cutout: Cutout
    degrees: float
    """Counterclockwise."""
    right: float
    """Place in [0, 1] between the leftmost and the rightmost possible one."""
    down: float
    """The same from the top."""


def read_bank(photos: Collection, masks: Path) -> dict[int, list[Cutout]]:
    """The objects of each class, in the order of the photos; a photo's mask is ``masks`` / its name, ``.png``.

    Raises:
        InputError: a mask that cannot be read; not one object.
    """
    places = mirrored((photo.name for photo in photos.photos), ".png")
    single = [photo for photo in photos.photos if len(photo.labels) == 1 and (masks / places[photo.name]).is_file()]
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda photo: _cut(photo.path, masks / places[photo.name], photo.labels[0]), single)
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


def _cut(photo: Path, path: Path, label: int) -> Cutout | None:
    mask = read_mask(path)
    if set(np.unique(mask)) - {0, 255} != {label + 1}:
        return None
    inside = mask == label + 1
    if not SMALLEST <= inside.mean() <= LARGEST:
        return None
    left, top, width, height = cv2.boundingRect(inside.astype(np.uint8))
    return Cutout(photo, path, label, (left, top, left + width, top + height))


def cut_out(cutout: Cutout) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """The object's box of the photo, and which of its pixels are the object's."""
    image, mask = open_image(cutout.photo), read_mask(cutout.mask)
    if image.size != mask.shape[::-1]:
        raise InputError(f"{cutout.mask} is not as large as {cutout.photo}: make the masks of these photos again.")
    left, top, right, bottom = cutout.box
    return np.asarray(image.crop(cutout.box)), mask[top:bottom, left:right] == cutout.label + 1


def lay(pasting: Pasting, height: int, width: int) -> UInt8[Tensor, "4 {height} {width}"]:
    """The object on an empty canvas: red, green, blue, and 1 where it is."""
    colours, mask = cut_out(pasting.cutout)
    rows, columns = mask.shape
    angle = math.radians(pasting.degrees)
    tall = rows * abs(math.cos(angle)) + columns * abs(math.sin(angle))
    wide = columns * abs(math.cos(angle)) + rows * abs(math.sin(angle))
    scale = min(1.0, LARGEST * height / tall, LARGEST * width / wide)
    turn = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), pasting.degrees, scale)
    corner = pasting.right * (width - wide * scale), pasting.down * (height - tall * scale)
    turn[:, 2] += np.array(corner) + np.array((wide, tall)) * scale / 2 - np.array((columns, rows)) / 2
    canvas = cv2.warpAffine(colours, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    where = cv2.warpAffine(mask.astype(np.uint8), turn, (width, height), flags=cv2.INTER_NEAREST)
    return torch.from_numpy(np.concatenate([canvas, where[..., None]], axis=2)).permute(2, 0, 1)


def draw(labels: Float[Tensor, " K"], bank: Mapping[int, list[Cutout]]) -> Pasting | None:
    """An object of a class that ``labels`` lacks; none where the bank has no such class."""
    absent = [label for label in sorted(bank) if not labels[label]]
    if not absent:
        return None
    chance = torch.rand(5, dtype=torch.float64).tolist()
    objects = bank[absent[int(chance[0] * len(absent))]]
    return Pasting(objects[int(chance[1] * len(objects))], 180 * chance[2] - 90, chance[3], chance[4])


def paste(batch: Batch, bank: Mapping[int, list[Cutout]]) -> Batch:
    """The batch with an object in every second photo, and its class among the photo's."""
    images, labels = batch.images.clone(), batch.labels.clone()
    height, width = images.shape[2:]
    known = batch.labels.cpu()
    drawn = {place: draw(known[place], bank) for place in range(1, len(images), 2)}
    chosen = {place: pasting for place, pasting in drawn.items() if pasting}
    if not chosen:
        return batch
    with ThreadPoolExecutor(THREADS) as pool:
        layers = torch.stack(list(pool.map(lambda pasting: lay(pasting, height, width), chosen.values())))
    layers = layers.to(images.device)
    places = torch.tensor(list(chosen), device=images.device)
    images[places] = torch.where(layers[:, 3:] > 0, layers[:, :3], images[places])
    labels[places, torch.tensor([pasting.cutout.label for pasting in chosen.values()], device=images.device)] = 1
    return batch._replace(images=images, labels=labels)


class CDA(IRN):
    """IRN's classifier on photos with pasted objects.

    Args:
        bank: folder of label PNGs, 0 background and n the n-th class: masks of a first round, only needed in training.
    """

    def __init__(self, *network: Any, bank: str | Path | None = None, **options: Any) -> None:
        super().__init__(*network, **options)
        self.folder = bank
        self.bank: dict[int, list[Cutout]] = {}

    def equip(self, photos: Collection, _: Training, /) -> None:
        if self.folder is None:
            raise InputError("cda pastes objects that a first round has found: give the folder of its masks as --bank.")
        self.bank = read_bank(photos, Path(self.folder))

    def forward(self, batch: Batch, _step: int) -> dict[str, Float[Tensor, ""]]:
        return super().forward(paste(batch, self.bank), _step)
