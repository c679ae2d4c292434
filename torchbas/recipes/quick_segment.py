"""Masks for your own photos: small photos, few steps; a GPU helps, two CPU cores do for some hundreds."""

from dataclasses import replace

from ..config import (
    IRN_TRAINING,
    SEGMENTER_TRAINING,
    Architecture,
    Inference,
    Objective,
    Recipe,
    Segmentation,
    Training,
)

RECIPE = Recipe(
    name="quick_segment",
    about="Pseudo masks and a segmenter from a folder of tagged photos, by the objective of quick.",
    architecture=Architecture(
        backbone="resnet50_wsss", head="linear", guidance_detached=True, padding_mode="reflect", align=True
    ),
    options=Objective(
        guidance=0.5,
        area=1.5,
        bas_target=0.55,
        classifier="probe",
        fill="mean",
        background_class=True,
        ratio_cap=None,
        slope=0.1,
    ),
    training=Training(
        steps=200, batch_size=16, schedule="poly", f1="cached", views=4, resize=256, crop=224, sharing=1.0
    ),
    inference=Inference(top_k=1, threshold=0.4, normalized=False, enlarge="auto", refine="crf"),
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
