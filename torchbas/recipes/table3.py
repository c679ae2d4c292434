"""Table 3, CUB-200-2011, ResNet50: the generator after layer 1, 2, 3 (the paper's place) or 4."""

from . import vary
from .cub_resnet50 import RECIPE as LAYER3

PAPER = {
    1: {"gt_known": 52.87, "top1_loc": 42.47, "top5_loc": 49.65},
    2: {"gt_known": 86.16, "top1_loc": 69.24, "top5_loc": 81.24},
    4: {"gt_known": 90.94, "top1_loc": 71.63, "top5_loc": 84.81},
}

VARIANTS = {
    f"layer{n}": vary(
        LAYER3, f"table3:layer{n}", f"Table 3: the generator after layer {n}.", PAPER[n], generator_stage=n
    )
    if n in PAPER
    else LAYER3
    for n in (1, 2, 3, 4)
}
