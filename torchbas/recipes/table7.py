"""Table 7, ResNet50: alpha and beta = alpha + 1 on five data sets, three of WSOL and two of WSSS (lambda is 1)."""

from . import vary
from .coco_resnet50 import RECIPE as COCO
from .cub_resnet50 import RECIPE as CUB
from .ilsvrc_resnet50 import RECIPE as ILSVRC
from .openimages_resnet50 import RECIPE as OPENIMAGES
from .voc_resnet50 import RECIPE as VOC

COLUMNS = {
    "cub": (CUB, "gt_known"),
    "ilsvrc": (ILSVRC, "gt_known"),
    "openimages": (OPENIMAGES, "pxap"),
    "voc": (VOC, "seed_miou"),
    "coco": (COCO, "seed_miou"),
}
PAPER = {  # alpha, beta: one number for each column
    (0.2, 1.2): (95.29, 71.75, 66.67, 57.73, 36.79),
    (0.5, 1.5): (95.41, 71.87, 66.86, 57.68, 36.91),
    (0.7, 1.7): (95.35, 71.94, 66.74, 57.55, 36.84),
    (1.0, 2.0): (95.26, 72.00, 66.52, 57.41, 36.67),
    (1.5, 2.5): (95.08, 71.89, 66.39, 57.16, 36.43),
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
