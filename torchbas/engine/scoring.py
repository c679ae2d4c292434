"""From score maps and true boxes to scores: what a network's maps and anybody's stored maps go through alike."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8

from ..data.truth import boxes_after_crop, boxes_on_grid
from ..errors import InputError
from ..metrics import DELTAS, CentredBoxes, PixelScores, Protocol, Sweep, max_box_acc_v2, overlaps, threshold_grid
from ..types import Collection, Photo

Level = float | str
SIZES = {"under 10 %": 0.1, "10 to 30 %": 0.3, "30 to 50 %": 0.5, "over 50 %": np.inf}
"""Groups by the share of the image that the largest true box covers, each up to its number."""


@dataclass(frozen=True)
class Rules:
    """How maps are judged: protocol, grid of thresholds, and the sides of the photo and of the map in pixels."""

    protocol: Protocol = "authors"
    levels: tuple[Level, ...] = (0.1,)
    """Fixed thresholds to report, and the names of those that are found per image, such as ``auto``."""
    resize: int = 256
    side: int = 224
    interval: float | None = None
    """Of the grid of thresholds; the protocol's own when not given."""

    @property
    def fixed(self) -> tuple[float, ...]:
        """The thresholds that are the same for every image."""
        return tuple(level for level in self.levels if not isinstance(level, str))

    @cached_property
    def thresholds(self) -> Float64[np.ndarray, " T"]:
        """The grid, with the fixed thresholds in it."""
        return np.union1d(threshold_grid(self.protocol, self.interval), self.fixed)

    def boxes(self, photo: Photo, size: tuple[int, int]) -> Int64[np.ndarray, "N 4"]:
        """True boxes on the map's grid, rounded as the protocol does; ``size`` is the photo's height and width."""
        if self.protocol == "authors":
            return boxes_after_crop(photo.boxes, size, self.resize, self.side)
        return boxes_on_grid(photo.boxes, size, self.side)


def with_truth(collection: Collection, rules: Rules) -> tuple[Photo, ...]:
    """The photos that have a tag and something to be judged by: a true box or, for ``wsoleval``, a true mask.

    Raises:
        InputError: there is none.
    """
    masks = rules.protocol == "wsoleval"
    photos = tuple(p for p in collection.photos if p.labels and (p.boxes or (masks and (p.mask or p.instances))))
    if not photos:
        raise InputError(
            f"{collection.root} has no true boxes to compare with; bas eval needs them, bas label does not."
        )
    return photos


class Verdict(NamedTuple):
    """What one map is worth."""

    overlaps: dict[str, Float64[np.ndarray, " T"]]
    """IoU at each threshold of the grid, of the ``largest`` region and, for ``wsoleval``, of the best of ``all``."""
    own: dict[str, float]
    """IoU at the image's own threshold, by the way it was chosen."""
    pixels: PixelScores | None
    """Where there is a true mask."""
    rules: Rules

    def at(self, level: Level) -> float:
        """IoU at a fixed threshold of the rules, or at the image's own by its name; NaN without true boxes."""
        if isinstance(level, str):
            return self.own.get(level, float("nan"))
        iou = self.overlaps.get("largest")
        return float("nan") if iou is None else float(iou[np.abs(self.rules.thresholds - level).argmin()])


def judge(
    rules: Rules,
    heat: Float[np.ndarray, "H W"],
    boxes: Int64[np.ndarray, "N 4"],
    own: Mapping[str, float],
    mask: UInt8[np.ndarray, "H W"] | None = None,
) -> Verdict:
    """Judge one map in [0, 1]. It depends on nothing else, so it may happen in any process, in any order."""
    found, mine = {}, {}
    if len(boxes):
        every = np.union1d(rules.thresholds, list(own.values()))
        ious = overlaps(rules.protocol, heat, boxes, every)
        found = {name: iou[np.searchsorted(every, rules.thresholds)] for name, iou in ious.items()}
        mine = {way: float(ious["largest"][np.searchsorted(every, threshold)]) for way, threshold in own.items()}
    pixels = None
    if mask is not None:
        pixels = PixelScores(threshold_grid("wsoleval"))
        pixels.update(heat, mask)
    return Verdict(found, mine, pixels, rules)


class Case(NamedTuple):
    """What is known of the image that a map is judged for."""

    name: str
    label: str
    area: float
    """Share of the image that its largest true box covers."""
    boxes: Int64[np.ndarray, "N 4"]
    """On the map's grid."""
    rank: int | None
    """How many classes were held more probable than the true one; None where nobody classified."""

    @property
    def right(self) -> dict[str, bool]:
        """Whether Top-1 and Top-5 contain the true class; nothing where nobody classified."""
        return {} if self.rank is None else {f"top{k}": self.rank < k for k in (1, 5)}


