"""The paper's joint objective on your own photos, with an eased start: ``quick`` as it was before 0.5."""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="quick_joint",
    about="The paper's joint objective on a folder of tagged photos: F1 frozen, cached features, eased start.",
    architecture=Architecture(backbone="mobilenetv1", activation="relu6", hidden=256),
    options=Objective(guidance=0.5, area=1.5, classifier_steps=80),
    training=Training(steps=200, f1="cached", views=2, sharing=1.0),
    inference=Inference(top_k=1, threshold="auto"),
)
