"""Some hundred to some thousand photos, everything trained: the paper's method with a start that small data survive."""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="small",
    about="Small data, every layer trained: the classifier starts alone, classes share what they learn.",
    architecture=Architecture(backbone="resnet50"),
    options=Objective(guidance=0.5, area=1.5, classifier_steps=96),
    training=Training(steps=240, batch_size=32, lr=1e-3, save_every=24, sharing=1.0),
    inference=Inference(top_k=1, threshold="auto"),
)
