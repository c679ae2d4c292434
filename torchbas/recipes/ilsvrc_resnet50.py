"""ILSVRC, ResNet50: the row of Tables 1 and 4, with the authors' own hyper-parameters."""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="ilsvrc_resnet50",
    about="Tables 1 and 4, ILSVRC, ResNet50: the 1,000 classes of ImageNet, trained from ImageNet weights.",
    data="ilsvrc",
    paper={"gt_known": 72.00, "top1_loc": 57.46, "top5_loc": 68.57, "maxboxaccv2": 68.8},
    architecture=Architecture(backbone="resnet50"),
    options=Objective(guidance=1.0, area=2.0),
    training=Training(epochs=9, batch_size=128, lr=1e-3, schedule="step", step_epochs=3, seed=0),
    inference=Inference(top_k=1, threshold=0.25),
)
