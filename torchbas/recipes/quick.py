"""Your own photos, minutes on two CPU cores: the network is kept, its features are computed once."""

from ..config import Architecture, Inference, Objective, Recipe, Training

RECIPE = Recipe(
    name="quick",
    about="A folder of tagged photos, without a GPU: the network is kept, a linear probe on it, a generator.",
    architecture=Architecture(
        backbone="mobilenetv1", activation="relu6", head="linear", padding_mode="reflect", align=True
    ),
    options=Objective(
        guidance=0.5,
        area=1.5,
        bas_target=0.55,
        classifier="probe",
        fill="mean",
        background_class=True,
        ratio_cap=None,
        slope=0.1,
    ),
    training=Training(steps=150, batch_size=16, f1="cached", views=2, sharing=1.0),
    inference=Inference(top_k=1, threshold=0.4, normalized=False, enlarge="auto", refine=("crf",)),
)
