"""Gallery of the detections, least certain first: one HTML file that opens without a network, alone or, of many photos,
with its pictures in a folder beside it."""

import io
import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float
from PIL import Image

from ..errors import InputError
from ..inputs import content_hash
from ..localization import Localization, NotFound, TagReport
from ..structures import Box, Problem
from .gallery_page import Head, page
from .order import most_useful_first, reviewed
from .overlay import class_colors, heat_layer, outlines

Grids = Mapping[tuple[str, str], Float[np.ndarray, "h w"]]
"""Maps in [0, 1] on the feature grid, by the name of the photo and the class."""

Put = Callable[[str, str, bytes], str]
"""Takes name, suffix (``jpeg``, ``png``) and content of a picture, and returns its address in the page."""

Card = Localization | NotFound

EMBEDDED = 600
"""Most pictures, photos and their maps, that are in the page itself: some 10 MB."""
NOTHING = {"score": None, "iou": None, "box": None, "ground_truth": ()}
"""What the card of a tag that was not found has in place of numbers."""


def write_gallery(
    detections: Sequence[Localization],
    classes: Sequence[str],
    sizes: Mapping[str, tuple[int, int]],
    path: Path,
    *,
    open_image: Callable[[Path, int], Image.Image],
    maps_cam: Grids | None = None,
    problems: Sequence[Problem] = (),
    facts: Mapping[str, str] | None = None,
    reports: Sequence[TagReport] = (),
    not_found: Sequence[NotFound] = (),
    title: str = "What torchbas found",
    limit: int = 20_000,
    pictures: Path | None = None,
) -> None:
    """Write an HTML page with a card for each detection, and for each tag of a photo that was not found; no text of the
    user ever becomes markup.

    Least certain are those of the lowest :attr:`~torchbas.localization.Localization.score`.

    Args:
        sizes: height and width of every photo, with detections or without, by name.
        open_image: opens a file as upright RGB whose shorter side has at least so many pixels, if the original has;
            where it raises :class:`InputError`, the card shows the sentence.
        maps_cam: adds a layer with these maps.
        problems: skipped files, to list.
        facts: lines in the head by caption, such as the model; that called :data:`~torchbas.viz.gallery_page.ADVICE`
            stands beside the order of the cards.
        reports: whether each tag's maps can be used: a table below the head.
        not_found: tags of photos, to draw their boxes.
        limit: of more cards those of corrected boxes, of tags that were not found and of the least certain detections
            are shown.
        pictures: folder beside the page for photos and maps, where these are more than :data:`EMBEDDED`; without one
            all are in the page.

    Raises:
        OSError: the disk refuses.
    """
    least_certain = sorted(detections, key=lambda one: one.score)
    every = sorted([*not_found, *least_certain], key=lambda one: not reviewed(one))
    classes = [*dict.fromkeys([*classes, *(one.label for one in every if one.label)])]
    shown = every[:limit]
    count = len({one.name for one in shown}) + len({(one.name, one.label) for one in shown})
    beside = pictures if count > EMBEDDED else None
    head = Head(
        title,
        _counts(detections, classes, sizes, problems),
        facts or {},
        reports,
        problems,
        [*_without_card(every, sizes, reports)],
        f"Only the {limit:,} least certain of {len(every):,} objects are shown here." if len(every) > limit else "",
    )
    before, after = page(head, "data: file: 'self'" if beside else "data:")
    put = _into(beside) if beside else _embedded
    with path.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline="\n") as file:
        file.write(before)
        file.writelines(_data(shown, classes, open_image, maps_cam or {}, put))
        file.write(after)


def _without_card(
    every: Sequence[Card], sizes: Mapping[str, tuple[int, int]], reports: Sequence[TagReport]
) -> Iterator[tuple[str, str]]:
    """Photos and tags that were not found there, of a photo without a card perhaps none."""
    cards = {(one.name, one.label) for one in every}
    missed = [(name, one.tag) for one in reports for name in one.nothing_found if (name, one.tag) not in cards]
    named = {name for name, _ in (*cards, *missed)}
    yield from missed
    yield from ((name, "") for name in sizes if name not in named)


def _embedded(_: str, suffix: str, content: bytes) -> str:
    return f"data:image/{suffix.rpartition('.')[2]};base64,{_base64(content)}"


