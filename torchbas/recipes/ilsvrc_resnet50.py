"""ILSVRC, ResNet50: the row of Tables 1 and 4, with the authors' own hyper-parameters.

bas train ILSVRC/ --out runs/ilsvrc_resnet50 --recipe ilsvrc_resnet50
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="ilsvrc_resnet50",
    about="Tables 1 and 4, ILSVRC, ResNet50: the 1,000 classes of ImageNet, trained from ImageNet weights.",
    cost="90,090 steps of 128 photos: months on two CPU cores; nobody timed it here on a GPU.",
    paper={"gt_known": 72.00, "top1_loc": 57.46, "top5_loc": 68.57, "maxboxaccv2": 68.8},
    architecture=Architecture(backbone="resnet50"),
    objective=Objective(guidance=1.0, area=2.0),
    training=Training(epochs=9, batch_size=128, lr=1e-3, schedule="step", step_epochs=3, seed=0),
    inference=Inference(top=1, threshold=0.25),
)
