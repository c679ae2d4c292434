"""Fig. 18, WSSS, ResNet50: alpha, beta and lambda, one at a time, on Pascal VOC 2012 and MS COCO 2014.

The figure is a drawing without numbers; these values are ours and span the ranges that its text names. On VOC alpha
helps above 0.1 and changes little from 0.15 to 0.5; too small a beta lets maps grow without end; lambda is stable from
0.8 to 1.2 on both sets. What is not varied stays as in ``voc_resnet50`` and ``coco_resnet50``.
"""

from . import vary
from .coco_resnet50 import RECIPE as COCO
from .fig9 import SETTINGS
from .voc_resnet50 import RECIPE as VOC

ALPHAS, LAMBDAS = (0.0, 0.1, 0.15, 0.2, 0.5, 1.0), (0.4, 0.8, 1.0, 1.2, 1.6)
VALUES = {
    "voc": {"alpha": ALPHAS, "beta": (0.4, 0.8, 1.2, 1.6, 2.0), "lambda": LAMBDAS},
    "coco": {"alpha": ALPHAS, "beta": (0.5, 1.0, 1.5, 2.0, 2.5), "lambda": LAMBDAS},
}

VARIANTS = {
    f"{data}_{letter}_{value}": vary(
        base,
        f"fig18:{data}_{letter}_{value}",
        f"Fig. 18: {base.name} with {letter} {value}.",
        **{SETTINGS[letter]: value},
    )
    for data, base in (("voc", VOC), ("coco", COCO))
    for letter, values in VALUES[data].items()
    for value in values
}
