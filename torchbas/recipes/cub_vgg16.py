"""CUB-200-2011, VGG16: the row of Tables 1 and 4, with the authors' own hyper-parameters.

The authors count an image with S_b > S as 0 for this network and as 1 for every other; guidance is off here.
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="cub_vgg16",
    about="Tables 1 and 4, CUB-200-2011, VGG16: 200 bird species, trained from ImageNet weights.",
    data="cub",
    paper={"gt_known": 91.04, "top1_loc": 70.90, "top5_loc": 85.36, "maxboxaccv2": 83.5},
    architecture=Architecture(backbone="vgg16"),
    options=Objective(guidance=0.0, area=0.9, ratio_cap=0.0),
    training=Training(epochs=120, batch_size=32, lr=1e-3, schedule="step", step_epochs=80, seed=6),
    inference=Inference(top_k=80, threshold=0.1),
)
