"""Metrics, exact by name: what is measured here equals its reference to the last rounding."""

from .boxes import LocalizationAccuracy as LocalizationAccuracy
from .boxes import best_centred_box as best_centred_box
from .boxes import iou_inclusive as iou_inclusive
