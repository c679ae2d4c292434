"""OpenImages30k, ResNet50: the row of Table 7 (Fig. 15), with the authors' own hyper-parameters.

The paper names no number of epochs: 50 is in the authors' table of settings, which their loop overlooks (it runs 120).
They squeeze test photos to 224 pixels without a crop, as the protocol wsoleval does. PxAP needs no threshold.
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="openimages_resnet50",
    about="Table 7, OpenImages30k, ResNet50: 100 classes with true masks, trained from ImageNet weights.",
    data="openimages",
    paper={"pxap": 66.86},
    architecture=Architecture(backbone="resnet50"),
    options=Objective(guidance=0.5, area=1.5),
    training=Training(epochs=50, batch_size=64, lr=1e-3, schedule="step", step_epochs=20, seed=6),
    inference=Inference(top_k=1, threshold="auto"),
)
