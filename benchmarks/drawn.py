"""Drawn photos with exact ground truth: textured backgrounds, objects of any share of the photo, one or many."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

SIZE = 320
"""Height and width of a drawn photo in pixels."""
Shares = tuple[float, float]
"""Smallest and largest share of the photo that one object covers."""


@dataclass(frozen=True)
class Design:
    """Settings of a drawn set."""

    tags: int
    per_tag: int
    shares: Shares | tuple[Shares, ...]
    """Of every tag, or of each."""
    objects: tuple[int, int] = (1, 1)
    """Fewest and most objects of a photo."""
    alike: bool = False
    """Tags share their shape and nearly their color."""
    gray: bool = False
    contrast: float = 1.0
    """Of the background's texture."""
    background: int = 0
    """Photos without an object and without a tag."""


class Drawn(NamedTuple):
    """One photo and its ground truth."""

    image: Image.Image
    tag: str
    """Empty for a photo without an object."""
    boxes: list[tuple[float, float, float, float]]
    mask: Bool[np.ndarray, "H W"]


class _Look(NamedTuple):
    """Appearance of one tag's objects."""

    shape: int
    color: Float[np.ndarray, " 3"]
    frequency: float
    """Of its stripes, in radians a pixel; 0 for none."""
    angle: float


def draw(design: Design, seed: int) -> Iterator[Drawn]:
    """The photos of a set, tag by tag, those without an object last."""
    rng = np.random.default_rng((seed, 1))
    looks = _looks(design, np.random.default_rng((seed, 2)))
    for tag, look in enumerate(looks):
        first = design.shares[0]
        shares = design.shares[tag] if isinstance(first, tuple) else design.shares
        for _ in range(design.per_tag):
            yield _photo(design, f"tag{tag:02}", look, shares, rng)  # pyright: ignore[reportArgumentType]
    for _ in range(design.background):
        yield Drawn(_image(texture(rng, SIZE, design.gray, design.contrast)), "", [], np.zeros((SIZE, SIZE), bool))


def texture(
    rng: np.random.Generator, size: int, gray: bool = False, contrast: float = 1.0
) -> Float[np.ndarray, "s s 3"]:
    """Background: smooth noise of four scales around a random color, with grain; values in 0 to 255."""
    channels = 1 if gray else 3
    pixels = np.zeros((size, size, channels), np.float32) + rng.uniform(80, 180, channels)
    for cells, strength in ((3, 0.45), (8, 0.25), (32, 0.15), (96, 0.12)):
        noise = rng.integers(0, 256, (cells, cells, channels)).astype(np.float32) - 128
        large = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC).reshape(size, size, channels)
        pixels = pixels + contrast * strength * large
    return np.repeat(pixels, 3 // channels, axis=2) + rng.normal(0, 5, (size, size, 3))


def _looks(design: Design, rng: np.random.Generator) -> list[_Look]:
    looks = []
    for tag in range(design.tags):
        color = np.repeat(rng.uniform(0, 255, 1), 3) if design.gray else rng.uniform(0, 255, 3)
        if design.alike and looks:
            color = looks[0].color + (color - 128) / 4
        striped = rng.random() < 0.75
        looks.append(_Look(0 if design.alike else tag, color, striped * rng.uniform(0.2, 0.8), rng.uniform(0, np.pi)))
    return looks


def _photo(design: Design, tag: str, look: _Look, shares: Shares, rng: np.random.Generator) -> Drawn:
    pixels = texture(rng, SIZE, design.gray, design.contrast)
    boxes, mask = [], np.zeros((SIZE, SIZE), bool)
    for _ in range(rng.integers(design.objects[0], design.objects[1] + 1)):
        cover = _cover(rng, np.exp(rng.uniform(*np.log(shares))), look.shape)
        pixels = pixels * (1 - cover[..., None]) + _surface(look, design.gray, rng) * cover[..., None]
        inside = cover > 0.5
        rows, columns = np.nonzero(inside)
        if len(rows):
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            boxes.append(tuple(float(value) for value in box))
            mask |= inside
    return Drawn(_image(pixels), tag, boxes, mask)


def _surface(look: _Look, gray: bool, rng: np.random.Generator) -> Float[np.ndarray, "s s 3"]:
    y, x = np.mgrid[:SIZE, :SIZE]
    stripes = 40 * np.sin(look.frequency * (x * np.cos(look.angle) + y * np.sin(look.angle)))
    pixels = look.color + rng.normal(0, 12) + stripes[..., None] + rng.normal(0, 6, (SIZE, SIZE, 3))
    return pixels.mean(axis=2, keepdims=True).repeat(3, axis=2) if gray else pixels


def _cover(rng: np.random.Generator, share: float, shape: int) -> Float[np.ndarray, "s s"]:
    """Soft mask of an ellipse, a rectangle, a triangle, a blob or a ring of about ``share`` of the photo."""
    aspect = rng.uniform(0.6, 1.6)
    height = min(max(2.0, SIZE * np.sqrt(share / aspect)), 0.95 * SIZE)
    width = min(share * SIZE * SIZE / height, 0.95 * SIZE)
    x, y = rng.uniform(0, SIZE - width), rng.uniform(0, SIZE - height)
    canvas = Image.new("L", (2 * SIZE, 2 * SIZE))  # twice as large, for soft edges
    pen, box = ImageDraw.Draw(canvas), (2 * x, 2 * y, 2 * (x + width), 2 * (y + height))
    if shape % 5 == 1:
        pen.rectangle(box, fill=255)
    elif shape % 5 == 2:
        pen.polygon([(box[0], box[3]), ((box[0] + box[2]) / 2, box[1]), (box[2], box[3])], fill=255)
    elif shape % 5 == 3:
        angles, radii = np.linspace(0, 2 * np.pi, 24)[:-1], rng.uniform(0.6, 1, 23)
        points = np.stack([width * np.cos(angles) * radii, height * np.sin(angles) * radii], axis=1)
        pen.polygon([(2 * x + width + dx, 2 * y + height + dy) for dx, dy in points.tolist()], fill=255)
    else:
        pen.ellipse(box, fill=255)
        if shape % 5 == 4:
            dx, dy = 0.44 * width, 0.44 * height
            pen.ellipse((box[0] + dx, box[1] + dy, box[2] - dx, box[3] - dy), fill=0)
    return np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.BILINEAR), np.float32) / 255


def _image(pixels: Float[np.ndarray, "s s 3"]) -> Image.Image:
    levels: UInt8[np.ndarray, "s s 3"] = np.clip(pixels, 0, 255).astype(np.uint8)
    return Image.fromarray(levels)
