"""The built-in demo set: drawn animals and plants of six tags on cluttered backgrounds, with exact boxes and masks.

It is a small test of localization: objects are off-center and of very different sizes, colors are independent of the
tag, and the background has as much texture as the object. Shape and pattern distinguish the tags.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

from ..structures import Dataset
from .tags import read

Field = Float32[np.ndarray, "H W"]
Mask = Bool[np.ndarray, "H W"]
Shape = Callable[[Field, Field], tuple[Mask, Mask]]
"""From coordinates relative to the shape's center (right, down, about -1 to 1) to masks of its inside and pattern."""


def make_demo_dataset(
    folder: Path, train_per_class: int = 100, test_per_class: int = 25, size: int = 128, seed: int = 0
) -> Dataset:
    """Draw the set into ``folder`` as ``train/`` and ``test/`` with one folder per tag, masks and ``truth.json``.

    Photos have ``size``² pixels in one of three formats; objects measure 25 to 70 % of ``size``. Masks hold 0 for
    background and the tag's class number plus one, as in Pascal VOC. The set depends on the arguments alone.
    """
    ground_truth = {}
    for split, count in enumerate((train_per_class, test_per_class)):
        for label, (tag, shape) in enumerate(sorted(SHAPES.items())):
            for number in range(count):
                rng = np.random.default_rng((seed, split, label, number))
                image, mask = _draw(shape, size, rng)
                name = f"{('train', 'test')[split]}/{tag}/{number + 1:04}"
                for file in (folder / f"{name}.jpg", folder / f"masks/{name}.png"):
                    file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(folder / f"{name}.jpg", quality=95)
                _save_mask(mask, label + 1, folder / f"masks/{name}.png")
                ground_truth[f"{name}.jpg"] = {"boxes": [_bounds(mask)], "mask": f"masks/{name}.png"}
    (folder / "truth.json").write_text(json.dumps(ground_truth, indent=0), encoding="utf-8")
    return read(folder)


def _draw(shape: Shape, size: int, rng: np.random.Generator) -> tuple[UInt8[np.ndarray, "H W 3"], Mask]:
    """A photo and its mask, drawn at twice the size for smooth edges."""
    aspect = rng.choice([3 / 4, 1, 4 / 3])
    height, width = round(size / aspect**0.5), round(size * aspect**0.5)
    canvas = _background(2 * height, 2 * width, rng)
    _draw_clutter(canvas, rng)
    u, v = _place(shape, height, width, rng.uniform(0.25, 0.7) * size, rng)
    inside, pattern = shape(u, v)
    coverage = cv2.resize(inside.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)

    shadow = np.pad(inside, ((4, 0), (4, 0)))[:-4, :-4].astype(np.float32)
    canvas *= 1 - 0.5 * cv2.GaussianBlur(shadow, (0, 0), 4)[..., None]
    canvas[inside] = _object_colors(inside, pattern, u + v, rng)
    canvas *= 1 + rng.uniform(0, 0.5) * _slope(2 * height, 2 * width, rng.uniform(0, 2 * math.pi))[..., None]
    image = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    image += rng.normal(0, 0.015, image.shape)
    return (image.clip(0, 1) * 255).round().astype(np.uint8), coverage >= 0.5


def _background(height: int, width: int, rng: np.random.Generator) -> Float32[np.ndarray, "H W 3"]:
    """Three colors mixed by noise and stripes."""
    first, second, third = (_color(rng) for _ in range(3))
    clouds, veil = _clouds(height, width, rng), _clouds(height, width, rng)
    stripes = np.sin(rng.uniform(20, 90) * _slope(height, width, rng.uniform(0, math.pi)) + 6 * clouds)
    mixed = first + (second - first) * clouds[..., None] + (third - first) * (veil**2)[..., None]
    return (mixed * (1 + rng.uniform(0, 0.25) * stripes[..., None])).clip(0, 1)


def _clouds(height: int, width: int, rng: np.random.Generator) -> Field:
    """Noise on five scales, stretched to [0, 1]."""
    total = np.zeros((height, width), np.float32)
    for octave in range(5):
        cells = rng.random((3 * 2**octave, 3 * 2**octave), np.float32)
        total += rng.uniform(0.4, 0.9) ** octave * cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    return (total - total.min()) / (total.max() - total.min())


