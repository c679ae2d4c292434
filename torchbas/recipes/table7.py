"""Table 7, ResNet50: alpha and beta = alpha + 1 on CUB-200-2011, ILSVRC and OpenImages30k (lambda is 1).

bas train CUB_200_2011/ --out runs/cub_0.2 --recipe table7:cub_0.2_1.2
"""

from . import vary
from .cub_resnet50 import RECIPE as CUB
from .ilsvrc_resnet50 import RECIPE as ILSVRC
from .openimages_resnet50 import RECIPE as OPENIMAGES

COLUMNS = {"cub": (CUB, "gt_known"), "ilsvrc": (ILSVRC, "gt_known"), "openimages": (OPENIMAGES, "pxap")}
PAPER = {  # alpha, beta: one number for each column
    (0.2, 1.2): (95.29, 71.75, 66.67),
    (0.5, 1.5): (95.41, 71.87, 66.86),
    (0.7, 1.7): (95.35, 71.94, 66.74),
    (1.0, 2.0): (95.26, 72.00, 66.52),
    (1.5, 2.5): (95.08, 71.89, 66.39),
}

VARIANTS = {
    f"{data}_{alpha}_{beta}": vary(
        base,
        f"table7:{data}_{alpha}_{beta}",
        f"Table 7: {base.name} with alpha {alpha} and beta {beta}.",
        {metric: number},
        guidance=alpha,
        area=beta,
    )
    for (alpha, beta), numbers in PAPER.items()
    for (data, (base, metric)), number in zip(COLUMNS.items(), numbers, strict=True)
}
