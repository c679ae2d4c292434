"""Your own photos, minutes on two CPU cores: F1 is kept, its features are computed once, the rest is trained.

bas label photos/ --out labels/
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="quick",
    about="A folder of tagged photos, without a GPU: frozen stem, cached features, eased start.",
    cost="Minutes on two CPU cores, for some dozens to some thousands of photos.",
    architecture=Architecture(backbone="mobilenetv1", activation="relu6", hidden=256, sharing=1.0),
    objective=Objective(guidance=0.5, area=1.5, classifier_steps=80),
    training=Training(steps=200, stem="cached", views=2),
    inference=Inference(top=1, threshold="auto"),
)
