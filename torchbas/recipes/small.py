"""Some hundred to some thousand photos, everything trained: the paper's method with a start that small data survive.

bas train photos/ --out runs/photos --recipe small
"""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="small",
    about="Small data, every layer trained: the classifier starts alone, classes share what they learn.",
    cost="240 steps of 32 photos: about half an hour on two CPU cores, a minute on a GPU.",
    architecture=Architecture(backbone="resnet50", sharing=1.0),
    objective=Objective(guidance=0.5, area=1.5, classifier_steps=96),
    training=Training(steps=240, batch_size=32, lr=1e-3, save_every=24),
    inference=Inference(top=1, threshold="auto"),
)
