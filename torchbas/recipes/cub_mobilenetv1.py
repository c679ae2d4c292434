"""CUB-200-2011, MobileNetV1: the row of Table 1, with the authors' own hyper-parameters.

The authors' ImageNet weights were trained with ReLU; give --activation relu6 with weights that were not.
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="cub_mobilenetv1",
    about="Table 1, CUB-200-2011, MobileNetV1: 200 bird species, trained from ImageNet weights.",
    data="cub",
    paper={"gt_known": 93.04, "top1_loc": 70.54, "top5_loc": 86.71},
    architecture=Architecture(backbone="mobilenetv1"),
    options=Objective(guidance=0.5, area=1.9),
    training=Training(epochs=120, batch_size=32, lr=1e-3, schedule="step", step_epochs=80, seed=6),
    inference=Inference(top_k=80, threshold=0.1),
)
