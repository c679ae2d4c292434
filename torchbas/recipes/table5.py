"""Table 5: the conference version (CVPR 2022), a ReLU on the class maps (Fig. 4) and its own code's settings.

The paper prints what the journal version gained; the promise is its number less the gain. That code asks for an IoU
above .5, not of .5, and on average over classes, not over photos; bas eval keeps the journal version's rules.
"""

from typing import Any

from ..config import Recipe
from . import vary
from .cub_inceptionv3 import RECIPE as CUB_INCEPTION
from .cub_mobilenetv1 import RECIPE as CUB_MOBILENET
from .cub_resnet50 import RECIPE as CUB_RESNET
from .cub_vgg16 import RECIPE as CUB_VGG
from .ilsvrc_inceptionv3 import RECIPE as ILSVRC_INCEPTION
from .ilsvrc_mobilenetv1 import RECIPE as ILSVRC_MOBILENET
from .ilsvrc_resnet50 import RECIPE as ILSVRC_RESNET
from .ilsvrc_vgg16 import RECIPE as ILSVRC_VGG

GAINS = (  # journal version, gain in GT-known Loc, and what the conference version's code sets otherwise
    (CUB_VGG, -0.03, {"area": 0.7, "top_k": 80, "threshold": 0.15}),
    (CUB_MOBILENET, 0.69, {"area": 1.5, "top_k": 200, "threshold": 0.15}),
    (CUB_RESNET, 0.28, {"area": 1.2, "top_k": 200, "threshold": 0.15}),
    (CUB_INCEPTION, 2.39, {"area": 1.0, "top_k": 200, "threshold": 0.1}),
    (ILSVRC_VGG, 0.02, {"batch_size": 128, "threshold": 0.5}),
    (ILSVRC_MOBILENET, 0.03, {"threshold": 0.5}),
    (ILSVRC_RESNET, 0.23, {"threshold": 0.45}),
    (ILSVRC_INCEPTION, 0.14, {"threshold": 0.3}),
)
OTHERWISE = {"cub": {"epochs": 100}, "ilsvrc": {"seed": 2}}


def _conference(base: Recipe, gain: float, settings: dict[str, Any]) -> Recipe:
    data = base.name.split("_")[0]
    paper = {"gt_known": round(base.paper["gt_known"] - gain, 2)}
    about = f"Table 5: the conference version of {base.name}."
    settings = {"relu_before_pooling": True, "ratio_cap": 0.0, **OTHERWISE[data], **settings}
    return vary(base, f"table5:{base.name}", about, paper, **settings)


VARIANTS = {base.name: _conference(base, gain, settings) for base, gain, settings in GAINS}
