"""Seeds, pseudo masks and a segmenter on the frozen features of DINOv2."""

from . import vary
from .dinov2 import RECIPE as DINOV2
from .frozen_segment import RECIPE as FROZEN_SEGMENT

RECIPE = vary(
    FROZEN_SEGMENT,
    "dinov2_segment",
    "Pseudo masks and a segmenter, seeds from frozen features of DINOv2 (ViT-S/14); not measured here.",
    architecture=DINOV2.architecture,
    resize=252,
)
