"""Table 6, WSSS, ResNet50: what L_bas adds to the seeds of Pascal VOC 2012 and MS COCO 2014."""

from . import vary
from .coco_resnet50 import RECIPE as COCO
from .voc_resnet50 import RECIPE as VOC

ABOUT = "Table 6: L_mcls, L_frg and L_ac alone."

VARIANTS = {
    "voc_no_lbas": vary(VOC, "table6:voc_no_lbas", ABOUT, {"seed_miou": 50.1}, suppression=0.0),
    "voc_bas": VOC,
    "coco_no_lbas": vary(COCO, "table6:coco_no_lbas", ABOUT, {"seed_miou": 32.5}, suppression=0.0),
    "coco_bas": COCO,
}
