"""Samples: read from any of the usual formats, checked, decoded, viewed and batched.

Reading and checking need neither torch nor NumPy. The names whose modules do are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .checks import background_hints, inspect, summary, too_few_tags
from .corrections import Corrections, read_corrections
from .images import UnreadableImage, decode, image_size, open_image, reduced
from .tags import read, read_untagged

if TYPE_CHECKING:
    from .datasets.coco_masks import paint
    from .demo import make_demo_dataset
    from .ground_truth import boxes_after_crop, boxes_on_grid, foreground, label_map, read_mask
    from .loader import Batch, Draw, Order, Unreadable, evaluation_loader, training_loader
    from .pairs import PairAugmentation, PairBatch, pair_loader
    from .transforms import center_view, long_side_view, standardize, ten_crops, train_view, whole_view

__all__ = [
    "Batch",
    "Corrections",
    "Draw",
    "Order",
    "PairAugmentation",
    "PairBatch",
    "Unreadable",
    "UnreadableImage",
    "background_hints",
    "boxes_after_crop",
    "boxes_on_grid",
    "center_view",
    "decode",
    "evaluation_loader",
    "foreground",
    "image_size",
    "inspect",
    "label_map",
    "long_side_view",
    "make_demo_dataset",
    "open_image",
    "paint",
    "pair_loader",
    "read",
    "read_corrections",
    "read_mask",
    "read_untagged",
    "reduced",
    "standardize",
    "summary",
    "ten_crops",
    "too_few_tags",
    "train_view",
    "training_loader",
    "whole_view",
]

_LATE = {  # module: names that it exports
    "datasets.coco_masks": ("paint",),
    "demo": ("make_demo_dataset",),
    "ground_truth": ("boxes_after_crop", "boxes_on_grid", "foreground", "label_map", "read_mask"),
    "loader": ("Batch", "Draw", "Order", "Unreadable", "evaluation_loader", "training_loader"),
    "pairs": ("PairAugmentation", "PairBatch", "pair_loader"),
    "transforms": ("center_view", "long_side_view", "standardize", "ten_crops", "train_view", "whole_view"),
}


def __getattr__(name: str) -> Any:
    """A name of :data:`__all__` whose module imports torch, OpenCV or NumPy."""
    for module, names in _LATE.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
