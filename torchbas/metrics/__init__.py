"""Metrics, exact by name: what is measured here equals its reference to the last rounding."""

from .boxes import CentredBoxes as CentredBoxes
from .boxes import iou_inclusive as iou_inclusive
from .masks import PixelScores as PixelScores
from .semantic import Confusion as Confusion
from .semantic import ThresholdSweep as ThresholdSweep
from .sweep import DELTAS as DELTAS
from .sweep import Protocol as Protocol
from .sweep import Sweep as Sweep
from .sweep import max_box_acc_v2 as max_box_acc_v2
from .sweep import overlaps as overlaps
from .sweep import threshold_grid as threshold_grid
