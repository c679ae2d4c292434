"""``quick`` with the second look pooled, so that F2 runs once: what ``dinov2`` is, on networks of any kind."""

from . import vary
from .quick import RECIPE as QUICK

RECIPE = vary(
    QUICK,
    "frozen",
    "Frozen features, second look by pooling: a third less time than quick. Also for --backbone resnet50.",
    second_look="pooled",
)
