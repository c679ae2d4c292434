import pytest
import torch
from torch import nn

from torchbas.config import Architecture
from torchbas.model.bas import BAS
from torchbas.model.extractor import Extractor


@pytest.fixture
def tiny_bas() -> BAS:
    """A BAS small enough to check by hand: 16 px in, 16x16 features, 8x8 class maps, 5 classes, BatchNorm inside."""
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    tail = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    return BAS(Extractor(stem, tail, 8, 16), num_classes=5, architecture=Architecture(hidden=16))
