"""CUB-200-2011, MobileNetV1: the row of Table 1, with the authors' own hyper-parameters.

bas train CUB_200_2011/ --out runs/cub_mobilenetv1 --recipe cub_mobilenetv1
The authors' ImageNet weights were trained with ReLU; give --activation relu6 with weights that were not.
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="cub_mobilenetv1",
    about="Table 1, CUB-200-2011, MobileNetV1: 200 bird species, trained from ImageNet weights.",
    cost="22,560 steps of 32 photos: hours on one GPU, weeks on two CPU cores.",
    paper={"gt_known": 93.04, "top1_loc": 70.54, "top5_loc": 86.71},
    architecture=Architecture(backbone="mobilenetv1"),
    objective=Objective(guidance=0.5, area=1.9),
    training=Training(epochs=120, batch_size=32, lr=1e-3, schedule="step", step_epochs=80, seed=6),
    inference=Inference(top=80, threshold=0.1),
)
