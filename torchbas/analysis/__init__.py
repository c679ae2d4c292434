"""The paper's analysis figures from one's own runs: each a PNG with its numbers beside it as CSV."""

from .image_thresholds import ThresholdCurve as ThresholdCurve
from .image_thresholds import draw_image_thresholds as draw_image_thresholds
from .image_thresholds import threshold_curves as threshold_curves
from .iou import draw_ious as draw_ious
from .mask_sweep import SweepCurve as SweepCurve
from .mask_sweep import draw_sweep as draw_sweep
from .mask_sweep import sweep_masks as sweep_masks
from .masks import draw_masks as draw_masks
from .seeds import draw_seeds as draw_seeds
from .size import draw_sizes as draw_sizes
from .terms import LOSSES as LOSSES
from .terms import draw_losses as draw_losses
from .terms import draw_terms as draw_terms
from .thresholds import draw_thresholds as draw_thresholds
from .weights import draw_weights as draw_weights
