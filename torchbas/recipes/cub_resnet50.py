"""CUB-200-2011, ResNet50: the row of Tables 1 and 4, with the authors' own hyper-parameters."""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="cub_resnet50",
    about="Tables 1 and 4, CUB-200-2011, ResNet50: 200 bird species, trained from ImageNet weights.",
    data="cub",
    paper={"gt_known": 95.41, "top1_loc": 76.75, "top5_loc": 90.04, "maxboxaccv2": 89.4},
    architecture=Architecture(backbone="resnet50"),
    options=Objective(guidance=0.5, area=1.5),
    training=Training(epochs=120, batch_size=32, lr=1e-3, schedule="step", step_epochs=80, seed=6),
    inference=Inference(top_k=200, threshold=0.1),
)
