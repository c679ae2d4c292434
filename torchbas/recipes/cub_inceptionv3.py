"""CUB-200-2011, InceptionV3: the row of Tables 1 and 4, with the authors' own hyper-parameters."""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="cub_inceptionv3",
    about="Tables 1 and 4, CUB-200-2011, InceptionV3: 200 bird species, trained from ImageNet weights.",
    data="cub",
    paper={"gt_known": 94.63, "top1_loc": 72.09, "top5_loc": 88.11, "maxboxaccv2": 82.7},
    architecture=Architecture(backbone="inceptionv3"),
    options=Objective(guidance=0.5, area=1.0),
    training=Training(epochs=120, batch_size=32, lr=1e-3, schedule="step", step_epochs=80, seed=6),
    inference=Inference(top_k=200, threshold=0.1),
)
