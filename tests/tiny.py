"""A network small enough to check by hand, whose every class has an activation that masking can take away."""

import torch
from torch import nn

from torchbas.config import Architecture
from torchbas.methods.bas import BASMethod
from torchbas.model.extractor import Extractor

NORMALIZATION = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def tiny_bas(classes: int = 5, seed: int = 0, **changes: object) -> BASMethod:
    """Features as large as the image, class maps half of that; ready for inference."""
    torch.manual_seed(seed)
    f1 = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU())
    f2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
    model = BASMethod(Extractor(f1, f2, 8, 16), classes, Architecture(hidden=16, **changes), NORMALIZATION)
    nn.init.constant_(f2[1].bias, -0.5)  # what is masked scores nothing
    model.head[-1].weight.data.abs_()  # what is not masked scores for every class
    return model.eval()