def _into(folder: Path) -> Put:
    """Puts pictures into a folder beside the page, in place of those of an earlier one."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("[0-9]" * 6 + "*"):
        old.unlink()

    def put(name: str, suffix: str, content: bytes) -> str:
        (folder / f"{name}.{suffix}").write_bytes(content)
        return f"{folder.name}/{name}.{suffix}"

    return put


def _data(
    shown: Sequence[Card],
    classes: Sequence[str],
    open_image: Callable[[Path, int], Image.Image],
    maps_cam: Grids,
    put: Put,
) -> Iterator[str]:
    """JSON for the page's script, one row at a time: each photo once, however many cards it has."""
    photos = {one.name: one for one in shown}
    maps = {(one.name, one.label): one for one in shown if isinstance(one, Localization)}
    number = {name: n for n, name in enumerate(photos)}
    map_number = {key: n for n, key in enumerate(maps)}
    tag = {label: n for n, label in enumerate(classes)}
    rank = {place: n for n, place in enumerate(most_useful_first(shown))}
    side = 640 if len(photos) <= 200 else 320
    colors = class_colors(classes)
    lists = {
        "classes": ({"name": label, "color": "#{:02x}{:02x}{:02x}".format(*colors[label])} for label in classes),
        "photos": (_photo(one, open_image, side, partial(put, f"{n:06}")) for n, one in enumerate(photos.values())),
        "maps": (_maps(one, maps_cam, partial(put, f"{n:06}_map")) for n, one in enumerate(maps.values())),
        "cards": (
            {
                "photo": number[one.name],
                "tag": tag.get(one.label),
                "maps": map_number.get((one.name, one.label)),
                "rank": rank[n],
                "reviewed": reviewed(one),
                **(_numbers(one) if isinstance(one, Localization) else NOTHING),
            }
            for n, one in enumerate(shown)
        ),
    }
    stops = ["#{:02x}{:02x}{:02x}".format(*color) for color in heat_layer(np.linspace(0, 1, 17)[None])[0, :, :3]]
    yield f'{{"scale":{_json(stops)}'
    for key, rows in lists.items():
        yield f',\n"{key}":['
        for n, row in enumerate(rows):
            yield f"{',' if n else ''}\n{_json(row)}"
        yield "]"
    yield "}"


def _photo(
    one: Card,
    open_image: Callable[[Path, int], Image.Image],
    side: int,
    put: Callable[[str, bytes], str],
) -> dict:
    photo = {"name": one.name, "height": one.size[0], "width": one.size[1], "sha256": _content_hash(one)}
    try:
        image = (_in_memory(one) or open_image(one.image, side)).copy()
    except InputError as error:
        return {**photo, "problem": str(error)}
    image.thumbnail((side, side))
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=80, optimize=True)
    return {**photo, "src": put("jpeg", jpeg.getvalue())}


def _in_memory(one: Card) -> Image.Image | None:
    return one.photo if isinstance(one, Localization) else None


def _content_hash(one: Card) -> str:
    """SHA-256 of the photo's file, or of its pixels where it was given in memory, or of its name where it is gone."""
    if (photo := _in_memory(one)) is not None:
        return sha256(photo.tobytes()).hexdigest()
    try:
        return content_hash(one.image)
    except (OSError, ValueError, InputError):
        return sha256(one.name.encode("utf-8", "surrogatepass")).hexdigest()


def _maps(one: Localization, maps_cam: Grids, put: Callable[[str, bytes], str]) -> dict:
    """The maps that all objects of a tag in a photo share."""
    cam = maps_cam.get((one.name, one.label))
    return {"bas": put("png", _heat(one.grid)), "cam": None if cam is None else put("cam.png", _heat(cam))}


def _numbers(one: Localization) -> dict:
    return {
        "score": round(one.score, 4),
        "confidence": round(one.confidence, 4),
        "method": one.method,
        "bas_ratio": round(one.bas_ratio, 4),
        "threshold": round(one.threshold, 4),
        "iou": _best_iou(one),
        "box": one.xyxy,
        "ground_truth": one.ground_truth,
        "mask": _svg_path(one),
    }


def _heat(grid: Float[np.ndarray, "h w"]) -> bytes:
    """The map as a PNG of 256 colors, those of :func:`~torchbas.viz.overlay.heat_layer`."""
    image, png = Image.fromarray((grid.clip(0, 1) * 255).round().astype(np.uint8)), io.BytesIO()
    palette = heat_layer(np.linspace(0, 1, 256)[None])[0]
    image.putpalette(palette[:, :3].tobytes())
    image.save(png, "PNG", transparency=palette[:, 3].tobytes())
    return png.getvalue()


def _svg_path(one: Localization) -> str:
    tolerance = max(one.size) / 640  # one pixel of the largest picture on the page
    borders = (cv2.approxPolyDP(border, tolerance, closed=True)[:, 0].tolist() for border in outlines(one.mask))
    return "".join("M" + "L".join(f"{x} {y}" for x, y in border) + "Z" for border in borders)


def _best_iou(one: Localization) -> float | None:
    return round(max(_iou(one.xyxy, box) for box in one.ground_truth), 4) if one.ground_truth else None


def _iou(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    return both / max(sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)) - both, 1e-9)


def _counts(
    detections: Sequence[Localization],
    classes: Sequence[str],
    sizes: Mapping[str, tuple[int, int]],
    problems: Sequence[Problem],
) -> dict[str, str]:
    ious = [iou for one in detections if (iou := _best_iou(one)) is not None]
    summary = {"Photos": f"{len(sizes):,}", "Tags": f"{len(classes):,}", "Objects": f"{len(detections):,}"}
    if ious:
        summary["IoU of at least 0.5"] = f"{sum(iou >= 0.5 for iou in ious):,} of {len(ious):,} with a true box"
    if problems:
        summary["Skipped"] = f"{len(problems):,}"
    return summary


def _base64(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def _json(value: object) -> str:
    """Compact JSON in which no HTML tag can begin."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
