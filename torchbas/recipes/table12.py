"""Table 12, MS COCO 2014: a segmenter trained on the masks, on val.

bas train COCO2014/ --out runs/coco --recipe coco_resnet50
bas segment COCO2014/ --model runs/coco --recipe coco_resnet50 --out coco/
The paper took the other rows from elsewhere; how they were trained on COCO it does not say, so here it is as on VOC.
ReCAM for COCO weighs its second loss with .1, which is an argument in Python only.
"""

from . import also
from .coco_resnet50 import RECIPE as BAS
from .table11 import VARIANTS as TABLE_11
from .voc_irn import RECIPE as IRN

VARIANTS = {
    "bas": BAS,
    "irn": also(
        IRN,
        "table12:irn",
        "Table 12, IRN: bas train COCO2014/ --method irn --recipe table12:irn.",
        {"val_miou": 41.4},
        cost="25,655 steps of 16 photos at 512 pixels: eight times voc_irn; the student 20,000 steps more.",
    ),
    "advcam": also(
        TABLE_11["advcam"],
        "table12:advcam",
        "Table 12, AdvCAM: bas segment COCO2014/ --model runs/coco_irn:advcam --recipe table12:advcam.",
        {"val_miou": 44.4},
        cost="None beyond table12:irn: the same weights, their maps read in another way.",
    ),
}
