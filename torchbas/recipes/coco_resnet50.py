"""MS COCO 2014, ResNet50: the WSSS rows of Tables 6 and 12, as the paper's text has them (Sec. 5.1).

Nothing of COCO is in the released code: the thresholds of irn are VOC's, and so is the segmenter's schedule. The
segmenter has a ResNet50, as Table 12 says of this row; Sec. 5.1 speaks of ResNet101 only.
"""

from . import vary
from .voc_resnet50 import RECIPE as VOC

RECIPE = vary(
    VOC,
    "coco_resnet50",
    "Tables 6 and 12, MS COCO 2014, ResNet50: seeds, masks and a segmenter of 80 classes.",
    {"seed_miou": 36.9, "val_miou": 45.1},
    data="coco",
    guidance=0.5,
    area=1.5,
    batch_size=64,
    segmenter_network="deeplabv2_resnet50",
)
