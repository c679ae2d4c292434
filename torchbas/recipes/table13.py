"""Table 13, Pascal VOC 2012: a class-agnostic foreground map weakens the maps of classes.

Nothing of it is in the released code. The paper does not say with which alpha and beta the foreground map was trained;
here they stay.
"""

from . import vary
from .voc_resnet50 import RECIPE as BAS

VARIANTS = {
    "none": BAS,
    "class_agnostic": vary(
        BAS, "table13:class_agnostic", "Table 13: the class-agnostic map of Sec. 5.5.", class_agnostic=True
    ),
    "replace": vary(
        BAS,
        "table13:replace",
        "Table 13, Replace: the class-agnostic map where a class's own is above it.",
        {"seed_miou": 57.9, "mask_miou": 71.4, "val_miou": 69.9, "test_miou": 70.0},
        foreground="table13:class_agnostic",
        strategy="replace",
    ),
    "average": vary(
        BAS,
        "table13:average",
        "Table 13, Average: the mean of both maps where a class's own is above the class-agnostic one.",
        {"seed_miou": 58.3, "mask_miou": 71.6, "val_miou": 70.3, "test_miou": 70.1},
        foreground="table13:class_agnostic",
    ),
}
