"""Your own photos, minutes on two CPU cores: F1 is kept, its features are computed once, the rest is trained."""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="quick",
    about="A folder of tagged photos, without a GPU: F1 frozen, cached features, eased start.",
    architecture=Architecture(backbone="mobilenetv1", activation="relu6", hidden=256),
    options=Objective(
        guidance=0.5,
        area=1.5,
        classifier_steps=160,
        classifier_ready=0.05,
        classifier_frozen=True,
        fill="mean",
        background_class=True,
        ratio_cap=None,
        slope=0.1,
    ),
    training=Training(steps=240, f1="cached", views=2, sharing=1.0),
    inference=Inference(top_k=1, threshold=0.5, normalized=False, enlarge="auto"),
)
