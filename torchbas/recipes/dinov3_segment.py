"""Seeds, pseudo masks and a segmenter on the frozen features of DINOv3."""

from . import vary
from .dinov2_segment import RECIPE as DINOV2_SEGMENT

RECIPE = vary(
    DINOV2_SEGMENT,
    "dinov3_segment",
    "Pseudo masks and a segmenter, seeds from frozen features of DINOv3 (ViT-S/16); not measured here.",
    backbone="vit_small_patch16_dinov3.lvd1689m",
    resize=256,
)
