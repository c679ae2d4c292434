"""Gallery of the detections, least certain first: one HTML file that opens without a network, alone or, of many photos,
with its pictures in a folder beside it."""

import html
import io
import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from string import Template

import cv2
import numpy as np
from jaxtyping import Float
from PIL import Image

from ..errors import InputError
from ..inputs import content_hash
from ..localization import Localization, TagReport
from ..structures import Box, Problem
from .overlay import class_colors, heat_layer, outlines

Grids = Mapping[tuple[str, str], Float[np.ndarray, "h w"]]
"""Maps in [0, 1] on the feature grid, by the name of the photo and the class."""

Put = Callable[[str, str, bytes], str]
"""Takes name, suffix (``jpeg``, ``png``) and content of a picture, and returns its address in the page."""

EMBEDDED = 600
"""Most pictures, photos and their maps, that are in the page itself: some 10 MB."""

_TEMPLATE = Path(__file__).with_suffix(".html")


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
    title: str = "What torchbas found",
    limit: int = 20_000,
    pictures: Path | None = None,
) -> None:
    """Write an HTML page with a card for each detection; no text of the user ever becomes markup.

    Least certain are those of the lowest :attr:`~torchbas.localization.Localization.score`.

    Args:
        sizes: height and width of every photo, with detections or without, by name.
        open_image: opens a file as upright RGB whose shorter side has at least so many pixels, if the original has;
            where it raises :class:`InputError`, the card shows the sentence.
        maps_cam: adds a layer with these maps.
        problems: skipped files, to list.
        facts: lines in the head by caption, such as the model.
        reports: whether each tag's maps can be used: a table below the head.
        limit: of more detections the least certain are shown.
        pictures: folder beside the page for photos and maps, where these are more than :data:`EMBEDDED`; without one
            all are in the page.

    Raises:
        OSError: the disk refuses.
    """
    classes = [*dict.fromkeys([*classes, *(one.label for one in detections)])]
    shown = sorted(detections, key=lambda one: one.score)[:limit]
    count = len({one.name for one in shown}) + len({(one.name, one.label) for one in shown})
    beside = pictures if count > EMBEDDED else None
    images = "data: file: 'self'" if beside else "data:"
    before, after = _page(detections, classes, sizes, problems, facts or {}, reports, title, limit, images)
    put = _into(beside) if beside else _embedded
    with path.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline="\n") as file:
        file.write(before)
        file.writelines(_data(shown, classes, open_image, maps_cam or {}, put))
        file.write(after)


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
    shown: Sequence[Localization],
    classes: Sequence[str],
    open_image: Callable[[Path, int], Image.Image],
    maps_cam: Grids,
    put: Put,
) -> Iterator[str]:
    """JSON for the page's script, one row at a time: each photo once, however many detections it has."""
    photos = {one.name: one for one in shown}
    maps = {(one.name, one.label): one for one in shown}
    number = {name: n for n, name in enumerate(photos)}
    map_number = {key: n for n, key in enumerate(maps)}
    tag = {label: n for n, label in enumerate(classes)}
    side = 640 if len(photos) <= 200 else 320
    colors = class_colors(classes)
    lists = {
        "classes": ({"name": label, "color": "#{:02x}{:02x}{:02x}".format(*colors[label])} for label in classes),
        "photos": (_photo(one, open_image, side, partial(put, f"{n:06}")) for n, one in enumerate(photos.values())),
        "maps": (_maps(one, maps_cam, partial(put, f"{n:06}_map")) for n, one in enumerate(maps.values())),
        "cards": (
            {"photo": number[one.name], "tag": tag[one.label], "maps": map_number[one.name, one.label], **_card(one)}
            for one in shown
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
    one: Localization,
    open_image: Callable[[Path, int], Image.Image],
    side: int,
    put: Callable[[str, bytes], str],
) -> dict:
    photo = {"name": one.name, "height": one.size[0], "width": one.size[1], "sha256": _content_hash(one)}
    try:
        image = (one.photo or open_image(one.image, side)).copy()
    except InputError as error:
        return {**photo, "problem": str(error)}
    image.thumbnail((side, side))
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=80, optimize=True)
    return {**photo, "src": put("jpeg", jpeg.getvalue())}


