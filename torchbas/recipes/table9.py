"""Tables 9 and 10, Pascal VOC 2012: other methods' seeds, alone, added to each other, and added to those of BAS.

The methods are those of Table 11, and CLIMS. Table 9 gives no mask of BAS alone; Tables 13 and 14 print the 71.1 of BAS
+ IRN beside its seed, 57.7. AdvCAM's seed is 55.6 here and 55.5 in Tables 10 and 15.
"""

from . import combine, vary
from .table11 import VARIANTS as TABLE_11
from .voc_irn import RECIPE as IRN
from .voc_resnet50 import RECIPE as BAS

NAMES = {"bas": "BAS", "cda": "CDA", "recam": "ReCAM", "advcam": "AdvCAM"}
RUNS = {"bas": "voc_resnet50", "cda": "table11:cda", "recam": "table11:recam", "advcam": "table11:advcam"}
SUMS = {  # mIoU of seed and mask, and whose thresholds
    "advcam_cda": (55.5, 69.3, TABLE_11["advcam"]),
    "recam_cda": (54.5, 70.5, TABLE_11["recam"]),
    "bas_cda": (58.8, 71.0, BAS),
    "recam_advcam": (56.6, 70.9, TABLE_11["advcam"]),
    "bas_advcam": (59.8, 71.5, BAS),
}

VARIANTS = {
    **TABLE_11,
    "clims": vary(
        IRN,
        "table9:clims",
        "Table 9, CLIMS: CLIP compares the class maps of IRN's classifier with sentences.",
        {"seed_miou": 56.6, "mask_miou": 70.5},
        method="clims",
        needs={"clip_model": "NAME:FILE of open_clip, or a folder of transformers"},
        init_from="voc_irn",
        epochs=15,
        lr=2.5e-4,
        conf_bg_thres=0.10,
        sem_seg_bg_thres=0.20,
    ),
    "bas": BAS,
    **{
        point: combine(
            base,
            f"table9:{point}",
            f"Table 9, {' + '.join(NAMES[one] for one in point.split('_'))}.",
            {"seed_miou": seed, "mask_miou": mask},
            *(RUNS[one] for one in point.split("_")),
        )
        for point, (seed, mask, base) in SUMS.items()
    },
}
