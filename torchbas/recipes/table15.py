"""Table 15, Pascal VOC 2012: seeds binarized where L_bas + L_ac are least, image by image.

The score image_threshold is that of these thresholds, seed that of the best threshold for all. The losses are those of
a BAS network, whichever method the maps are from.
"""

from . import vary
from .table11 import VARIANTS as TABLE_11
from .voc_resnet50 import RECIPE as BAS

PAPER = {"irn": 49.5, "cda": 51.3, "recam": 55.0, "advcam": 55.7, "bas": 57.8}
METHODS = TABLE_11 | {"bas": BAS}

VARIANTS = {
    name: vary(
        METHODS[name],
        f"table15:{name}",
        f"Table 15: {METHODS[name].name} with a threshold for each image.",
        {"seed_miou": seed},
        cam_eval_thres="image_specific",
        threshold_model="" if name == "bas" else "voc_resnet50",
    )
    for name, seed in PAPER.items()
}
