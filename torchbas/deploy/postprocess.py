"""Boxes from a model that torchbas has exported, with NumPy alone; Pillow opens photos, and torchbas is not needed.

python postprocess.py model.onnx photo.jpg ...        prints JSON, one object a photo

As a module:

from postprocess import Model

model = Model("model.onnx")                           # or model.xml, by OpenVINO
for one in model("photo.jpg", tags=["cat"]):
    print(one.label, one.box, one.confidence)

The graph takes `images`, float32 (B, 3, S, S), RGB in 0..255, and gives `logits` (B, K), `maps` (B, K, h, w) in [0, 1],
and of some models `familiarity` (B). What else is to be known stands in the JSON file beside it.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Run = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""From images to the graph's outputs by name."""


class Found(NamedTuple):
    """One object."""

    label: str
    box: tuple[int, int, int, int]
    """Left, top, right, bottom in pixels of the photo, EXIF applied; the end exclusive."""
    confidence: float
    """Probability of the tag, in [0, 1]."""
    certainty: float | None
    """Whether any of the tags is there, in [0, 1]; None where the model does not know."""
    threshold: float
    mask: np.ndarray
    """(H, W) bool."""


class Model:
    """An exported model.

    Args:
        path: model.onnx or model.xml, with its JSON file beside it.
        run: runs the graph in another way than by onnxruntime or openvino.
    """

    def __init__(self, path: str | Path, run: Run | None = None) -> None:
        self.card = json.loads(Path(f"{path}.json").read_text("utf-8"))
        self.run = run or session(path)
        self.classes: list[str] = self.card["classes"]

    def __call__(self, photo: Any, tags: Sequence[str] = (), **how: Any) -> list[Found]:
        """Objects in one photo, as :meth:`batch`."""
        return self.batch([photo], tags, **how)[0]

    def batch(
        self,
        photos: Sequence[Any],
        tags: Sequence[str] = (),
        *,
        objects: str = "largest",
        threshold: float | str | None = None,
    ) -> list[list[Found]]:
        """Objects of ``tags`` in each photo, the most probable one without tags.

        Args:
            photos: paths, Pillow images, or arrays (H, W, 3) of uint8, RGB.
            objects: ``largest`` of each tag, or ``all``.
            threshold: value of the map above which a pixel belongs to the object, or ``auto``; None: the model's own.
        """
        labels = sorted(self.classes.index(tag) for tag in tags)
        side, detail = self.card["side"], self.card["detail"]
        opened = [opened_photo(photo, side * detail) for photo in photos]
        views = np.stack([view(image, side * detail) for image, _ in opened])
        outputs = self.run(reduced(views, detail))
        found = []
        for place, (_, size) in enumerate(opened):
            one = {name: value[place] for name, value in outputs.items()}
            maps = self._heatmaps(one, labels or [int(one["logits"].argmax())], views[place])
            found.append(self._found(one, maps, size, objects, threshold))
        return found

    def _heatmaps(self, one: Mapping[str, np.ndarray], labels: Sequence[int], views: np.ndarray) -> dict[int, Any]:
        """Heatmap of each tag: the graph's, or, for tags that the model localizes at twice the size, those of a second
        run. Tags whose maps are useless are left out."""
        settings = self.card["settings"]
        useless = set(settings["layercam"])
        labels = [label for label in labels if self.classes[label] not in useless]
        maps = {label: heatmap(one["maps"], one["logits"], label, settings) for label in labels}
        if not self.card["second_pass"] or not maps:
            return maps
        detail = self.card["detail"]
        maps = {label: resized(each, each.shape[0] * detail, each.shape[1] * detail) for label, each in maps.items()}
        every = settings["enlarge"] != "auto"
        wanted = [label for label in maps if every or self.classes[label] in settings["enlarged"]]
        if wanted:
            finer = self.run(views[None])["maps"][0]
            for label in wanted:
                large = resized(heatmap(finer, one["logits"], label, settings), *maps[label].shape)
                maps[label] = (maps[label] + large) / 2 if settings["enlarge"] == "mean" else large
        return maps

    def _found(
        self,
        one: Mapping[str, np.ndarray],
        maps: Mapping[int, np.ndarray],
        size: tuple[int, int],
        objects: str,
        threshold: float | str | None,
    ) -> list[Found]:
        settings = self.card["settings"]
        own = settings["threshold"] if threshold is None else threshold
        probable = probabilities(one["logits"], background=self.card["background_class"])
        certainty = float(one["familiarity"] * probable.sum()) if "familiarity" in one else None
        found = []
        for label, grid in maps.items():
            level = auto_threshold(grid) if own == "auto" else float(np.float32(own))
            for box, mask in components(resized(grid, *size) > level, objects, settings["smallest"]):
                found.append(Found(self.classes[label], box, float(probable[label]), certainty, level, mask))
        return found


