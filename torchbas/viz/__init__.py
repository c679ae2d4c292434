"""What was found, for the eye: drawn onto photos, as a gallery to look through, as figures for a paper."""

from .gallery import write_gallery
from .overlay import draw

__all__ = ["draw", "write_gallery"]
