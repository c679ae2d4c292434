"""Detections drawn onto a photo, from bottom to top: heatmaps, mask outlines, boxes, tags."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from ..localization import Localization
from ..structures import Box

Color = tuple[int, int, int]
Corners = tuple[int, int, int, int]
"""``(left, top, right, bottom)``: first and last columns and rows of a box, as Pillow draws it."""


def draw(
    image: Image.Image,
    detections: Sequence[Localization],
    *,
    classes: Sequence[str] = (),
    heat: bool = False,
    mask: bool = True,
    box: bool = True,
    ground_truth: bool = True,
) -> Image.Image:
    """Return an RGB copy of ``image`` with the detections in it, in the colors of :func:`class_colors`.

    ``image`` may be smaller or larger than the original, in whose pixels the detections are given.

    Args:
        classes: the class list, so that a class has the same color in every photo; without it only the classes of
            ``detections`` are told apart.
        heat: blend the heatmaps over the photo, the maximum where they overlap.
        mask: outline the masks, and fill them where ``heat`` does not.
        box: draw the boxes with class and confidence.
        ground_truth: draw the true boxes, dashed in black and white.
    """
    canvas = image.convert("RGB")
    if not detections:
        return canvas
    colors = class_colors([*dict.fromkeys([*classes, *(one.label for one in detections)])])
    if heat:
        heatmaps = [cv2.resize(one.grid, canvas.size, interpolation=cv2.INTER_LINEAR) for one in detections]
        layer = Image.fromarray(heat_layer(np.maximum.reduce(heatmaps)))
        canvas.paste(layer, mask=layer)
    if mask:
        canvas = Image.fromarray(_outline_masks(np.array(canvas), detections, colors, filling=0.0 if heat else 0.3))
    pen = ImageDraw.Draw(canvas)
    width, scale = max(2, round(min(canvas.size) / 150)), canvas.width / detections[0].size[1]
    true_boxes = dict.fromkeys(true_box for one in detections for true_box in one.ground_truth)
    for true_box in true_boxes if ground_truth else ():
        _dashed(pen, _scaled(true_box, scale), width)
    for one in detections if box else ():
        pen.rectangle(_scaled(one.xyxy, scale), outline=colors[one.label], width=width)
    for one in detections if box else ():
        _tag(pen, one, _scaled(one.xyxy, scale), colors[one.label])
    return canvas


def class_colors(classes: Sequence[str]) -> dict[str, Color]:
    """RGB color of each class: equal lightness in OKLCH, neighbors in the list far apart in hue."""
    hue = np.deg2rad(25 + 137.508 * np.arange(len(classes)))  # the golden angle never comes back to a used hue
    lightness, chroma = 0.76, 0.15
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    roots = np.stack([a * 0.3963377774 + b * 0.2158037573, a * -0.1055613458 + b * -0.0638541728])
    lms = (lightness + np.stack([*roots, a * -0.0894841775 + b * -1.2914855480])) ** 3
    to_rgb = [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
    linear = (np.array(to_rgb) @ lms).clip(0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return dict(zip(classes, map(tuple, (rgb.T * 255).round().astype(int).tolist()), strict=True))


def heat_layer(grid: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 4"]:
    """Heatmap in [0, 1] as an RGBA layer: the color map inferno, the higher the more opaque."""
    level = (grid.clip(0, 1) * 255).round().astype(np.uint8)
    color = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.dstack([color, (56 + level * 0.42).astype(np.uint8)])


def outlines(mask: Bool[np.ndarray, "H W"]) -> list[Int[np.ndarray, "N 2"]]:
    """Corner pixels ``(x, y)`` of every outer and inner border of the mask."""
    borders, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [border[:, 0] for border in borders]


def _outline_masks(
    canvas: UInt8[np.ndarray, "H W 3"], detections: Sequence[Localization], colors: dict[str, Color], filling: float
) -> UInt8[np.ndarray, "H W 3"]:
    size = canvas.shape[1::-1]
    width = max(2, round(min(size) / 150))
    for one in detections:
        mask = cv2.resize(one.mask.astype(np.uint8), size, interpolation=cv2.INTER_LINEAR).astype(bool)
        color = colors[one.label]
        canvas[mask] = (canvas[mask] * (1 - filling) + np.array(color) * filling).astype(np.uint8)
        cv2.polylines(canvas, outlines(mask), True, color, width, cv2.LINE_AA)
    return canvas


def _scaled(box: Box, scale: float) -> Corners:
    x0, y0, x1, y1 = (round(value * scale) for value in box)
    return x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)


def _dashed(pen: ImageDraw.ImageDraw, box: Corners, width: int) -> None:
    x0, y0, x1, y1 = box
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    for start, end in pairwise(corners):
        dashes = round(np.hypot(end[0] - start[0], end[1] - start[1]) / (5 * width)) | 1  # odd: corners are drawn
        stops = [tuple(stop) for stop in np.linspace(start, end, dashes + 1).tolist()]
        for n in range(dashes):
            pen.line((*stops[n], *stops[n + 1]), "black" if n % 2 else "white", width)


def _tag(pen: ImageDraw.ImageDraw, one: Localization, box: Corners, color: Color) -> None:
    width, height = pen.im.size
    font = ImageFont.load_default(max(11, round(min(width, height) / 20)))
    tag = " ".join(one.label.encode("utf-8", "replace").decode().split())
    text = f"{tag} {one.confidence:.2f}"
    while pen.textlength(text, font) > width - 8 and tag:
        tag = tag[:-1]
        text = f"{tag}… {one.confidence:.2f}"
    left, top, right, bottom = pen.textbbox((0, 0), text, font)
    margin = max(2, (bottom - top) // 4)
    wide, high = right - left + 2 * margin, bottom - top + 2 * margin
    x = max(0, min(box[0], width - wide))
    y = box[1] - high if box[1] >= high else box[1]  # above the box where there is room
    pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=color)
    pen.text((x + margin - left, y + margin - top), text, "black", font)
