"""Table 14, Pascal VOC 2012: BAS on a classifier that has learned from more than tags.

bas train VOC2012/ --out runs/clims --recipe voc_resnet50 --clip-model ViT-B-32:FILE
bas train VOC2012/ --out runs/wood --recipe voc_irn --method wood --weights runs/irn --ood OOD/
bas train VOC2012/ --out runs/bas_wood --recipe voc_resnet50 --weights runs/wood
Nothing of it is in the released code, and the paper says only that BAS is applied to W-OoD and CLIMS to BAS. We read:
CLIP judges the foreground maps while they are trained; and BAS goes on from the classifier of W-OoD.
"""

from . import also
from .voc_resnet50 import RECIPE as BAS

VARIANTS = {
    "bas": BAS,
    "clims": also(
        BAS,
        "table14:clims",
        "Table 14, w/ CLIMS: bas train --clip-model ViT-B-32:FILE, and bas segment with that run.",
        {"seed_miou": 59.0, "mask_miou": 72.3, "val_miou": 70.6, "test_miou": 70.9},
        cost=BAS.cost,
    ),
    "wood": also(
        BAS,
        "table14:wood",
        "Table 14, w/ W-OoD: bas train --weights runs/wood, and bas segment with that run.",
        {"seed_miou": 59.5, "mask_miou": 72.7, "val_miou": 71.3, "test_miou": 71.1},
        cost=BAS.cost,
    ),
}
