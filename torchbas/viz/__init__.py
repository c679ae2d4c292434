"""Pictures of detections: drawn onto photos, as a gallery page, as figures for a paper."""

from .gallery import write_gallery
from .overlay import draw

__all__ = ["draw", "write_gallery"]
