"""A generator on the frozen features of DINOv3, cut behind the last block. Weights: on request, DINOv3's license."""

from . import vary
from .dinov2 import RECIPE as DINOV2

RECIPE = vary(
    DINOV2,
    "dinov3",
    "Frozen features of DINOv3 (ViT-S/16), whose license restricts their use; not measured here.",
    backbone="vit_small_patch16_dinov3.lvd1689m",
    resize=256,
)