def _slope(height: int, width: int, angle: float) -> Field:
    """A linear ramp along ``angle``: slope 1 over the longer side, 0 in the center."""
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width) - 0.5
    return x * math.cos(angle) + y * math.sin(angle)


def _draw_clutter(canvas: Float32[np.ndarray, "H W 3"], rng: np.random.Generator) -> None:
    """Draw small polygons and outlines that belong to no tag into ``canvas``."""
    height, width = canvas.shape[:2]
    for _ in range(rng.integers(6, 14)):
        corners = rng.choice([3, 4, 6, 40])
        turn = rng.uniform(0, 2 * np.pi) + np.arange(corners) / corners * 2 * np.pi
        radii = rng.uniform(0.02, 0.08, size=2) * max(height, width)
        outline = rng.uniform(0, (width, height)) + radii * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        points = np.round(outline * 16).astype(np.int32)[None]
        if rng.random() < 0.3:
            cv2.polylines(canvas, points, True, _color(rng).tolist(), int(rng.integers(2, 6)), shift=4)
        else:
            cv2.fillPoly(canvas, points, _color(rng).tolist(), shift=4)


def _place(
    shape: Shape, height: int, width: int, side: float, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "H2 W2"], Float32[np.ndarray, "H2 W2"]]:
    """The shape's coordinates of every point of the doubled canvas, at a random place; its longer side is ``side``."""
    angle, mirror = rng.uniform(-0.4, 0.4), int(rng.choice([-1, 1]))
    trial = np.linspace(-1.6, 1.6, 161, dtype=np.float32)
    tried, _ = shape(*_turned(*np.meshgrid(trial, trial), angle, mirror))
    x0, y0, x1, y1 = trial[_bounds(tried)].tolist()
    scale = side / max(x1 - x0, y1 - y0)
    # The arcsine law prefers the borders, so that the center-prior baseline is poor.
    left, top = (rng.beta(0.5, 0.5, size=2) * (width - (x1 - x0) * scale, height - (y1 - y0) * scale)).tolist()
    y, x = (np.mgrid[: 2 * height, : 2 * width].astype(np.float32) + 0.5) / 2
    return _turned((x - left) / scale + x0, (y - top) / scale + y0, angle, mirror)


def _turned(x: Field, y: Field, angle: float, mirror: int) -> tuple[Field, Field]:
    cos, sin = math.cos(angle), math.sin(angle)
    return mirror * (cos * x + sin * y), cos * y - sin * x


def _object_colors(inside: Mask, pattern: Mask, down: Field, rng: np.random.Generator) -> Float32[np.ndarray, "N 3"]:
    """Colors of the pixels inside: two contrasting ones by the pattern, lighter above, darker at the edge."""
    light, dark = _color(rng, 0.75, 1.0), _color(rng, 0.05, 0.3)
    if rng.random() < 0.5:
        light, dark = dark, light
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)[inside]
    rim = 0.55 + 0.45 * (depth / 5).clip(0, 1)
    lit = 1.05 - 0.2 * down[inside].clip(-1, 1)
    return np.where(pattern[inside][:, None], dark, light) * (rim * lit)[:, None]


def _color(rng: np.random.Generator, darkest: float = 0.15, brightest: float = 0.95) -> Float32[np.ndarray, " 3"]:
    """A random color with a brightness between the two."""
    hue, saturation, brightness = rng.uniform(0, 6), rng.uniform(0.15, 0.8), rng.uniform(darkest, brightest)
    ramp = (np.abs((hue + np.array([0, 4, 2], np.float32)) % 6 - 3) - 1).clip(0, 1)
    return brightness * (1 - saturation + saturation * ramp)


def _bounds(mask: Mask) -> list[int]:
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1]


def _save_mask(mask: Mask, value: int, file: Path) -> None:
    image = Image.fromarray(mask.astype(np.uint8) * np.uint8(value))
    image.putpalette([0, 0, 0] + [255, 255, 255] * 255)
    image.save(file)


def _disc(u: Field, v: Field, x: float, y: float, rx: float, ry: float | None = None) -> Mask:
    return ((u - x) / rx) ** 2 + ((v - y) / (ry or rx)) ** 2 < 1


def _any(*masks: Mask) -> Mask:
    return np.logical_or.reduce(masks)


