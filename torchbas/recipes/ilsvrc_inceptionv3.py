"""ILSVRC, InceptionV3: the row of Tables 1 and 4, with the authors' own hyper-parameters.

bas train ILSVRC/ --out runs/ilsvrc_inceptionv3 --recipe ilsvrc_inceptionv3
The paper's principle is beta = alpha + lambda, 2 here; the authors' code has 2.5.
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="ilsvrc_inceptionv3",
    about="Tables 1 and 4, ILSVRC, InceptionV3: the 1,000 classes of ImageNet, trained from ImageNet weights.",
    cost="90,090 steps of 128 photos: months on two CPU cores; nobody timed it here on a GPU.",
    paper={"gt_known": 72.07, "top1_loc": 58.50, "top5_loc": 69.03, "maxboxaccv2": 68.9},
    architecture=Architecture(backbone="inceptionv3"),
    objective=Objective(guidance=1.0, area=2.5),
    training=Training(epochs=9, batch_size=128, lr=1e-3, schedule="step", step_epochs=3, seed=0),
    inference=Inference(top=1, threshold=0.25),
)
