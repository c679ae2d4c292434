"""Seeds to label maps on disk: confident labels that IRN learns from, pseudo masks that the segmenter learns from.

Local labels are those of one sample: 0 background, i + 1 its i-th tag, 255 ignore.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ..config import Segmentation
from ..data import open_image
from ..export.voc import write_labels
from ..structures import IGNORE_INDEX, Sample
from .cache import SampleFiles
from .irn.labels import crf_labels, ir_labels, local_labels
from .irn.network import Boundaries
from .irn.random_walk import random_walk
from .seeds.combine import Seeds
from .seeds.multi_scale import full_size, native_view
from .seeds.thresholds import Thresholds, align_thresholds


@dataclass(frozen=True)
class LabelMaps(SampleFiles):
    """A folder of label maps, one PNG for each sample."""

    def write(self, sample: Sample, local: UInt8[np.ndarray, "H W"], size: tuple[int, int]) -> None:
        """Write local labels as those of the class list, at the photo's size."""
        labels = class_labels(local, sample.labels)
        if labels.shape != size:
            labels = np.array(Image.fromarray(labels).resize((size[1], size[0]), Image.Resampling.NEAREST))
        write_labels(self.path(sample), labels)


@dataclass(frozen=True)
class Binarize:
    """Writes pseudo masks: seeds above a threshold, one for all or one for each sample and tag; then perhaps a CRF."""

    seeds: Seeds
    masks: LabelMaps
    settings: Segmentation
    thresholds: Thresholds | None = None

    def __call__(self, sample: Sample) -> None:
        seed = self.seeds(sample)
        maps, threshold = full_size(seed.maps, seed.size), self.settings.cam_eval_thres
        if self.thresholds is not None:
            chosen = self.thresholds(sample)
            maps, threshold = align_thresholds(maps, [chosen[tag] for tag in seed.tags]), 0.5
        if self.settings.refine == "crf":
            local = crf_labels(pixels(sample), maps, float(threshold))
        else:
            local = local_labels(maps, float(threshold))
        self.masks.write(sample, local, seed.size)


@dataclass(frozen=True)
class IRLabels:
    """Writes the labels that IRN learns from: those on which a seed and two dense CRFs agree, 255 elsewhere."""

    seeds: Seeds
    masks: LabelMaps
    settings: Segmentation

    def __call__(self, sample: Sample) -> None:
        seed = self.seeds(sample)
        maps = full_size(seed.maps, seed.size)
        local = ir_labels(pixels(sample), maps, self.settings.conf_fg_thres, self.settings.conf_bg_thres)
        self.masks.write(sample, local, seed.size)


@dataclass(frozen=True)
class RandomWalk:
    """Writes pseudo masks: per pixel the highest map after IRN's random walk of the seed between its boundaries."""

    seeds: Seeds
    masks: LabelMaps
    settings: Segmentation

    def __call__(self, sample: Sample, boundaries: Boundaries) -> None:
        seed = self.seeds(sample)
        maps = seed.maps
        if len(maps):
            maps = random_walk(maps**self.settings.cam_power, boundaries.edge)
        maps = full_size(maps, seed.size)
        # IRN divides by the largest value in the photo, whatever its class.
        local = local_labels(maps / max(float(maps.max(initial=0)), 1e-5), self.settings.sem_seg_bg_thres)
        self.masks.write(sample, local, seed.size)


def class_labels(local: UInt8[np.ndarray, "H W"], labels: Sequence[int]) -> UInt8[np.ndarray, "H W"]:
    """Local labels as those of the class list; ``labels`` are the sample's."""
    table = np.zeros(256, np.uint8)
    table[IGNORE_INDEX] = IGNORE_INDEX
    for index, label in enumerate(labels, 1):
        table[index] = label + 1
    return table[local]


def pixels(sample: Sample) -> UInt8[np.ndarray, "H W 3"]:
    """The photo at its working size."""
    return native_view(open_image(sample.path)).permute(1, 2, 0).contiguous().numpy()
