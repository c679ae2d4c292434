"""ILSVRC, InceptionV3: the row of Tables 1 and 4, with the authors' own hyper-parameters.

The paper's principle is beta = alpha + lambda, 2 here; the authors' code has 2.5.
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="ilsvrc_inceptionv3",
    about="Tables 1 and 4, ILSVRC, InceptionV3: the 1,000 classes of ImageNet, trained from ImageNet weights.",
    data="ilsvrc",
    paper={"gt_known": 72.07, "top1_loc": 58.50, "top5_loc": 69.03, "maxboxaccv2": 68.9},
    architecture=Architecture(backbone="inceptionv3"),
    options=Objective(guidance=1.0, area=2.5),
    training=Training(epochs=9, batch_size=128, lr=1e-3, schedule="step", step_epochs=3, seed=0),
    inference=Inference(top_k=1, threshold=0.25),
)