def session(path: str | Path) -> Run:
    """What runs the graph: onnxruntime, or openvino where the file is ``.xml``; on the CPU."""
    if Path(path).suffix == ".xml":
        import openvino

        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        names = [output.get_any_name() for output in compiled.outputs]
        return lambda images: {name: compiled(images)[place] for place, name in enumerate(names)}
    import onnxruntime

    graph = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in graph.get_outputs()]
    return lambda images: dict(zip(names, map(np.asarray, graph.run(names, {"images": images})), strict=True))


def opened_photo(photo: Any, at_least: int) -> tuple[Any, tuple[int, int]]:
    """A photo as an upright RGB Pillow image, and its height and width; a much larger JPEG is decoded at a part of its
    size, never below ``at_least``."""
    from PIL import Image, ImageOps

    if isinstance(photo, np.ndarray):
        photo = Image.fromarray(photo)
    if not isinstance(photo, Image.Image):
        with Image.open(photo) as file:
            width, height = ImageOps.exif_transpose(file).size if file.format != "JPEG" else _upright(file)
            file.draft(None, (at_least, at_least))
            return _rgb(ImageOps.exif_transpose(file)), (height, width)
    photo = _rgb(ImageOps.exif_transpose(photo))
    return photo, (photo.height, photo.width)


def _upright(file: Any) -> tuple[int, int]:
    """Width and height from the header of a JPEG."""
    width, height = file.size
    return (height, width) if file.getexif().get(0x0112, 1) in (5, 6, 7, 8) else (width, height)


