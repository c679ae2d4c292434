"""A generator on the frozen features of DINOv2, cut behind the last block: nothing is left to run but pooling.

Two crops of 16 x 16 patches a photo are cached. Weights: Apache-2.0.
"""

from . import vary
from .frozen import RECIPE as FROZEN

RECIPE = vary(
    FROZEN,
    "dinov2",
    "Frozen features of DINOv2 (ViT-S/14), for a folder of tagged photos or CUB; not measured here.",
    backbone="vit_small_patch14_dinov2.lvd142m",
    generator_stage=12,
    align=False,
    resize=252,
)
