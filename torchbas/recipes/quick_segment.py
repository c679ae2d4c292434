"""Masks for your own photos: small photos, few steps, an eased start; a GPU helps, two CPU cores do for some hundreds.

bas train photos/ --out runs/pets --recipe quick_segment
bas segment photos/ --model runs/pets --out masks/
"""

from ..config import Architecture, Objective, Recipe, Segmentation, Training

RECIPE = Recipe(
    name="quick_segment",
    about="Pseudo masks and a segmenter from a folder of tagged photos: small photos, eased start.",
    cost="A few hundred photos: an hour or two on two CPU cores, minutes on a GPU.",
    architecture=Architecture(
        backbone="resnet50_wsss", head="linear", guidance_detached=True, sharing=1.0, centred=True
    ),
    objective=Objective(guidance=0.2, area=1.2, classifier_steps=60),
    training=Training(
        steps=180,
        batch_size=16,
        lr=2e-3,
        bias_factor=1.0,
        nesterov=False,
        weight_decay=1e-4,
        schedule="poly",
        stem="cached",
        views=4,
        resize=256,
        crop=224,
    ),
    segmentation=Segmentation(
        scales=(1.0, 0.5, 1.5),
        # After few steps maps are near 0 and 1 and reach over the rim, so they are cut higher than the paper's. Chosen
        # on the true masks of 37 photos of msrc15.
        cut=0.8,
        certain=0.85,
        doubtful=0.6,
        power=4.0,
        ground=0.4,
        irn_batch_size=16,
        irn_crop=256,
        student="deeplabv2_resnet50",
        student_steps=120,
        student_batch_size=8,
        student_crop=193,
        student_lr=2.5e-3,
    ),
)
