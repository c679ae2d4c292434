"""Table 11, Pascal VOC 2012: a segmenter trained on the masks of BAS and of four other methods, on val and test.

bas train VOC2012/ --out runs/irn --recipe voc_irn --method irn
bas segment VOC2012/ --model runs/voc runs/irn --out voc_irn/
A point that goes on from others names its command; DATA and --out have to be added. Thresholds and the power before the
walk are those of the methods' own code. The row of BAS has the CAM of IRN added. True masks of test are with the VOC
server alone. The paper's segmenter begins with weights trained on MS COCO's pixel labels (--student-weights FILE and
--student-initialisation "coco segmentation"), ours with ImageNet's unless told otherwise.
"""

from dataclasses import replace

from . import also, vary
from .voc_irn import RECIPE as IRN
from .voc_resnet50 import RECIPE as BAS

RECAM = vary(
    IRN,
    "table11:recam",
    "Tables 9 and 11, ReCAM: bas train --method recam --weights runs/irn --recipe table11:recam.",
    {"seed_miou": 54.8, "mask_miou": 70.9, "val_miou": 68.5, "test_miou": 68.4},
    epochs=4,
    lr=5e-5,
    certain=0.35,
    doubtful=0.10,
    ground=0.28,
)
VARIANTS = {
    "irn": IRN,
    "cda": also(
        IRN,
        "table11:cda",
        "Tables 9 and 11, CDA: bas train --method cda --recipe voc_irn --bank MASKS, the folder masks of voc_irn.",
        {"seed_miou": 50.8, "mask_miou": 67.7, "val_miou": 65.8, "test_miou": 66.4},
        cost=IRN.cost,
    ),
    "recam": replace(RECAM, cost="2,648 steps of 16 photos at 512 pixels after voc_irn."),
    "advcam": vary(
        IRN,
        "table11:advcam",
        "Tables 9 and 11, AdvCAM: bas segment --model runs/irn:advcam --recipe table11:advcam.",
        {"seed_miou": 55.6, "mask_miou": 69.9, "val_miou": 68.1, "test_miou": 68.0},
        certain=0.35,
        doubtful=0.15,
        power=1.5,
    ),
    "bas_irn": also(
        BAS,
        "table11:bas_irn",
        "Tables 9 and 11, BAS + IRN: bas segment --model runs/voc runs/irn.",
        {"seed_miou": 58.2, "mask_miou": 71.1, "val_miou": 69.6, "test_miou": 69.9},
    ),
}
