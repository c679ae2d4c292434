"""Table 13, Pascal VOC 2012: a class-agnostic foreground map weakens the maps of classes.

bas train VOC2012/ --out runs/agnostic --recipe table13:agnostic
bas segment VOC2012/ --model runs/voc --foreground runs/agnostic --out average/
bas segment VOC2012/ --model runs/voc --foreground runs/agnostic --out replace/ --recipe table13:replace
Nothing of it is in the released code. The paper does not say with which alpha and beta the foreground map was trained;
here they stay.
"""

from dataclasses import replace

from . import also, vary
from .voc_resnet50 import RECIPE as BAS

WEAKENED = "bas segment --model runs/voc --foreground runs/agnostic --recipe"

REPLACED = vary(
    BAS,
    "table13:replace",
    f"Table 13, Replace: {WEAKENED} table13:replace.",
    {"seed_miou": 57.9, "mask_miou": 71.4, "val_miou": 69.9, "test_miou": 70.0},
    strategy="replace",
)
VARIANTS = {
    "none": BAS,
    "agnostic": vary(BAS, "table13:agnostic", "Table 13: the class-agnostic map of Sec. 5.5.", agnostic=True),
    "replace": replace(REPLACED, cost="None beyond voc_resnet50 and the other runs it names."),
    "average": also(
        BAS,
        "table13:average",
        f"Table 13, Average: {WEAKENED} table13:average.",
        {"seed_miou": 58.3, "mask_miou": 71.6, "val_miou": 70.3, "test_miou": 70.1},
    ),
}
