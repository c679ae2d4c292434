"""Figure 22: IoU of seeds against the threshold, and the image-specific threshold, which has the least L_bas + L_ac."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from ..cam import binarize
from ..data import label_map, open_image, standardize
from ..errors import InputError
from ..inference.localizer import Localizer
from ..inference.thresholds import evenly_spaced
from ..losses import bas_ratios
from ..structures import Dataset, Sample
from ..viz.plots import Line, Picture, grid_of_images, panels, write_csv
from ..wsss.scores import at_size
from ..wsss.seeds.files import Seed, read_seed
from ..wsss.seeds.multi_scale import native_view
from ..wsss.seeds.thresholds import COUNT
from .pictures import heatmap_overlay, ious, select_samples, series_by_name, thumbnail

SHOWN = 7
"""Number of thresholds in the picture of one photo, beside the chosen one."""
FILES = ("image_thresholds.png", "image_thresholds.csv", "process.png", "process.csv")


class ThresholdCurve(NamedTuple):
    """One seed map binarized at ``T`` thresholds."""

    sample: Sample
    label: str
    map: Float[np.ndarray, "h w"]
    """In [0, 1]."""
    thresholds: Float[np.ndarray, " T"]
    iou: Float[np.ndarray, " T"]
    """IoU with the ground-truth mask of the class, in [0, 1]."""
    bas_ratio: Float[np.ndarray, " T"]
    """L_bas: S_b / S with everything above the threshold masked, in [0, 1]."""
    area: Float[np.ndarray, " T"]
    """L_ac: share of the photo above the threshold."""

    @property
    def loss(self) -> Float[np.ndarray, " T"]:
        """L_bas + L_ac."""
        return self.bas_ratio + self.area

    @property
    def chosen(self) -> int:
        """Index of the image-specific threshold: the one with the least loss."""
        return int(self.loss.argmin())


def threshold_curves(
    localizer: Localizer,
    dataset: Dataset,
    folders: Sequence[Path],
    *,
    samples: Sequence[str] = (),
    count: int = 50,
) -> Iterator[dict[str, list[ThresholdCurve]]]:
    """For each sample, by folder: the seed map of every tag binarized at 19 thresholds.

    Args:
        localizer: its classifier computes S_b; the seeds may be other methods'.
        folders: of seeds.
        samples: names; ``count`` evenly spaced samples with a ground-truth mask when not given.

    Raises:
        InputError: no sample with a ground-truth mask and a seed in each folder; a tag that the network does not know.
    """
    series = series_by_name(folders)
    localizer.model.eval()
    for sample, path in select_samples([*series.values()], dataset, ".npz", samples, count):
        if not sample.mask:
            raise InputError(f"{sample.name} has no true mask to compute an IoU with: name a photo that has one.")
        seeds = {name: read_seed(folder / path) for name, folder in series.items()}
        yield {name: _curves(localizer, sample, seed, dataset.classes) for name, seed in seeds.items()}


@torch.inference_mode()
def _curves(localizer: Localizer, sample: Sample, seed: Seed, classes: Sequence[str]) -> list[ThresholdCurve]:
    if not seed.tags:
        return []
    model, ground_truth = localizer.model, label_map(sample)
    device = next(model.parameters()).device
    pixels = native_view(open_image(sample.path))[None].to(device)
    images = standardize(pixels, *model.normalization)
    encoded = model.encode(images.contiguous(memory_format=torch.channels_last))
    label = torch.tensor([localizer.label_of(tag) for tag in seed.tags], device=device)
    maps = torch.from_numpy(seed.maps).to(device)
    candidates = evenly_spaced(maps, COUNT)
    masks = binarize(candidates, maps)
    ratios = bas_ratios(encoded.at(torch.zeros_like(label)), label, masks).double().cpu().numpy()
    areas = masks.mean(dim=(2, 3)).double().cpu().numpy()
    thresholds = candidates[0].double().cpu().numpy().round(6)
    large = at_size(seed, ground_truth.shape)
    return [
        ThresholdCurve(
            sample,
            tag,
            seed.maps[i],
            thresholds,
            ious(large[i], ground_truth, classes.index(tag) + 1, thresholds),
            ratios[i],
            areas[i],
        )
        for i, tag in enumerate(seed.tags)
    ]


def draw_image_thresholds(curves: Iterable[Mapping[str, Sequence[ThresholdCurve]]], out: Path) -> list[Path]:
    """Write the figures and tables into ``out`` and return their paths.

    ``image_thresholds.png`` (and ``.csv``) has the mean over all maps of IoU and loss against the threshold (Fig. 22a);
    ``process.png`` (and ``.csv``) the first map at several thresholds, the one with the least loss framed (Fig. 22b).

    Args:
        curves: of each sample, by series.

    Raises:
        InputError: there are no maps.
    """
    samples = [sample for sample in curves if any(sample.values())]
    if not samples:
        raise InputError("none of these photos has a tag, so there is no map to binarize.")
    _draw_means({name: [one for sample in samples for one in sample[name]] for name in samples[0]}, out / FILES[0])
    _draw_process({name: of_tags[0] for name, of_tags in samples[0].items()}, out / FILES[2])
    return [out / name for name in FILES]


def _draw_means(series: Mapping[str, Sequence[ThresholdCurve]], path: Path) -> None:
    captions = {name: _caption(name, curves) for name, curves in series.items()}
    iou = {captions[name]: _mean(curves, [100 * one.iou for one in curves]) for name, curves in series.items()}
    loss = {captions[name]: _mean(curves, [one.loss for one in curves]) for name, curves in series.items()}
    title = f"{len(next(iter(series.values())))} maps binarized, mean"
    panels(path, {"IoU with the ground truth, %": iou, "L_bas + L_ac": loss}, xlabel="threshold", title=title)


def _mean(curves: Sequence[ThresholdCurve], columns: Sequence[np.ndarray]) -> Line:
    return Line(curves[0].thresholds, np.mean(columns, axis=0))


def _caption(name: str, curves: Sequence[ThresholdCurve]) -> str:
    fixed = 100 * np.mean([each.iou for each in curves], axis=0).max()
    image_specific = 100 * np.mean([each.iou[each.chosen] for each in curves])
    oracle = 100 * np.mean([each.iou.max() for each in curves])
    return f"{name}: IoU {fixed:.1f} at one threshold for all, {image_specific:.1f} image-specific, {oracle:.1f} oracle"


def _draw_process(series: Mapping[str, ThresholdCurve], path: Path) -> None:
    rows, table = {}, []
    for name, one in series.items():
        picture = thumbnail(one.sample)
        evenly = np.linspace(0, len(one.thresholds) - 1, SHOWN).round().astype(int).tolist()
        rows[name] = [Picture(heatmap_overlay(picture, one.map), one.label)]
        for index in sorted({*evenly, one.chosen}):
            caption = f"{one.thresholds[index]:.2f}: {one.loss[index]:.3f}"
            binary = Image.fromarray(one.map > one.thresholds[index]).resize(picture.size, Image.Resampling.NEAREST)
            rows[name].append(Picture(binary, caption, index == one.chosen))
        columns = zip(one.thresholds, one.iou, one.bas_ratio, one.area, one.loss, strict=True)
        for index, values in enumerate(columns):
            table.append((name, one.sample.name, one.label, *(f"{v:.6g}" for v in values), int(index == one.chosen)))
    grid_of_images(path, rows, title=f"{next(iter(series.values())).sample.name}: threshold and L_bas + L_ac")
    write_csv(path, ("series", "image", "class", "threshold", "iou", "l_bas", "l_ac", "loss", "chosen"), table)
