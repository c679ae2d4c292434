"""Pascal VOC 2012, ResNet50: as the released code trains, which is not quite what the paper's text says.

Its optimizer takes the weight decay for the momentum, which so is 1e-4 instead of .9; no bias is handed to it, so those
of BatchNorm never move; and on 4 GPUs its schedule is made for four times the steps, so the rate ends at .77 of itself.
The paper's numbers are promised here too, for nobody says which of the two they come from.
"""

from . import vary
from .voc_resnet50 import RECIPE as TEXT

RECIPE = vary(
    TEXT,
    "voc_resnet50_authors",
    "Tables 6, 9 and 11, Pascal VOC 2012, ResNet50: the released code's optimizer and schedule.",
    TEXT.paper,
    momentum=1e-4,
    bias_factor=0.0,
    poly_stretch=4.0,
)
