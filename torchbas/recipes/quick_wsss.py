"""Other methods' seeds at the size of ``quick_segment``, alone and put together with BAS as in Tables 9 and 14.

IRN's loss is a mean over the classes, hence its rate. AdvCAM's climb is cut short: five maps at half size each photo.
"""

from dataclasses import replace

from ..config import Inference
from . import combine, reread, vary
from .quick_segment import RECIPE as BAS
from .table14 import CLIP, OUTSIDERS

OWN = {"steps": 180, "lr": 0.03, "bias_factor": 1.0, "nesterov": False, "weight_decay": 1e-4, "sharing": 0.0}
PLAIN = {"f1": "frozen", "padding_mode": "zeros", "align": False}
IRN = replace(
    vary(BAS, "quick_wsss:irn", "CAM of IRN's classifier, small photos.", **OWN, **PLAIN),
    method="irn",
    options={},
    inference=Inference(),
)
CLASSIFIER = {"init_from": "quick_wsss:irn", "steps": 72, "lr": 2e-3}

VARIANTS = {
    "irn": IRN,
    "recam": vary(IRN, "quick_wsss:recam", "ReCAM, small photos.", method="recam", new_layers=100.0, **CLASSIFIER),
    "cda": vary(
        IRN,
        "quick_wsss:cda",
        "CDA, small photos.",
        method="cda",
        needs={"bank": "the folder masks of bas segment with a run of quick_wsss:irn"},
    ),
    "advcam": reread(
        IRN, "quick_wsss:advcam", "AdvCAM, small photos.", {}, method="advcam", options={"iterations": 5}, scales=(0.5,)
    ),
    "clims": vary(IRN, "quick_wsss:clims", "CLIMS, small photos.", method="clims", needs=CLIP, **CLASSIFIER),
    "w_ood_classifier": vary(
        IRN,
        "quick_wsss:w_ood_classifier",
        "The classifier of W-OoD, small photos.",
        method="w_ood",
        needs=OUTSIDERS,
        **CLASSIFIER,
    ),
    "w_ood": vary(
        BAS,
        "quick_wsss:w_ood",
        "BAS from the classifier of W-OoD, small photos.",
        init_from="quick_wsss:w_ood_classifier",
    ),
    "bas_cda": combine(BAS, "quick_wsss:bas_cda", "BAS + CDA.", {}, "quick_segment", "quick_wsss:cda"),
    "bas_advcam": combine(BAS, "quick_wsss:bas_advcam", "BAS + AdvCAM.", {}, "quick_segment", "quick_wsss:advcam"),
}
