"""A network small enough to check by hand, whose every class has evidence that hiding can take away."""

import torch
from torch import nn

from torchbas.config import Architecture
from torchbas.model.bas import BAS
from torchbas.model.extractor import Extractor


def tiny_bas(classes: int = 5, seed: int = 0, **changes: object) -> BAS:
    """Features as large as the image, class maps half of that; ready for inference."""
    torch.manual_seed(seed)
    stem = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU())
    tail = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
    model = BAS(Extractor(stem, tail, 8, 16), classes, Architecture(hidden=16, **changes))
    nn.init.constant_(tail[1].bias, -0.5)  # what is hidden says nothing
    model.head[-1].weight.data.abs_()  # what is seen speaks for every class
    return model.eval()