def _fish(u: Field, v: Field) -> tuple[Mask, Mask]:
    """A body with a tail; rows of scales and an eye."""
    body = _disc(u, v, -0.25, 0.0, 0.75, 0.45)
    tail = (u > 0.3) & (u < 0.95) & (np.abs(v) < 0.75 * (u - 0.2))
    scales = body & (u > -0.55) & (np.hypot((6 * u) % 1 - 0.9, (5 * v + (6 * u) // 1 / 2) % 1 - 0.5) > 0.62)
    fin = tail & (np.sin(40 * v / (u + 0.2)) > 0.3)
    return body | tail, _any(scales, fin, _disc(u, v, -0.72, -0.08, 0.08))


def _flower(u: Field, v: Field) -> tuple[Mask, Mask]:
    """Five petals with streaks around a disc."""
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    petals = radius < 0.3 + 0.7 * np.sqrt(np.abs(np.cos(2.5 * angle)))
    streaks = (radius > 0.4) & (radius < 0.85) & (np.cos(25 * angle) > 0.5)
    return petals, _any(radius < 0.28, streaks & petals)


def _ladybird(u: Field, v: Field) -> tuple[Mask, Mask]:
    """A round back with a seam and six spots, a head and legs."""
    back, head = _disc(u, v, 0.1, 0.0, 0.8, 0.7), _disc(u, v, -0.7, 0.0, 0.32)
    legs = (np.abs(v) < 0.92) & _any(*(np.abs(u - x) < 0.06 for x in (-0.32, 0, 0.52)))
    spots = _any(*(_disc(u, np.abs(v), x, y, 0.13) for x, y in ((-0.2, 0.32), (0.2, 0.42), (0.5, 0.25))))
    return _any(back, head, legs), _any(spots, np.abs(v) < 0.04, head, legs & ~back)


def _leaf(u: Field, v: Field) -> tuple[Mask, Mask]:
    """A pointed blade on a stalk, with veins."""
    blade = (np.abs(u) < 1) & (np.abs(v) < 0.55 * (1 - np.abs(u) ** 1.7))
    stalk = (u > 0.9) & (u < 1.35) & (np.abs(v) < 0.05)
    veins = np.abs((4.5 * (u + 0.9 * np.abs(v))) % 1 - 0.5) < 0.12
    return blade | stalk, blade & ((np.abs(v) < 0.04) | veins) | stalk


def _mushroom(u: Field, v: Field) -> tuple[Mask, Mask]:
    """A cap with round flecks on a ribbed stalk."""
    cap = _disc(u, v, 0.0, 0.0, 1.0, 0.8) & (v < 0.1)
    stalk = (np.abs(u) < 0.24 + 0.12 * v**2) & (v >= 0.1) & (v < 0.95)
    flecks = _any(*(_disc(u, v, x, y, r) for x, y, r in ((-0.6, -0.2, 0.14), (0.0, -0.45, 0.18), (0.5, -0.3, 0.15))))
    flecks = _any(flecks, _disc(u, v, -0.2, -0.1, 0.1), _disc(u, v, 0.25, -0.05, 0.1))
    return cap | stalk, cap & flecks | stalk & (np.cos(30 * u) > 0.2)


def _snail(u: Field, v: Field) -> tuple[Mask, Mask]:
    """A coiled shell on a long foot with two feelers."""
    radius, angle = np.hypot(u - 0.15, v + 0.15), np.arctan2(v + 0.15, u - 0.15)
    shell = radius < 0.62
    foot = _disc(u, v, 0.0, 0.5, 1.0, 0.2) & (v < 0.6) | _disc(u, v, -0.78, 0.28, 0.18, 0.3)
    feelers = _any(*(np.abs(u + 0.85 + slant * (v - 0.1)) < 0.04 for slant in (0.35, -0.25))) & (v < 0.1) & (v > -0.35)
    return _any(shell, foot, feelers), _any(shell & (np.cos(angle - 22 * radius) > 0.2), feelers & ~shell)


SHAPES: dict[str, Shape] = {
    "fish": _fish,
    "flower": _flower,
    "ladybird": _ladybird,
    "leaf": _leaf,
    "mushroom": _mushroom,
    "snail": _snail,
}
"""Shape of each tag."""
