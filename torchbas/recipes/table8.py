"""Table 8, WSSS, ResNet50: the generator after layer 1, 2, 3 (the paper's place) or 4."""

from . import vary
from .coco_resnet50 import RECIPE as COCO
from .voc_resnet50 import RECIPE as VOC

PAPER = {"voc": {1: 28.6, 2: 41.2, 4: 55.3}, "coco": {1: 17.2, 2: 25.3, 4: 34.8}}

VARIANTS = {
    f"{data}_layer{n}": vary(
        base,
        f"table8:{data}_layer{n}",
        f"Table 8: {base.name} with the generator after layer {n}.",
        {"seed_miou": PAPER[data][n]},
        generator_stage=n,
    )
    if n in PAPER[data]
    else base
    for data, base in (("voc", VOC), ("coco", COCO))
    for n in (1, 2, 3, 4)
}
