"""Pascal VOC 2012, ResNet50: CAM of the classifier that IRN begins with, the baseline of Tables 9, 11 and 15.

These are the settings of IRN's code (Ahn et al. 2019), whose optimizer, too, takes the weight decay for the momentum.
"""

from ..config import Architecture, Recipe, Segmentation, Training

RECIPE = Recipe(
    name="voc_irn",
    about="Tables 9, 11 and 15, Pascal VOC 2012, ResNet50: the CAM that BAS is compared with and added to.",
    data="voc",
    paper={"seed_miou": 48.8, "mask_miou": 66.3, "val_miou": 63.5, "test_miou": 64.8},
    method="irn",
    options={},
    architecture=Architecture(backbone="resnet50_wsss", head="linear"),
    training=Training(
        epochs=5,
        batch_size=16,
        lr=0.1,
        bias_factor=1.0,
        momentum=1e-4,
        nesterov=False,
        weight_decay=1e-4,
        schedule="poly",
        view="long_side",
        resize=512,
        crop=512,
    ),
    segmentation=Segmentation(
        cam_eval_thres=0.15, conf_fg_thres=0.30, conf_bg_thres=0.05, cam_power=1.0, sem_seg_bg_thres=0.25
    ),
)
