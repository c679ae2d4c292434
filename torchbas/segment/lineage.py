"""What each stage comes from: a stage is done again when any of it is another."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..config import Precision, Segmentation, Training
from .setup import Start, irn_training, student_training
from .sources import Method, Ready

Parts = tuple[object, ...]


@dataclass(frozen=True)
class Lineage:
    """The parts of each stage, those of the stages before it included; the photos belong to all of them."""

    sources: Sequence[Method | Ready]
    foreground: Method | None
    judge: Method | None
    settings: Segmentation
    start: Start
    seed: int
    precision: Precision

    def source(self, source: Method | Ready) -> Parts:
        """Of one source's seeds."""
        return (source.identity,) if isinstance(source, Ready) else (source.identity, self.settings.scales)

    @property
    def seeds(self) -> Parts:
        """Of all sources' together."""
        every = [*self.sources, *([self.foreground] if self.foreground else [])]
        parts = tuple(part for source in every for part in self.source(source))
        return (*parts, self.settings.strategy) if self.foreground else parts

    @property
    def thresholds(self) -> Parts:
        return (*self.seeds, *([self.judge.identity] if self.judge else []))

    @property
    def certain(self) -> Parts:
        return (*self.seeds, self.settings.certain, self.settings.doubtful)

    @property
    def irn(self) -> Parts:
        return (*self.certain, self.irn_training, self.start.irn)

    @property
    def masks(self) -> Parts:
        settings = self.settings
        if settings.refine == "irn":
            return (*self.irn, settings.power, settings.ground)
        return (*(self.thresholds if settings.cut == "image" else self.seeds), settings.refine, settings.cut)

    @property
    def student(self) -> Parts:
        start = self.start.student, self.start.initialisation
        return (*self.masks, self.settings.student, self.student_training, *start)

    @property
    def predictions(self) -> Parts:
        return (*self.student, self.settings.student_crf)

    @property
    def irn_training(self) -> Training:
        return irn_training(self.settings, self.seed, self.precision)

    @property
    def student_training(self) -> Training:
        return student_training(self.settings, self.seed, self.precision)
