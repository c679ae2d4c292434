"""Section 3.5: scores of a classifier under eroded and dilated ground-truth masks (Figs. 1, 6 and 7)."""

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

from ..data import Batch, center_view, evaluation_loader, foreground, standardize
from ..errors import InputError
from ..inference.localizer import Localizer, Progress, silent
from ..model.classifier import Encoded
from ..structures import Dataset, Sample
from ..viz.plots import Line, panels, write_csv

KERNEL = 5
"""Pixels by which the side of the square kernel grows from one mask to the next."""
QUANTITIES = {
    "activation": "foreground activation / S",
    "entropy": "cross-entropy of the foreground, nats",
    "background": "background activation / S",
}
GRID = np.linspace(0, 3, 61)
"""Mask areas, as multiples of the ground-truth mask's, at which curves of different photos are compared."""
SOURCES = {"masks": "ground-truth masks", "boxes": "filled ground-truth boxes"}


@dataclass(frozen=True)
class SweepCurve:
    """Scores of one photo under ``T`` masks, from the most eroded one to the most dilated."""

    name: str
    label: str
    correct: bool
    """Whether the whole image is classified correctly."""
    ground_truth: str
    """A key of :data:`SOURCES`: ``boxes`` are filled where the photo has no mask."""
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
        """Area of each mask over that of the ground truth."""
        return self.area / self.area[len(self.area) // 2]


class Spread(NamedTuple):
    """Distribution of one quantity over photos, at ``G`` relative areas."""

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

    Beyond the picture's border is background, so every mask shrinks to nothing in the end.
    """
    pixels = mask.astype(np.uint8)
    squares = [np.ones((KERNEL * n, KERNEL * n), np.uint8) for n in range(1, reach + 1)]
    eroded = [cv2.erode(pixels, square, borderValue=0) for square in reversed(squares)]
    return np.stack([*eroded, pixels, *(cv2.dilate(pixels, square) for square in squares)]).astype(bool)


def ground_truth_mask(
    sample: Sample, size: tuple[int, int], resize: int, crop: int
) -> tuple[Bool[np.ndarray, "H W"], str]:
    """Ground-truth foreground in the center crop of the squeezed photo, and its source, a key of :data:`SOURCES`.

    Masks are the union of all that is not zero, boxes are filled. ``size`` is the original's height and width.
    """
    has_mask = bool(sample.mask or sample.instances)
    large = foreground(sample, (resize, resize)) == 1 if has_mask else np.zeros((resize, resize), bool)
    scale = resize / np.array([size[1], size[0], size[1], size[0]])
    for box in () if has_mask else sample.boxes:
        x0, y0, x1, y1 = np.round(np.array(box) * scale).astype(int).clip(0, resize)
        large[y0:y1, x0:x1] = True
    margin = round((resize - crop) / 2)
    return large[margin : margin + crop, margin : margin + crop], "masks" if has_mask else "boxes"


@torch.inference_mode()
def masked_logits(
    encoded: Encoded, masks: Float[Tensor, "T 1 H W"], batch_size: int = 32
) -> tuple[Float[Tensor, "T K"], Float[Tensor, "T K"]]:
    """Class scores of the features inside each mask, and of those outside: F2(F M) and F2(F (1 - M)).

    A mask finer than the features keeps of each feature the share of its place that the mask covers. A network that
    masks the image itself gets the masks there.

    Args:
        encoded: one image.
    """
    fitting = masks
    if encoded.classifier.architecture.mask_at == "features":
        fitting = F.adaptive_avg_pool2d(masks, (encoded.features.shape[2], encoded.features.shape[3]))
    # Many masks are the same, having shrunk to nothing or grown over everything.
    distinct, index = torch.cat([1 - fitting, fitting]).unique(dim=0, return_inverse=True)
    logits = []
    for part in distinct.split(batch_size):
        copies = encoded.at(torch.zeros(len(part), dtype=torch.long, device=part.device))
        logits.append(copies.background_logits(part))
    inside, outside = torch.cat(logits)[index].chunk(2)
    return inside, outside


def sweep_masks(
    localizer: Localizer,
    dataset: Dataset,
    *,
    reach: int = 20,
    workers: int = 0,
    progress: Progress = silent,
) -> Iterator[SweepCurve]:
    """The curve of every photo, in the center crop of the authors' protocol.

    Left out are photos with several tags, since their ground truth does not say which is where; photos without ground
    truth, or none in the crop; and those whose tag has no positive score S, by which to divide.

    Raises:
        InputError: no photo has one tag and a ground-truth mask or box; an unreadable mask.
    """
    samples = tuple(p for p in dataset.samples if len(p.labels) == 1 and (p.mask or p.instances or p.boxes))
    if not samples:
        raise InputError(f"{dataset.root} has no photo with one tag and a true mask or box; bas check shows both.")
    relabeled = localizer.with_own_classes(Dataset(dataset.root, dataset.classes, samples))
    resize, crop = localizer.sides
    view = partial(center_view, resize=resize, crop=crop)
    loader = evaluation_loader(relabeled, view, batch_size=8, workers=workers)
    localizer.model.eval()
    for batch in progress(loader, len(loader)):
        yield from _curves(localizer, relabeled.samples, batch, reach)


@torch.inference_mode()
def _curves(localizer: Localizer, samples: Sequence[Sample], batch: Batch, reach: int) -> list[SweepCurve]:
    model = localizer.model
    device = next(model.parameters()).device
    images = standardize(batch.images.to(device), *model.normalization)
    encoded = model.encode(images.contiguous(memory_format=torch.channels_last))
    curves = []
    for i, (index, target) in enumerate(zip(batch.index.tolist(), batch.target.tolist(), strict=True)):
        height, width = batch.size[i].tolist()
        mask, source = ground_truth_mask(samples[index], (height, width), *localizer.sides)
        logits = encoded.logits[i]
        whole = logits[target].relu()
        if not mask.any() or whole == 0:
            continue
        masks = masks_around(mask, reach)
        one = encoded.at(torch.tensor([i], device=device))
        inside, outside = masked_logits(one, torch.from_numpy(masks).to(device).float()[:, None])
        labels = torch.full((len(inside),), target, device=device)
        curves.append(
            SweepCurve(
                samples[index].name,
                localizer.classes[target],
                correct=bool(logits.argmax() == target),
                ground_truth=source,
                area=masks.mean(axis=(1, 2)),
                activation=(inside[:, target].relu() / whole).double().cpu().numpy(),
                entropy=F.cross_entropy(inside, labels, reduction="none").double().cpu().numpy(),
                background=(outside[:, target].relu() / whole).double().cpu().numpy(),
            )
        )
    return curves


def spread(curves: Sequence[SweepCurve], quantity: str, grid: Float[np.ndarray, " G"] = GRID) -> Spread:
    """One quantity of all curves at the same relative areas, where at least half of the photos were swept that far."""
    at = np.stack([_interpolated(curve, quantity, grid) for curve in curves])
    reached = ~np.isnan(at)
    kept = reached.sum(axis=0) * 2 >= len(curves)
    columns = [column[there] for column, there in zip(at.T[kept], reached.T[kept], strict=True)]
    quartiles = np.array([np.quantile(column, (0.25, 0.5, 0.75)) for column in columns]).reshape(-1, 3)
    moments = np.array([(len(column), column.mean(), column.std()) for column in columns]).reshape(-1, 3)
    return Spread(grid[kept], *moments.T, *quartiles.T)


def _interpolated(curve: SweepCurve, quantity: str, grid: Float[np.ndarray, " G"]) -> Float[np.ndarray, " G"]:
    """Linear between two masks of the photo; NaN where it was not swept that far.

    Once a mask covers everything, larger ones would too, so the last value holds.
    """
    area, first = np.unique(curve.relative_area, return_index=True)
    values: np.ndarray = getattr(curve, quantity)[first]
    return np.interp(grid, area, values, left=np.nan, right=values[-1] if curve.area[-1] == 1 else np.nan)


def draw_sweep(curves: Iterable[SweepCurve], out: Path, *, example: str = "") -> list[Path]:
    """Write the figures and tables into ``out`` and return their paths.

    ``sweep.csv`` holds all values; ``statistics.png`` (and ``.csv``) all photos, those classified correctly and the
    others apart (Figs. 6 and 7); ``photo.png`` (and ``.csv``) one photo (Fig. 1B): the one called ``example``, else the
    first that is classified correctly.

    Raises:
        InputError: no curves, or none of that name.
    """
    found = list(curves)
    if not found:
        raise InputError(
            "no photo has ground truth in the crop and a positive score of its tag; train the model longer."
        )
    chosen = next((one for one in found if (one.name == example if example else one.correct)), None)
    if chosen is None and example:
        raise InputError(f"{example} is not among the photos that were swept; sweep.csv of an earlier run lists them.")
    _write_values(found, out / "sweep.csv")
    _draw_statistics(found, out / "statistics.png")
    _draw_photo(chosen or found[0], out / "photo.png")
    names = ("sweep.csv", "statistics.png", "statistics.csv", "photo.png", "photo.csv")
    return [out / name for name in names]


def _write_values(curves: Sequence[SweepCurve], path: Path) -> None:
    head = ("image", "class", "correct", "ground_truth", "n", "area", "relative_area", *QUANTITIES)
    rows = []
    for one in curves:
        reach = len(one.area) // 2
        columns = zip(one.area, one.relative_area, one.activation, one.entropy, one.background, strict=True)
        for n, values in enumerate(columns, start=-reach):
            rows.append(
                (one.name, one.label, int(one.correct), one.ground_truth, n, *(f"{value:.6g}" for value in values))
            )
    write_csv(path, head, rows)


def _draw_statistics(curves: Sequence[SweepCurve], path: Path) -> None:
    groups = {"classified correctly": [one for one in curves if one.correct]}
    groups["misclassified"] = [one for one in curves if not one.correct]
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
        f"{len(curves)} photos, {_sources(curves)}: median and middle half",
    )
    rows = [
        (quantity, name, *row)
        for quantity, groups in spreads.items()
        for name, s in groups.items()
        for row in zip(*s, strict=True)
    ]
    write_csv(path.with_suffix(".csv"), ("quantity", "group", *Spread._fields), rows)


def _draw_photo(one: SweepCurve, path: Path) -> None:
    area = one.relative_area
    lines = {title: {one.label: Line(area, getattr(one, name))} for name, title in QUANTITIES.items()}
    _draw(path, lines, f"{one.name}, {_sources([one])}")


def _sources(curves: Sequence[SweepCurve]) -> str:
    return " and ".join(words for source, words in SOURCES.items() if any(one.ground_truth == source for one in curves))


def _draw(path: Path, lines: dict[str, dict[str, Line]], title: str) -> None:
    xlabel = "mask area / area of the ground truth"
    panels(path, lines, xlabel=xlabel, title=title, vlines={"ground truth": 1})
