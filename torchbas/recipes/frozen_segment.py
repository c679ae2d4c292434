"""Seeds, pseudo masks and a segmenter on frozen features: ``quick_segment`` with the second look pooled."""

from . import vary
from .quick_segment import RECIPE as QUICK_SEGMENT

RECIPE = vary(
    QUICK_SEGMENT,
    "frozen_segment",
    "Pseudo masks and a segmenter from a folder of tagged photos, on frozen features of a ResNet50.",
    second_look="pooled",
)
