"""Masks for your own photos: small photos, few steps; a GPU helps, two CPU cores do for some hundreds."""

from dataclasses import replace

from ..config import IRN_TRAINING, SEGMENTER_TRAINING, Recipe, Segmentation
from .quick import RECIPE as QUICK

RECIPE = Recipe(
    name="quick_segment",
    about="Pseudo masks and a segmenter from a folder of tagged photos, by the objective of quick.",
    architecture=replace(QUICK.architecture, backbone="resnet50_wsss", activation="relu", guidance_detached=True),
    options=QUICK.options,
    training=replace(QUICK.training, steps=200, schedule="poly", views=4),
    inference=QUICK.inference,
    segmentation=Segmentation(
        scales=(1.0, 0.5, 1.5),
        # Chosen on the true masks of 37 photos of msrc15.
        cam_eval_thres=0.35,
        conf_fg_thres=0.55,
        conf_bg_thres=0.25,
        cam_power=4.0,
        sem_seg_bg_thres=0.4,
        irn=replace(IRN_TRAINING, batch_size=16, resize=256, crop=256),
        segmenter_network="deeplabv2_resnet50",
        segmenter=replace(SEGMENTER_TRAINING, steps=120, batch_size=8, lr=2.5e-3, resize=193, crop=193),
    ),
)