def _content_hash(one: Localization) -> str:
    """SHA-256 of the photo's file, or of its pixels where it was given in memory, or of its name where it is gone."""
    if one.photo is not None:
        return sha256(one.photo.tobytes()).hexdigest()
    try:
        return content_hash(one.image)
    except (OSError, ValueError, InputError):
        return sha256(one.name.encode("utf-8", "surrogatepass")).hexdigest()


def _maps(one: Localization, maps_cam: Grids, put: Callable[[str, bytes], str]) -> dict:
    """The maps that all objects of a tag in a photo share."""
    cam = maps_cam.get((one.name, one.label))
    return {"bas": put("png", _heat(one.grid)), "cam": None if cam is None else put("cam.png", _heat(cam))}


def _card(one: Localization) -> dict:
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


def _page(
    detections: Sequence[Localization],
    classes: Sequence[str],
    sizes: Mapping[str, tuple[int, int]],
    problems: Sequence[Problem],
    facts: Mapping[str, str],
    reports: Sequence[TagReport],
    title: str,
    limit: int,
    images: str,
) -> tuple[str, str]:
    """The filled-in template, before and after the place of the data."""
    missed = [(name, f'nothing found for "{one.tag}"') for one in reports for name in one.nothing_found]
    named = {one.name for one in detections} | {name for name, _ in missed}
    notes = [
        _table(reports),
        _list("Skipped files", [(one.name, one.reason) for one in problems]),
        _list("Nothing found", missed),
        _list("Photos without a finding", [(name, "") for name in sizes if name not in named]),
    ]
    if len(detections) > limit:
        notes.append(
            f'<p class="note">Only the {limit:,} least certain of {len(detections):,} objects are shown here.</p>'
        )
    style = _TEMPLATE.with_suffix(".css").read_text("utf-8")
    script = "".join(_TEMPLATE.with_name(name).read_text("utf-8") for name in ("gallery.js", "gallery_edit.js"))
    lines = {**_summary(detections, classes, sizes, problems), **facts}.items()
    filling = {
        "title": html.escape(title),
        "facts": "".join(
            f"<div><dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd></div>" for key, value in lines
        ),
        "notes": "".join(notes),
        "style": style,
        "script": script,
        "images": images,
        "style_hash": _policy_hash(style),
        "script_hash": _policy_hash(script),
    }
    before, after = _TEMPLATE.read_text("utf-8").split("$data")
    return Template(before).substitute(filling), Template(after).substitute(filling)


def _summary(
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


def _table(reports: Sequence[TagReport]) -> str:
    """A row for each tag, those whose maps cannot be used first; open where there are any."""
    if not reports:
        return ""
    alive = sum(report.state == "alive" for report in reports)
    head = "".join(f"<th>{name}</th>" for name in ("Tag", "Photos", "Found", "Maps", "Median area", "Evidence left"))
    rows = "".join(_row(report) for report in sorted(reports, key=lambda report: report.state == "alive"))
    opened = "" if alive == len(reports) else " open"
    return (
        f'<details class="tags"{opened}><summary>Maps of {alive:,} of {len(reports):,} tags alive</summary>'
        f"<div><table><thead><tr>{head}</tr></thead>{rows}</table></div></details>"
    )


def _row(report: TagReport) -> str:
    numbers = f"{report.photos:,}", f"{report.found:,}", report.state
    numbers += f"{report.area:.2f}", f"{report.evidence_left:.2f}"
    state = f' class="{report.state}"'
    cells = "".join(f"<td{state if cell == report.state else ''}>{cell}</td>" for cell in numbers)
    why = f'<tr class="why"><td colspan="6">{html.escape(report.sentence)}</td></tr>' if report.sentence else ""
    return f"<tbody><tr><th>{html.escape(report.tag)}</th>{cells}</tr>{why}</tbody>"


def _list(what: str, lines: Sequence[tuple[str, str]], most: int = 500) -> str:
    if not lines:
        return ""
    items = "".join(f"<li><b>{html.escape(name)}</b> {html.escape(reason)}</li>" for name, reason in lines[:most])
    rest = f"<li>and {len(lines) - most:,} more</li>" if len(lines) > most else ""
    return f"<details><summary>{what} ({len(lines):,})</summary><ul>{items}{rest}</ul></details>"


def _policy_hash(text: str) -> str:
    """Hash for the page's security policy: the browser runs only a script, and uses only a style, that has it."""
    return f"sha256-{_base64(sha256(text.encode()).digest())}"


def _base64(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def _json(value: object) -> str:
    """Compact JSON in which no HTML tag can begin."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
