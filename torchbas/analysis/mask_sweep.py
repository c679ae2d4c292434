"""Section 3.5: what the classifier says while the true mask shrinks and grows (Figs. 1, 6 and 7)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ..data import Batch, centre_view, evaluation_loader, foreground, normalise
from ..errors import InputError
from ..localize.localizer import Localizer, Progress, silent
from ..model import BAS
from ..model.bas import pool
from ..types import Collection, Photo
from ..viz.plots import Line, panels, write_csv

KERNEL = 5
QUANTITIES = {
    "activation": "foreground activation / S",
    "entropy": "cross-entropy of the foreground, nats",
    "background": "background activation / S",
}
GRID = np.linspace(0, 3, 61)
"""Mask areas, as multiples of the true mask's, at which the curves of different photos are compared."""
TRUTH = {"masks": "true masks", "boxes": "filled true boxes"}


@dataclass(frozen=True)
class Curve:
    """The answers for one photo under ``T`` masks, from the most eroded one to the most dilated."""

    name: str
    label: str
    right: bool
    """Whether the classifier gives the tag when it sees everything."""
    truth: str
    """``masks``, or ``boxes`` filled where the photo has no mask."""
    area: Float[np.ndarray, " T"]
    """Share of the input under each mask, in [0, 1]."""
    activation: Float[np.ndarray, " T"]
    """S_f / S after the ReLU: the tag's score of the features under the mask, over that of the whole (cf. eq. 3)."""
    entropy: Float[np.ndarray, " T"]
    """Cross-entropy of the scores under the mask, in nats."""
    background: Float[np.ndarray, " T"]
    """S_b / S after the ReLU, of the features outside the mask."""

    @property
    def relative_area(self) -> Float[np.ndarray, " T"]:
        """Area of each mask over that of the true one."""
        return self.area / self.area[len(self.area) // 2]


class Spread(NamedTuple):
    """One quantity of many photos at ``G`` relative areas."""

    area: Float[np.ndarray, " G"]
    photos: Float[np.ndarray, " G"]
    """How many were swept that far."""
    mean: Float[np.ndarray, " G"]
    std: Float[np.ndarray, " G"]
    lower: Float[np.ndarray, " G"]
    """Lower quartile."""
    median: Float[np.ndarray, " G"]
    upper: Float[np.ndarray, " G"]
    """Upper quartile."""


def masks_around(mask: Bool[np.ndarray, "H W"], reach: int) -> Bool[np.ndarray, "T H W"]:
    """The mask eroded (n < 0) and dilated (n > 0) by squares of 5|n| x 5|n| pixels, for n from -reach to reach.

    Beyond the picture's border is ground, so every mask shrinks to nothing in the end.
    """
    pixels = mask.astype(np.uint8)
    squares = [np.ones((KERNEL * n, KERNEL * n), np.uint8) for n in range(1, reach + 1)]
    eroded = [cv2.erode(pixels, square, borderValue=0) for square in reversed(squares)]
    return np.stack([*eroded, pixels, *(cv2.dilate(pixels, square) for square in squares)]).astype(bool)


def true_mask(photo: Photo, size: tuple[int, int], resize: int, crop: int) -> tuple[Bool[np.ndarray, "H W"], str]:
    """The true foreground in the centre crop of the squeezed photo, and whether it comes from ``masks`` or ``boxes``.

    Masks are the union of all that is not zero, boxes are filled. ``size`` is the original's height and width.
    """
    masks = bool(photo.mask or photo.instances)
    large = foreground(photo, (resize, resize)) == 1 if masks else np.zeros((resize, resize), bool)
    scale = resize / np.array([size[1], size[0], size[1], size[0]])
    for box in () if masks else photo.boxes:
        x0, y0, x1, y1 = np.round(np.array(box) * scale).astype(int).clip(0, resize)
        large[y0:y1, x0:x1] = True
    margin = round((resize - crop) / 2)
    return large[margin : margin + crop, margin : margin + crop], "masks" if masks else "boxes"


@torch.inference_mode()
def scores_under(
    model: BAS,
    features: Float[Tensor, "1 C h w"],
    masks: Float[Tensor, "T 1 H W"],
    image: Float[Tensor, "1 3 H W"],
    batch_size: int = 32,
) -> tuple[Float[Tensor, "T K"], Float[Tensor, "T K"]]:
    """Class scores of the features inside each mask, and of those outside: F2(F M) and F2(F (1 - M)).

    A mask counts in a place of the feature grid with the share that it covers. A network that hides in the image
    itself gets the masks there.
    """
    in_image = model.architecture.hide == "image"
    fitting = masks if in_image else F.adaptive_avg_pool2d(masks, (features.shape[2], features.shape[3]))
    hidden = torch.cat([1 - fitting, fitting])  # what is hidden to see the inside, and to see the outside
    different, place = hidden.unique(dim=0, return_inverse=True)  # many a mask has shrunk to nothing or fills all
    scores = []
    for part in different.split(batch_size):
        pictures = image.expand(len(part), -1, -1, -1) if in_image else None
        scores.append(model.background_logits(features.expand(len(part), -1, -1, -1), part, pictures))
    inside, outside = torch.cat(scores)[place].chunk(2)
    return inside, outside


def sweep(
    localizer: Localizer,
    collection: Collection,
    *,
    reach: int = 20,
    workers: int = 0,
    progress: Progress = silent,
) -> Iterator[Curve]:
    """The curve of every photo, in the centre crop that the authors' protocol looks at.

    Left out are photos with several tags, since their truth does not say which is where; photos without truth, or none
    in the crop; and those whose tag has no positive score S, by which to divide.

    Raises:
        InputError: no photo has one tag and a true mask or box; an unreadable mask.
    """
    photos = tuple(p for p in collection.photos if len(p.labels) == 1 and (p.mask or p.instances or p.boxes))
    if not photos:
        raise InputError(f"{collection.root} has no photo with one tag and a true mask or box; bas check shows both.")
    adopted = localizer.adopt(Collection(collection.root, collection.classes, photos))
    view = partial(centre_view, resize=localizer.side, crop=localizer.crop)
    loader = evaluation_loader(adopted, view, batch_size=8, workers=workers)
    localizer.model.eval()
    for batch in progress(loader, len(loader)):
        yield from _curves(localizer, adopted.photos, batch, reach)


@torch.inference_mode()
def _curves(localizer: Localizer, photos: Sequence[Photo], batch: Batch, reach: int) -> list[Curve]:
    model = localizer.model
    device = next(model.parameters()).device
    images = normalise(batch.images.to(device), localizer.mean, localizer.std)
    features = model.features(images.contiguous(memory_format=torch.channels_last))
    logits = pool(model.class_maps(features))
    curves = []
    for i, (index, target) in enumerate(zip(batch.index.tolist(), batch.target.tolist(), strict=True)):
        height, width = batch.size[i].tolist()
        truth, source = true_mask(photos[index], (height, width), localizer.side, localizer.crop)
        whole = logits[i, target].relu()
        if not truth.any() or whole == 0:
            continue
        masks = masks_around(truth, reach)
        inside, outside = scores_under(
            model, features[i : i + 1], torch.from_numpy(masks).to(device).float()[:, None], images[i : i + 1]
        )
        labels = torch.full((len(inside),), target, device=device)
        curves.append(
            Curve(
                photos[index].name,
                localizer.classes[target],
                right=bool(logits[i].argmax() == target),
                truth=source,
                area=masks.mean(axis=(1, 2)),
                activation=(inside[:, target].relu() / whole).double().cpu().numpy(),
                entropy=F.cross_entropy(inside, labels, reduction="none").double().cpu().numpy(),
                background=(outside[:, target].relu() / whole).double().cpu().numpy(),
            )
        )
    return curves


def spread(curves: Sequence[Curve], quantity: str, grid: Float[np.ndarray, " G"] = GRID) -> Spread:
    """One quantity of all curves at the same relative areas, where at least half of the photos were swept that far."""
    at = np.stack([_interpolated(curve, quantity, grid) for curve in curves])
    reached = ~np.isnan(at)
    kept = reached.sum(axis=0) * 2 >= len(curves)
    columns = [column[there] for column, there in zip(at.T[kept], reached.T[kept], strict=True)]
    quartiles = np.array([np.quantile(column, (0.25, 0.5, 0.75)) for column in columns]).reshape(-1, 3)
    moments = np.array([(len(column), column.mean(), column.std()) for column in columns]).reshape(-1, 3)
    return Spread(grid[kept], *moments.T, *quartiles.T)


def _interpolated(curve: Curve, quantity: str, grid: Float[np.ndarray, " G"]) -> Float[np.ndarray, " G"]:
    """Between two masks of the photo on a straight line; NaN where it was not swept that far.

    Once a mask covers everything, larger ones would too, so the last answer holds.
    """
    area, first = np.unique(curve.relative_area, return_index=True)
    values: np.ndarray = getattr(curve, quantity)[first]
    return np.interp(grid, area, values, left=np.nan, right=values[-1] if curve.area[-1] == 1 else np.nan)


def draw_sweep(curves: Iterable[Curve], out: Path, *, example: str = "") -> list[Path]:
    """Write the figures and tables into ``out`` and return their paths.

    ``sweep.csv`` holds all answers; ``statistics.png`` (and ``.csv``) all photos, those classified right and wrong
    apart (Figs. 6 and 7); ``photo.png`` (and ``.csv``) one photo (Fig. 1B): the one called ``example``, else the first
    that is classified right.

    Raises:
        InputError: no curves, or none of that name.
    """
    found = list(curves)
    if not found:
        raise InputError("no photo has truth inside the crop and a positive score of its tag; train the model longer.")
    chosen = next((one for one in found if (one.name == example if example else one.right)), None)
    if chosen is None and example:
        raise InputError(f"{example} is not among the photos that were swept; sweep.csv of an earlier run lists them.")
    _write_answers(found, out / "sweep.csv")
    _draw_statistics(found, out / "statistics.png")
    _draw_photo(chosen or found[0], out / "photo.png")
    names = ("sweep.csv", "statistics.png", "statistics.csv", "photo.png", "photo.csv")
    return [out / name for name in names]


def _write_answers(curves: Sequence[Curve], path: Path) -> None:
    head = ("image", "class", "right", "truth", "n", "area", "relative_area", *QUANTITIES)
    rows = []
    for one in curves:
        reach = len(one.area) // 2
        answers = zip(one.area, one.relative_area, one.activation, one.entropy, one.background, strict=True)
        for n, values in enumerate(answers, start=-reach):
            rows.append((one.name, one.label, int(one.right), one.truth, n, *(f"{value:.6g}" for value in values)))
    write_csv(path, head, rows)


def _draw_statistics(curves: Sequence[Curve], path: Path) -> None:
    groups = {"classified right": [one for one in curves if one.right]}
    groups["classified wrong"] = [one for one in curves if not one.right]
    spreads = {
        quantity: {f"{name} ({len(group)})": spread(group, quantity) for name, group in groups.items() if group}
        for quantity in QUANTITIES
    }
    _draw(
        path,
        {
            QUANTITIES[quantity]: {name: Line(s.area, s.median, s.lower, s.upper) for name, s in groups.items()}
            for quantity, groups in spreads.items()
        },
        f"{len(curves)} photos, {_truths(curves)}: median and middle half",
    )
    rows = [
        (quantity, name, *row)
        for quantity, groups in spreads.items()
        for name, s in groups.items()
        for row in zip(*s, strict=True)
    ]
    write_csv(path.with_suffix(".csv"), ("quantity", "group", *Spread._fields), rows)


def _draw_photo(one: Curve, path: Path) -> None:
    area = one.relative_area
    lines = {title: {one.label: Line(area, getattr(one, name))} for name, title in QUANTITIES.items()}
    _draw(path, lines, f"{one.name}, {_truths([one])}")


def _truths(curves: Sequence[Curve]) -> str:
    return " and ".join(words for source, words in TRUTH.items() if any(one.truth == source for one in curves))


def _draw(path: Path, lines: dict[str, dict[str, Line]], title: str) -> None:
    panels(path, lines, xlabel="mask area / area of the true mask", title=title, vlines={"true mask": 1})
