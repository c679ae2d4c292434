"""Fig. 9, ResNet50: alpha, beta and lambda, one at a time, on CUB-200-2011 and ILSVRC.

Any other value: bas train ... --recipe cub_resnet50 --guidance 0.3 (alpha), --area (beta), --suppression (lambda).
The figure is a drawing without numbers; these values span the ranges that its text names. On both sets alpha helps from
0.2 on; beta is stable from 1.2 to 1.7 on CUB and from 1.6 to 2.4 on ILSVRC; on CUB the accuracy grows with lambda from
0.3 to 0.6 and is stable up to 1.3. What is not varied stays as in ``cub_resnet50`` and ``ilsvrc_resnet50``.
"""

from . import vary
from .cub_resnet50 import RECIPE as CUB
from .ilsvrc_resnet50 import RECIPE as ILSVRC

SETTINGS = {"alpha": "guidance", "beta": "area", "lambda": "suppression"}
ALPHAS, LAMBDAS = (0.0, 0.1, 0.2, 0.5, 1.0), (0.3, 0.6, 1.0, 1.3, 1.6)
VALUES = {
    "cub": {"alpha": ALPHAS, "beta": (0.9, 1.2, 1.5, 1.7, 2.0), "lambda": LAMBDAS},
    "ilsvrc": {"alpha": ALPHAS, "beta": (1.2, 1.6, 2.0, 2.4, 2.8), "lambda": LAMBDAS},
}

VARIANTS = {
    f"{data}_{letter}_{value}": vary(
        base,
        f"fig9:{data}_{letter}_{value}",
        f"Fig. 9: {base.name} with {letter} {value}.",
        **{SETTINGS[letter]: value},
    )
    for data, base in (("cub", CUB), ("ilsvrc", ILSVRC))
    for letter, values in VALUES[data].items()
    for value in values
}
