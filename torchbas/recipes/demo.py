"""The built-in set, from nothing, in minutes on two CPU cores: a small network that has never seen a photo.

bas demo
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="demo",
    about="What bas demo trains on its built-in set: a small network from scratch, no weights, no network access.",
    cost="About three minutes on two CPU cores.",
    architecture=Architecture(backbone="resnet10t", after=2, head="linear", sharing=1.0),
    objective=Objective(guidance=0.5, area=1.5, classifier_steps=200),
    training=Training(steps=400, lr=0.05, new_layers=1.0, schedule="poly", resize=128, crop=112, save_every=100),
    inference=Inference(top=1, threshold="auto"),
)
