"""Table 11, Pascal VOC 2012: a segmenter trained on the masks of BAS and of four other methods, on val and test.

Thresholds and the power before the random walk are those of the methods' own code. The row of BAS has the CAM of IRN
added. True masks of test are with the VOC server alone. The paper's segmenter begins with weights trained on MS COCO's
pixel labels (--segmenter-weights FILE --segmenter-initialization coco_segmentation), ours with ImageNet's unless told
otherwise.
"""

from . import combine, reread, vary
from .voc_irn import RECIPE as IRN
from .voc_resnet50 import RECIPE as BAS

BANK = {"bank": "the folder masks of bas segment with a run of voc_irn"}

VARIANTS = {
    "irn": IRN,
    "cda": vary(
        IRN,
        "table11:cda",
        "Tables 9 and 11, CDA: objects of a first round's masks pasted into other photos.",
        {"seed_miou": 50.8, "mask_miou": 67.7, "val_miou": 65.8, "test_miou": 66.4},
        method="cda",
        needs=BANK,
    ),
    "recam": vary(
        IRN,
        "table11:recam",
        "Tables 9 and 11, ReCAM: a second classifier on the class features of IRN's.",
        {"seed_miou": 54.8, "mask_miou": 70.9, "val_miou": 68.5, "test_miou": 68.4},
        method="recam",
        init_from="voc_irn",
        epochs=4,
        lr=5e-5,
        conf_fg_thres=0.35,
        conf_bg_thres=0.10,
        sem_seg_bg_thres=0.28,
    ),
    "advcam": reread(
        IRN,
        "table11:advcam",
        "Tables 9 and 11, AdvCAM: the maps of IRN's classifier added up along an adversarial climb.",
        {"seed_miou": 55.6, "mask_miou": 69.9, "val_miou": 68.1, "test_miou": 68.0},
        method="advcam",
        conf_fg_thres=0.35,
        conf_bg_thres=0.15,
        cam_power=1.5,
    ),
    "bas_irn": combine(
        BAS,
        "table11:bas_irn",
        "Tables 9 and 11, BAS + IRN.",
        {"seed_miou": 58.2, "mask_miou": 71.1, "val_miou": 69.6, "test_miou": 69.9},
        "voc_resnet50",
        "voc_irn",
    ),
}
