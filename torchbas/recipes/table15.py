"""Table 15, Pascal VOC 2012: seeds cut where L_bas + L_ac are least, image by image, instead of at one threshold.

bas segment VOC2012/ --model runs/voc --recipe table15:bas --until seed --out image/
bas segment VOC2012/ --model runs/irn --judge runs/voc --recipe table15:irn --until seed --out image_irn/
The score image_threshold is that of these cuts, seed that of the best threshold for all. The losses of a BAS network
judge every method's maps.
"""

from . import vary
from .table11 import VARIANTS as TABLE_11
from .voc_resnet50 import RECIPE as BAS

PAPER = {"irn": 49.5, "cda": 51.3, "recam": 55.0, "advcam": 55.7, "bas": 57.8}
METHODS = TABLE_11 | {"bas": BAS}

VARIANTS = {
    name: vary(
        METHODS[name],
        f"table15:{name}",
        f"Table 15: {METHODS[name].name} with a threshold for each image.",
        {"seed_miou": seed},
        cut="image",
    )
    for name, seed in PAPER.items()
}
