"""WSOL and segmentation metrics, exact by name: each equals its reference to the last rounding."""

from .boxes import CenterPrior as CenterPrior
from .boxes import iou_inclusive as iou_inclusive
from .masks import PixelHistogram as PixelHistogram
from .semantic import ConfusionMatrix as ConfusionMatrix
from .semantic import ThresholdSweep as ThresholdSweep
from .sweep import DELTAS as DELTAS
from .sweep import BoxAccuracySweep as BoxAccuracySweep
from .sweep import Protocol as Protocol
from .sweep import box_ious as box_ious
from .sweep import max_box_acc_v2 as max_box_acc_v2
from .sweep import threshold_grid as threshold_grid
