"""Pascal VOC 2012, ResNet50: the WSSS rows of Tables 6, 9 and 11, as the paper's text has them (Sec. 5.1)."""

from ..config import Architecture, Objective, Recipe, Training

RECIPE = Recipe(
    name="voc_resnet50",
    about="Tables 6, 9 and 11, Pascal VOC 2012, ResNet50: seeds, masks and a segmenter of 20 classes.",
    data="voc",
    paper={"seed_miou": 57.7, "mask_miou": 71.1, "val_miou": 69.6, "test_miou": 69.9},
    architecture=Architecture(backbone="resnet50_wsss", head="linear", guidance_detached=True),
    options=Objective(guidance=0.2, area=1.2),
    training=Training(
        epochs=10,
        batch_size=16,
        lr=5e-3,
        bias_factor=1.0,
        nesterov=False,
        weight_decay=1e-4,
        schedule="poly",
        resize=512,
        crop=448,
    ),
)
