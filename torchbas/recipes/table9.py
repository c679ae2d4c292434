"""Tables 9 and 10, Pascal VOC 2012: other methods' seeds, alone, added to each other, and added to those of BAS.

bas segment VOC2012/ --model runs/voc runs/cda --out voc_cda/
The methods are those of Table 11, and CLIMS. Table 9 gives no mask of BAS alone; Tables 13 and 14 print the 71.1 of BAS
+ IRN beside its seed, 57.7. AdvCAM's seed is 55.6 here and 55.5 in Tables 10 and 15.
"""

from dataclasses import replace

from ..config import Recipe
from . import also, vary
from .table11 import VARIANTS as TABLE_11
from .voc_irn import RECIPE as IRN
from .voc_resnet50 import RECIPE as BAS

NAMES = {"bas": "BAS", "cda": "CDA", "recam": "ReCAM", "advcam": "AdvCAM"}
RUNS = {"bas": "runs/voc", "cda": "runs/cda", "recam": "runs/recam", "advcam": "runs/irn:advcam"}
SUMS = {  # mIoU of seed and mask, and whose thresholds
    "advcam_cda": (55.5, 69.3, TABLE_11["advcam"]),
    "recam_cda": (54.5, 70.5, TABLE_11["recam"]),
    "bas_cda": (58.8, 71.0, BAS),
    "recam_advcam": (56.6, 70.9, TABLE_11["advcam"]),
    "bas_advcam": (59.8, 71.5, BAS),
}


def _sum(point: str, seed: float, mask: float, base: Recipe) -> Recipe:
    methods = point.split("_")
    names, runs = (sign.join(words[one] for one in methods) for sign, words in ((" + ", NAMES), (" ", RUNS)))
    about = f"Table 9, {names}: bas segment --model {runs} --recipe {base.name}."
    return also(base, f"table9:{point}", about, {"seed_miou": seed, "mask_miou": mask})


CLIMS = vary(
    IRN,
    "table9:clims",
    "Table 9, CLIMS: bas train --method clims --weights runs/irn --clip-model ViT-B-32:FILE --recipe table9:clims.",
    {"seed_miou": 56.6, "mask_miou": 70.5},
    epochs=15,
    lr=2.5e-4,
    doubtful=0.10,
    ground=0.20,
)
VARIANTS = {
    **TABLE_11,
    "clims": replace(
        CLIMS, cost="9,930 steps of 16 photos at 512 pixels after voc_irn, and a CLIP that looks at each."
    ),
    "bas": BAS,
    **{point: _sum(point, *row) for point, row in SUMS.items()},
}
