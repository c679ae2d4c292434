"""Table 14, Pascal VOC 2012: BAS on a classifier that has learned from more than tags.

Nothing of it is in the released code, and the paper says only that BAS is applied to W-OoD and CLIMS to BAS. We read:
CLIP compares the foreground maps with sentences while they are trained; and BAS goes on from the classifier of W-OoD.
"""

from . import vary
from .voc_irn import RECIPE as IRN
from .voc_resnet50 import RECIPE as BAS

CLIP = {"clip_model": "NAME:FILE of open_clip, or a folder of transformers"}
OUTSIDERS = {"ood": "a folder of photos that show none of the classes"}

VARIANTS = {
    "bas": BAS,
    "clims": vary(
        BAS,
        "table14:clims",
        "Table 14, w/ CLIMS: its losses on the foreground maps.",
        {"seed_miou": 59.0, "mask_miou": 72.3, "val_miou": 70.6, "test_miou": 70.9},
        needs=CLIP,
    ),
    "w_ood_classifier": vary(
        IRN,
        "table14:w_ood_classifier",
        "Table 14: the classifier of W-OoD, which BAS goes on from.",
        method="w_ood",
        needs=OUTSIDERS,
        init_from="voc_irn",
    ),
    "w_ood": vary(
        BAS,
        "table14:w_ood",
        "Table 14, w/ W-OoD: BAS from the classifier of W-OoD.",
        {"seed_miou": 59.5, "mask_miou": 72.7, "val_miou": 71.3, "test_miou": 71.1},
        init_from="table14:w_ood_classifier",
    ),
}
