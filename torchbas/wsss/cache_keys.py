"""Cache keys of the stages: a stage is done again when any part of its key is another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..config import Segmentation
from .seeds.sources import SeedFolder, SeedNetwork, SeedSource
from .setup import InitialWeights

Parts = tuple[object, ...]


@dataclass(frozen=True)
class CacheKeys:
    """The key of each stage, with those of the stages before it; the samples belong to all of them."""

    sources: Sequence[SeedSource]
    foreground: SeedNetwork | None
    threshold_model: SeedNetwork | None
    settings: Segmentation
    weights: InitialWeights

    def by_stage(self, until: str, *, instances: bool) -> Iterator[tuple[str, Parts]]:
        """Name and key of each stage up to ``until`` that is made of the training samples."""
        for source in (*self.sources, *([self.foreground] if self.foreground else [])):
            yield f"seeds/{source.name}", self.source(source)
        if self.settings.cam_eval_thres == "image_specific":
            yield "thresholds", self.thresholds
        if until != "seed":
            if self.settings.refine == "irn":
                yield from (("ir_labels", self.ir_labels), ("irn", self.irn))
            yield "masks", self.masks
            if instances:
                yield "instances", self.masks
        if until == "segmenter":
            yield "segmenter", self.segmenter

    def source(self, source: SeedSource) -> Parts:
        """Of one source's seeds."""
        return (source.fingerprint,) if isinstance(source, SeedFolder) else (source.fingerprint, self.settings.scales)

    @property
    def seeds(self) -> Parts:
        """Of all sources' seeds together."""
        every = [*self.sources, *([self.foreground] if self.foreground else [])]
        parts = tuple(part for source in every for part in self.source(source))
        return (*parts, self.settings.strategy) if self.foreground else parts

    @property
    def thresholds(self) -> Parts:
        return (*self.seeds, *([self.threshold_model.fingerprint] if self.threshold_model else []))

    @property
    def ir_labels(self) -> Parts:
        return (*self.seeds, self.settings.conf_fg_thres, self.settings.conf_bg_thres)

    @property
    def irn(self) -> Parts:
        return (*self.ir_labels, self.settings.irn, self.weights.irn)

    @property
    def masks(self) -> Parts:
        settings = self.settings
        if settings.refine == "irn":
            return (*self.irn, settings.cam_power, settings.sem_seg_bg_thres)
        image_specific = settings.cam_eval_thres == "image_specific"
        return (*(self.thresholds if image_specific else self.seeds), settings.refine, settings.cam_eval_thres)

    @property
    def segmenter(self) -> Parts:
        weights, settings = self.weights, self.settings
        start = weights.segmenter, weights.initialization
        return (*self.masks, settings.segmenter_network, settings.segmenter, *start)

    @property
    def predictions(self) -> Parts:
        return (*self.segmenter, self.settings.segmenter_crf)
