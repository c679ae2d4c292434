"""Table 2, CUB-200-2011, ResNet50: what L_bas and top-k add.

``bas eval`` reads every model with k = 1 as well, so the run of ``cub_resnet50`` gives rows (b) and (c) at once.
The paper does not say with which alpha and beta its baseline was trained; here they stay.
"""

from . import reread, vary
from .cub_resnet50 import RECIPE as FULL

VARIANTS = {
    "no_lbas": vary(
        FULL,
        "table2:no_lbas",
        "Table 2 (a): L_cls, L_frg and L_ac alone, the map of the true class.",
        {"gt_known": 71.14, "top1_loc": 57.89, "top5_loc": 67.48},
        suppression=0.0,
        top_k=1,
    ),
    "bas_k1": reread(
        FULL,
        "table2:bas_k1",
        "Table 2 (b): L_bas added, the map of the true class.",
        {"gt_known": 92.15, "top1_loc": 74.15, "top5_loc": 86.88},
        top_k=1,
    ),
    "bas_kall": FULL,
}
