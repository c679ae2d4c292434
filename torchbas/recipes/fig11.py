"""Fig. 11, CUB-200-2011, ResNet50: the foreground hidden in the image or in the features.

The second look starts at the first layer then, so a step takes longer. The figure is a drawing without numbers; its
text says that the features are more accurate.
"""

from . import vary
from .cub_resnet50 import RECIPE as FEATURES

VARIANTS = {
    "image": vary(FEATURES, "fig11:image", "Fig. 11 (a): the foreground hidden in the image.", mask_at="image"),
    "features": FEATURES,
}
