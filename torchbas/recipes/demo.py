"""The built-in set, from nothing, in minutes on two CPU cores: a small network that has never seen a photo."""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="demo",
    about="What bas demo trains on its built-in set: a small network from scratch, no weights, no network access.",
    architecture=Architecture(backbone="resnet10t", generator_stage=2, head="linear"),
    options=Objective(guidance=0.5, area=1.5, classifier_steps=200),
    training=Training(
        steps=400, lr=0.05, new_layers=1.0, schedule="poly", resize=128, crop=112, save_every=100, sharing=1.0
    ),
    inference=Inference(top_k=1, threshold="auto"),
)