def case_of(rules: Rules, photo: Photo, classes: Sequence[str], size: tuple[int, int] | None, rank: int | None) -> Case:
    """The case of a photo; ``size`` is its height and width, needed where it has boxes."""
    area, boxes = 0.0, np.zeros((0, 4), np.int64)
    if photo.boxes and size:
        area = max((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in photo.boxes) / (size[0] * size[1])
        boxes = rules.boxes(photo, size)
    return Case(photo.name, classes[photo.labels[0]], area, boxes, rank)


@dataclass
class Tally:
    """The verdicts on one row's maps, summed up: memory does not grow with the images."""

    rules: Rules
    sweeps: dict[str, Sweep] = field(default_factory=dict)
    pixels: PixelScores = field(default_factory=lambda: PixelScores(threshold_grid("wsoleval")))

    def add(self, verdict: Verdict, case: Case) -> None:
        """Count one image."""
        size = next(name for name, most in SIZES.items() if case.area <= most)
        groups = (f"class {case.label}", f"size {size}")
        for name, iou in verdict.overlaps.items():
            self._sweep(name).update(iou, groups, case.right)
        for way, iou in verdict.own.items():
            self._sweep(way).update(np.array([iou]), groups, case.right)
        if verdict.pixels is not None:
            self.pixels.merge(verdict.pixels)

    def merge(self, other: "Tally") -> None:
        """Add the counts of another part of the same data."""
        for name, sweep in other.sweeps.items():
            self._sweep(name).merge(sweep)
        self.pixels.merge(other.pixels)

    def restore(self, what: str, kind: str, group: Sequence[str], array: np.ndarray) -> None:
        """Take over one stored array of a sweep."""
        sweep = self._sweep(kind)
        if what == "histogram":
            sweep.histogram = array
        elif what == "hits":
            sweep.hits[group[0]] = array
        else:
            sweep.images[group[0]] = int(array)

    def at(self, level: Level) -> dict[str, float]:
        """GT-known, Top-1 and Top-5 Loc at a fixed threshold, or at each image's own by its name."""
        return _accuracies(*self._place(level))

    def at_all(self) -> dict[Level, dict[str, float]]:
        """The same at each of the rules' levels that this row has."""
        return {
            level: self.at(level) for level in self.rules.levels if not isinstance(level, str) or level in self.sweeps
        }

    def oracle(self) -> float:
        """The threshold of the grid with the highest GT-known, chosen on what it is scored on."""
        sweep = self._sweep("largest")
        return float(sweep.thresholds[sweep.best()[0]])

    def summary(self, level: Level) -> dict[str, Any]:
        """Everything else: what needs no threshold, the oracle, and at ``level`` the accuracy per class and size."""
        sweep, position = self._place(level)
        best = self.oracle()
        groups = {
            kind: {
                group.removeprefix(f"{kind} "): float(sweep.accuracy(0.5, group)[position])
                for group in sorted(sweep.images)
                if group.startswith(f"{kind} ")
            }
            for kind in ("class", "size")
        }
        answer: dict[str, Any] = {
            "oracle": {"threshold": best, **self.at(best)},
            "at": level,
            "iou": {str(delta): float(sweep.accuracy(delta)[position]) for delta in DELTAS},
            "median_iou": sweep.median_iou(position),
            "gt_known_per_class": groups["class"],
            "gt_known_per_size": groups["size"],
        }
        if "all" in self.sweeps:
            answer["maxboxacc"] = self._sweep("largest").best()[1]
            answer["maxboxaccv2"] = max_box_acc_v2(self._sweep("all"))
            answer["maxboxaccv2_per_delta"] = {str(delta): self._sweep("all").best(delta)[1] for delta in DELTAS}
        return answer | ({} if not self.pixels.counts.any() else self.pixels.compute())

    def curve(self) -> list[tuple[float, Level, float]]:
        """Threshold, delta and accuracy in percent, for drawing; the mask IoU of the pixels under ``pxap-iou``."""
        points: list[tuple[float, Level, float]] = []
        sweep = self._sweep("largest")
        for delta in DELTAS:
            curve = zip(sweep.thresholds.tolist(), sweep.accuracy(delta).tolist(), strict=True)
            points += [(threshold, delta, accuracy) for threshold, accuracy in curve]
        if self.pixels.counts.any():
            curve = zip(self.pixels.thresholds.tolist(), self.pixels.iou().tolist(), strict=False)
            points += [(threshold, "pxap-iou", iou) for threshold, iou in curve]
        return points

    def _place(self, level: Level) -> tuple[Sweep, int]:
        if isinstance(level, str):
            return self._sweep(level), 0
        sweep = self._sweep("largest")
        return sweep, sweep.nearest(level)

    def _sweep(self, name: str) -> Sweep:
        if name not in self.sweeps:
            grid = name in ("largest", "all")
            self.sweeps[name] = Sweep(self.rules.thresholds if grid else np.zeros(1))
        return self.sweeps[name]


@dataclass(frozen=True)
class Scores:
    """What was measured on one collection. Accuracies are in percent of its images."""

    protocol: str
    images: int
    top1_cls: float | None
    top5_cls: float | None
    """None where nobody classified; Top-1 and Top-5 Loc are absent then."""
    rows: dict[str, dict[Level, dict[str, float]]]
    """Row name -> threshold -> gt_known, top1_loc, top5_loc."""
    summaries: dict[str, dict[str, Any]]
    """Row name -> what else there is: the oracle's threshold, MaxBoxAcc, PxAP, per class, per size, ..."""
    curves: dict[str, list[tuple[float, Level, float]]] = field(repr=False)
    """Row name -> threshold, delta, accuracy in percent."""
    centred_box: tuple[float, float]
    """The best centred box that looks at nothing: its side, and its GT-known."""
    whole_image: float
    """GT-known of the whole image as the box."""

    def best(self, row: str) -> tuple[float, dict[str, float]]:
        """The reported fixed threshold with the highest GT-known, chosen on the data it is scored on: an oracle."""
        fixed = {level: scores for level, scores in self.rows[row].items() if not isinstance(level, str)}
        return max(fixed.items(), key=lambda item: item[1]["gt_known"])


@dataclass
class Board:
    """All rows' tallies on one collection, and what does not depend on the maps."""

    rules: Rules
    tallies: dict[str, Tally] = field(default_factory=dict)
    right: dict[str, int] = field(default_factory=dict)
    """By Top-k: images whose class it contains."""
    centred: CentredBoxes = field(init=False)

    def __post_init__(self) -> None:
        self.centred = CentredBoxes(self.rules.side)

    def add(self, case: Case, verdicts: Mapping[str, Verdict]) -> None:
        """Count one image with the verdicts on its maps, by row."""
        self.centred.update(case.boxes.astype(np.float64))
        for name, right in case.right.items():
            self.right[name] = self.right.get(name, 0) + right
        for row, verdict in verdicts.items():
            self.tallies.setdefault(row, Tally(self.rules)).add(verdict, case)

    def arrays(self) -> dict[str, Any]:
        """All counts, to be stored; :meth:`restore` reads them."""
        named: dict[tuple[str, ...], np.ndarray] = {
            ("right",): np.array(list(self.right.values())),
            ("centred",): np.append(self.centred.hits, self.centred.images),
        }
        for row, tally in self.tallies.items():
            named["pixels", row] = tally.pixels.counts
            for kind, sweep in tally.sweeps.items():
                named["histogram", row, kind] = sweep.histogram
                named |= {("hits", row, kind, group): hits for group, hits in sweep.hits.items()}
                named |= {("images", row, kind, group): np.array(n) for group, n in sweep.images.items()}
        arrays = {f"array{i}": array for i, array in enumerate(named.values())}
        return {"names": np.array(json.dumps(list(named))), **arrays}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`arrays` gave."""
        for i, (what, *place) in enumerate(json.loads(str(arrays["names"]))):
            array = arrays[f"array{i}"]
            if what == "right":
                self.right = dict(zip(("top1", "top5"), array.tolist(), strict=False))
            elif what == "centred":
                self.centred.hits, self.centred.images = array[:-1], int(array[-1])
            else:
                tally = self.tallies.setdefault(place[0], Tally(self.rules))
                if what == "pixels":
                    tally.pixels.counts = array
                else:
                    tally.restore(what, place[1], place[2:], array)

    def scores(self, level: Level | Mapping[str, Level]) -> Scores:
        """The result, with the details at one of the rules' levels, or at one for each row."""
        levels = level if isinstance(level, Mapping) else dict.fromkeys(self.tallies, level)
        return Scores(
            protocol=self.rules.protocol,
            images=self.centred.images,
            top1_cls=self._classified("top1"),
            top5_cls=self._classified("top5"),
            rows={row: tally.at_all() for row, tally in self.tallies.items()},
            summaries={row: tally.summary(levels[row]) for row, tally in self.tallies.items()},
            curves={row: tally.curve() for row, tally in self.tallies.items()},
            centred_box=self.centred.best(),
            whole_image=self.centred.whole(),
        )

    def _classified(self, name: str) -> float | None:
        return 100 * self.right[name] / self.centred.images if name in self.right else None


def _accuracies(sweep: Sweep, position: int) -> dict[str, float]:
    groups = {"gt_known": "", "top1_loc": "top1", "top5_loc": "top5"}
    known = {name: group for name, group in groups.items() if group in sweep.hits or not group}
    return {name: float(sweep.accuracy(0.5, group)[position]) for name, group in known.items()}
