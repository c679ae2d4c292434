"""Figure 22: where a map is best cut, and where the losses of the training would cut it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from ..data import label_map, normalise, open_image
from ..engine.judging import evidence_left, spread
from ..errors import InputError
from ..formats.seeds import Seed, read_seed
from ..localize.localizer import Localizer
from ..maps import above
from ..model.bas import pool
from ..segment.score import at_size
from ..segment.seed import native_view
from ..segment.threshold import COUNT
from ..types import Collection, Photo
from ..viz.plots import Line, Picture, grid_of_images, panels, write_csv
from .pictures import heated, ious, named, photos_in, picture_of

SHOWN = 7
"""Of the thresholds, in the picture of one photo."""


class Cuts(NamedTuple):
    """One map, cut at ``T`` thresholds."""

    photo: Photo
    label: str
    map: Float[np.ndarray, "h w"]
    """In [0, 1]."""
    thresholds: Float[np.ndarray, " T"]
    iou: Float[np.ndarray, " T"]
    """With the truth, in [0, 1]."""
    left: Float[np.ndarray, " T"]
    """L_bas: S_b / S with what is above the threshold hidden, in [0, 1]."""
    area: Float[np.ndarray, " T"]
    """L_ac: the share of the photo above the threshold."""

    @property
    def loss(self) -> Float[np.ndarray, " T"]:
        """L_bas + L_ac, by which a threshold is judged."""
        return self.left + self.area

    @property
    def chosen(self) -> int:
        """Position of the threshold with the least loss."""
        return int(self.loss.argmin())


def cut(
    localizer: Localizer,
    collection: Collection,
    folders: Sequence[Path],
    *,
    photos: Sequence[str] = (),
    count: int = 50,
) -> Iterator[dict[str, list[Cuts]]]:
    """For each photo, by folder: every tag's map cut at 19 thresholds.

    Args:
        localizer: a BAS network, whose losses judge; the seeds may be other methods'.
        folders: of seeds.

    Raises:
        InputError: no photo with a true mask and a seed in each folder; a tag that the network does not know.
    """
    series = named(folders)
    localizer.model.eval()
    for photo, place in photos_in([*series.values()], collection, ".npz", photos, count):
        if not photo.mask:
            raise InputError(f"{photo.name} has no true mask, so nobody knows how well a cut fits: take one that has.")
        seeds = {name: read_seed(folder / place) for name, folder in series.items()}
        yield {name: _cuts(localizer, photo, seed, collection.classes) for name, seed in seeds.items()}


@torch.inference_mode()
def _cuts(localizer: Localizer, photo: Photo, seed: Seed, classes: Sequence[str]) -> list[Cuts]:
    if not seed.tags:
        return []
    model, truth = localizer.model, label_map(photo)
    device = next(model.parameters()).device
    pixels = native_view(open_image(photo.path))[None].to(device)
    images = normalise(pixels, localizer.mean, localizer.std)
    features = model.features(images.contiguous(memory_format=torch.channels_last))
    logits = pool(model.class_maps(features))
    label = torch.tensor([localizer.label_of(tag) for tag in seed.tags], device=device)
    maps = torch.from_numpy(seed.maps).to(device)
    thresholds = spread(maps, COUNT)
    masks = above(thresholds, maps)
    whole, views, scores = (each.expand(len(label), *each.shape[1:]) for each in (features, images, logits))
    left = evidence_left(model, whole, views, scores, label, masks).double().cpu().numpy()
    area = masks.mean(dim=(2, 3)).double().cpu().numpy()
    tried = thresholds[0].double().cpu().numpy().round(6)
    large = at_size(seed, truth.shape)
    fits = [ious(one, truth, classes.index(tag) + 1, tried) for one, tag in zip(large, seed.tags, strict=True)]
    each = zip(seed.tags, seed.maps, fits, left, area, strict=True)
    return [Cuts(photo, tag, one, tried, fit, rest, share) for tag, one, fit, rest, share in each]


def draw_cuts(found: Iterable[Mapping[str, Sequence[Cuts]]], out: Path) -> list[Path]:
    """Write the figures and tables into ``out`` and return their paths.

    ``cuts.png`` (and ``.csv``) has the mean over all maps of IoU and loss against the threshold (Fig. 22a);
    ``process.png`` (and ``.csv``) the first map at several thresholds, the one with the least loss framed (Fig. 22b).

    Raises:
        InputError: there are no maps.
    """
    photos = [photo for photo in found if any(photo.values())]
    if not photos:
        raise InputError("none of these photos has a tag, so there is nothing to cut.")
    _draw_means({name: [one for photo in photos for one in photo[name]] for name in photos[0]}, out / "cuts.png")
    _draw_process({name: cuts[0] for name, cuts in photos[0].items()}, out / "process.png")
    return [out / name for name in ("cuts.png", "cuts.csv", "process.png", "process.csv")]


def _draw_means(series: Mapping[str, Sequence[Cuts]], path: Path) -> None:
    captions = {name: _caption(name, cuts) for name, cuts in series.items()}
    iou = {captions[name]: _mean(cuts, [100 * one.iou for one in cuts]) for name, cuts in series.items()}
    loss = {captions[name]: _mean(cuts, [one.loss for one in cuts]) for name, cuts in series.items()}
    title = f"Cuts of {len(next(iter(series.values())))} maps, mean"
    panels(path, {"IoU with the truth, %": iou, "L_bas + L_ac": loss}, xlabel="threshold", title=title)


def _mean(cuts: Sequence[Cuts], curves: Sequence[np.ndarray]) -> Line:
    return Line(cuts[0].thresholds, np.mean(curves, axis=0))


def _caption(name: str, cuts: Sequence[Cuts]) -> str:
    one = 100 * np.mean([each.iou for each in cuts], axis=0).max()
    own = 100 * np.mean([each.iou[each.chosen] for each in cuts])
    best = 100 * np.mean([each.iou.max() for each in cuts])
    return f"{name}: IoU {one:.1f} at one threshold, {own:.1f} where the loss is least, {best:.1f} by the truth"


def _draw_process(series: Mapping[str, Cuts], path: Path) -> None:
    rows, table = {}, []
    for name, one in series.items():
        picture = picture_of(one.photo)
        evenly = np.linspace(0, len(one.thresholds) - 1, SHOWN).round().astype(int).tolist()
        rows[name] = [Picture(heated(picture, one.map), one.label)]
        for place in sorted({*evenly, one.chosen}):
            caption = f"{one.thresholds[place]:.2f}: {one.loss[place]:.3f}"
            binary = Image.fromarray(one.map > one.thresholds[place]).resize(picture.size, Image.Resampling.NEAREST)
            rows[name].append(Picture(binary, caption, place == one.chosen))
        for place, values in enumerate(zip(one.thresholds, one.iou, one.left, one.area, one.loss, strict=True)):
            table.append((name, one.photo.name, one.label, *(f"{v:.6g}" for v in values), int(place == one.chosen)))
    grid_of_images(path, rows, title=f"{next(iter(series.values())).photo.name}: threshold and L_bas + L_ac")
    write_csv(path, ("series", "image", "class", "threshold", "iou", "l_bas", "l_ac", "loss", "chosen"), table)
