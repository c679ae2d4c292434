"""Table 12, MS COCO 2014: a segmenter trained on the masks, on val.

The paper took the other rows from elsewhere; how they were trained on COCO it does not say, so here it is as on VOC.
"""

from . import vary
from .coco_resnet50 import RECIPE as BAS
from .table11 import VARIANTS as TABLE_11
from .voc_irn import RECIPE as IRN

VARIANTS = {
    "bas": BAS,
    "irn": vary(IRN, "table12:irn", "Table 12, IRN: its classifier on MS COCO.", {"val_miou": 41.4}, data="coco"),
    "advcam": vary(
        TABLE_11["advcam"],
        "table12:advcam",
        "Table 12, AdvCAM: the maps of IRN's classifier added up along an adversarial climb.",
        {"val_miou": 44.4},
        data="coco",
        init_from="table12:irn",
    ),
}
