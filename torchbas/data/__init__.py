"""Photos and what is known of them: read, checked, viewed, batched."""

from .check import inspect, summary
from .images import UnreadableImage, decode, image_size, open_image
from .loader import Batch, Draw, Order, evaluation_loader, training_loader
from .sample import make_sample
from .tags import read, read_untagged
from .transforms import centre_view, normalise, ten_crops, train_view, whole_view
from .truth import boxes_after_crop, boxes_on_grid, foreground, read_mask

__all__ = [
    "Batch",
    "Draw",
    "Order",
    "UnreadableImage",
    "boxes_after_crop",
    "boxes_on_grid",
    "centre_view",
    "decode",
    "evaluation_loader",
    "foreground",
    "image_size",
    "inspect",
    "make_sample",
    "normalise",
    "open_image",
    "read",
    "read_mask",
    "read_untagged",
    "summary",
    "ten_crops",
    "train_view",
    "training_loader",
    "whole_view",
]
