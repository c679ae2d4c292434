"""Photos and what is known of them: read, checked, viewed, batched."""

from .images import UnreadableImage, decode, image_size, open_image
from .loader import Batch, evaluation_loader, training_loader
from .transforms import centre_view, normalise, ten_crops, train_view, whole_view

__all__ = [
    "Batch",
    "UnreadableImage",
    "centre_view",
    "decode",
    "evaluation_loader",
    "image_size",
    "normalise",
    "open_image",
    "ten_crops",
    "train_view",
    "training_loader",
    "whole_view",
]