def _rgb(image: Any) -> Any:
    """RGB of 8 bits; transparency on white, 16 and 32 bits scaled."""
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        low, high = map(np.float32, (0, 65535) if image.mode.startswith("I;16") else image.getextrema())
        gray = (np.asarray(image, np.float32) - low) / max(high - low, np.float32(1e-12))
        return Image.fromarray((gray * 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def view(image: Any, side: int) -> np.ndarray:
    """The whole photo squeezed to a square, (3, side, side) float32 in 0..255; pixels are averaged where it shrinks."""
    from PIL import Image

    square = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(square, np.float32).transpose(2, 0, 1).copy()


def reduced(images: np.ndarray, times: int) -> np.ndarray:
    """Images (..., S, S) ``times`` smaller: bilinear with the kernel as wide as the step, which averages."""
    if times == 1:
        return images
    matrix = _shrinking(images.shape[-1], times)
    return (matrix @ images @ matrix.T).astype(np.float32)


def _shrinking(side: int, times: int) -> np.ndarray:
    """Weights (side / times, side) of a triangle around each new pixel's center."""
    centers = (np.arange(side // times) + 0.5) * times
    distance = np.abs(np.arange(side) + 0.5 - centers[:, None]) / times
    weights = np.maximum(1 - distance, 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def heatmap(maps: np.ndarray, logits: np.ndarray, label: int, settings: Mapping[str, Any]) -> np.ndarray:
    """Heatmap (h, w) of a tag: its own map or, with ``top_k``, the mean of the most probable tags'; 0 means all."""
    k = settings["top_k"]
    if k == 1:
        chosen = maps[label]
    elif k == 0:
        chosen = maps.mean(axis=0, dtype=np.float32)
    else:
        top = np.argsort(-logits, kind="stable")[:k]
        if settings["force_target"] and label not in top:
            top[-1] = label
        chosen = maps[top].mean(axis=0, dtype=np.float32)
    if not settings["normalized"]:
        return chosen
    low, high = chosen.min(), chosen.max()
    return (chosen - low) / (high - low + np.float32(1e-5))


def resized(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map (h, w) at another size, bilinear, corners not aligned, as OpenCV and PyTorch do it."""
    top, bottom, down = _between(grid.shape[0], height)
    left, right, along = _between(grid.shape[1], width)
    rows = grid[:, left] * (1 - along) + grid[:, right] * along
    return rows[top] * (1 - down)[:, None] + rows[bottom] * down[:, None]


def _between(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each new pixel the two old ones that it lies between, and how far it is to the second, in [0, 1]."""
    place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    first = np.floor(place).astype(np.int64)
    return first, np.minimum(first + 1, old - 1), (place - first).astype(np.float32)


def probabilities(logits: np.ndarray, *, background: bool) -> np.ndarray:
    """Softmax (K); with a background class of score 0 the tags sum to less than one."""
    every = np.append(logits, 0.0) if background else logits
    odds = np.exp(every - every.max())
    return (odds / odds.sum())[: len(logits)]


def auto_threshold(grid: np.ndarray) -> float:
    """Half of Otsu's threshold of a map in [0, 1], read in 256 levels."""
    levels = (np.clip(grid, 0, 1) * np.float32(255)).astype(np.int64)
    counts = np.bincount(levels.ravel(), minlength=256).astype(np.float32)
    below = counts.cumsum(dtype=np.float32)
    total = (counts * np.arange(256, dtype=np.float32)).cumsum(dtype=np.float32)
    over = below[-1] - below
    between = (total * over - (total[-1] - total) * below) ** 2 / np.maximum(below * over, np.float32(1))
    return float(np.float32(between.argmax()) / np.float32(255) / np.float32(2))


def components(
    foreground: np.ndarray, objects: str = "largest", smallest: float = 0.001
) -> list[tuple[tuple[int, int, int, int], np.ndarray]]:
    """Box and mask of the 8-connected components of a mask (H, W), largest first, of equal ones the first from the top.

    ``all`` are those of at least ``smallest`` times the photo's area, and the largest however small it is.
    """
    row, start, stop = _runs(foreground)
    labels = _connected(row, start, stop)
    _, labels = np.unique(labels, return_inverse=True)
    areas = np.bincount(labels, weights=stop - start)
    order = np.argsort(-areas, kind="stable")
    kept = order[:1]
    if objects == "all":
        kept = order[(areas[order] >= smallest * foreground.size) | (order == order[:1])]
    found = []
    for one in kept:
        runs = np.flatnonzero(labels == one)
        mask = np.zeros(foreground.shape, bool)
        for run in runs:
            mask[row[run], start[run] : stop[run]] = True
        box = start[runs].min(), row[runs].min(), stop[runs].max(), row[runs].max() + 1
        left, top, right, bottom = map(int, box)
        found.append(((left, top, right, bottom), mask))
    return found


def _runs(foreground: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, start and stop of each run of pixels in a row, from the top and from the left."""
    framed = np.pad(foreground.astype(np.int8), ((0, 0), (1, 1)))
    steps = np.diff(framed, axis=1)
    row, start = np.nonzero(steps == 1)
    return row, start, np.nonzero(steps == -1)[1]


def _connected(row: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """The first run of the component that each run belongs to."""
    labels = np.arange(len(row))
    above, below = _touching(row, start, stop)
    while True:
        least = np.minimum(labels[above], labels[below])
        before = labels.copy()
        for ends in (above, below):
            np.minimum.at(labels, before[ends], least)
        while (labels != labels[labels]).any():
            labels = labels[labels]
        if (labels == before).all():
            return labels


def _touching(row: np.ndarray, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of runs of neighboring rows that touch, corners included."""
    wide = int(stop.max(initial=0)) + 2
    # keys order runs by row and place, so that those of the row above which touch one are a range
    first = np.searchsorted(row * wide + stop, (row - 1) * wide + start, side="left")
    last = np.searchsorted(row * wide + start, (row - 1) * wide + stop, side="right")
    counts = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(row)), counts)
    above = np.arange(len(below)) - np.repeat(counts.cumsum() - counts, counts) + first[below]
    return above, below


def main(words: Iterable[str] | None = None) -> int:
    """The command; 2 where something given cannot be used."""
    parser = argparse.ArgumentParser(
        prog="postprocess.py", description="Boxes in photos by an exported model, as JSON."
    )
    parser.add_argument("model", type=Path, help="model.onnx or model.xml, with its JSON file beside it")
    parser.add_argument("photos", nargs="+", help="photo files")
    parser.add_argument("--tags", nargs="+", default=[], help="what to localize; the most probable one without it")
    parser.add_argument("--objects", choices=["largest", "all"], default="largest")
    parser.add_argument("--threshold", help="a number in [0, 1] or auto; the model's own when not given")
    given = parser.parse_args(None if words is None else list(words))
    try:
        model = Model(given.model)
        level = given.threshold if given.threshold in (None, "auto") else float(given.threshold)
        if unknown := sorted(set(given.tags) - {*model.classes}):
            raise ValueError(f"the model has no tag {unknown[0]}, but {', '.join(model.classes)}")
        for sentence in model.card["left_out"]:
            sys.stderr.write(f"{sentence}\n")
        for photo in given.photos:
            found = model(photo, given.tags, objects=given.objects, threshold=level)
            rows = [{name: value for name, value in one._asdict().items() if name != "mask"} for one in found]
            sys.stdout.write(json.dumps({"photo": photo, "objects": rows}) + "\n")
    except (OSError, ValueError, ImportError) as error:
        sys.stderr.write(f"postprocess.py: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
