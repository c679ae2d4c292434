"""Masks as COCO polygons for editing: few points, on pixel edges instead of pixel centers."""

import cv2
import numpy as np
from jaxtyping import Bool


def polygons(mask: Bool[np.ndarray, "H W"], tolerance: float = 1.0) -> list[list[float]]:
    """Outer outlines of a mask as COCO polygons ``[x0, y0, x1, y1, ...]`` in pixels, at least three points each.

    ``tolerance`` is the largest distance in pixels between an outline and the mask's edge, to save points; 0 is exact.
    Pieces that touch at a corner are one piece. COCO polygons cannot have holes: they are filled.
    """
    if not mask.any():
        return []
    top, left = (np.flatnonzero(mask.any(axis))[0] for axis in (1, 0))
    bottom, right = (np.flatnonzero(mask.any(axis))[-1] + 1 for axis in (1, 0))
    # Outlines run through pixel centers; of half-size pixels, so that every original center lies strictly inside.
    fine = mask[top:bottom, left:right].astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    outlines, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    shapes = []
    for outline in outlines:
        coarse = cv2.approxPolyDP(outline, 2 * tolerance, closed=True)
        points = coarse if len(coarse) >= 3 else outline
        shapes.append(((points[:, 0] + 0.5) / 2 + (left, top)).ravel().tolist())
    return shapes
