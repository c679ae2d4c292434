"""ILSVRC, MobileNetV1: the row of Table 1, with the authors' own hyper-parameters.

The authors' ImageNet weights were trained with ReLU; give --activation relu6 with weights that were not.
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="ilsvrc_mobilenetv1",
    about="Table 1, ILSVRC, MobileNetV1: the 1,000 classes of ImageNet, trained from ImageNet weights.",
    data="ilsvrc",
    paper={"gt_known": 72.03, "top1_loc": 53.05, "top5_loc": 66.68},
    architecture=Architecture(backbone="mobilenetv1"),
    options=Objective(guidance=0.5, area=1.5),
    training=Training(epochs=9, batch_size=128, lr=1e-3, schedule="step", step_epochs=3, seed=0),
    inference=Inference(top_k=1, threshold=0.5),
)
