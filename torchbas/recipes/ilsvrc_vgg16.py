"""ILSVRC, VGG16: the row of Tables 1 and 4, with the authors' own hyper-parameters.

The authors count an image with S_b > S as 0 for this network and as 1 for every other.
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="ilsvrc_vgg16",
    about="Tables 1 and 4, ILSVRC, VGG16: the 1,000 classes of ImageNet, trained from ImageNet weights.",
    data="ilsvrc",
    paper={"gt_known": 69.66, "top1_loc": 52.94, "top5_loc": 65.38, "maxboxaccv2": 68.2},
    architecture=Architecture(backbone="vgg16"),
    options=Objective(guidance=0.05, area=1.0, ratio_cap=0.0),
    training=Training(epochs=9, batch_size=256, lr=1e-3, schedule="step", step_epochs=3, seed=0),
    inference=Inference(top_k=1, threshold=0.45),
)
