"""Photos and what is known of them: read, checked, viewed, batched."""

from .check import inspect, summary
from .coco import paint
from .images import UnreadableImage, decode, image_size, open_image, reduced
from .loader import Batch, Draw, Order, evaluation_loader, training_loader
from .pairs import Jitter, Pairs, pair_loader
from .sample import make_sample
from .tags import read, read_untagged
from .transforms import centre_view, long_side_view, normalise, ten_crops, train_view, whole_view
from .truth import boxes_after_crop, boxes_on_grid, foreground, label_map, read_mask

__all__ = [
    "Batch",
    "Draw",
    "Jitter",
    "Order",
    "Pairs",
    "UnreadableImage",
    "boxes_after_crop",
    "boxes_on_grid",
    "centre_view",
    "decode",
    "evaluation_loader",
    "foreground",
    "image_size",
    "inspect",
    "label_map",
    "long_side_view",
    "make_sample",
    "normalise",
    "open_image",
    "paint",
    "pair_loader",
    "read",
    "read_mask",
    "read_untagged",
    "reduced",
    "summary",
    "ten_crops",
    "train_view",
    "training_loader",
    "whole_view",
]
