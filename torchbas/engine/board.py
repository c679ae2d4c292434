"""Verdicts summed up: scores of every row at every threshold, in memory that does not grow with the images."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..metrics import DELTAS, CentredBoxes, PixelScores, Sweep, max_box_acc_v2, threshold_grid
from .scoring import SIZES, Case, Level, Rules, Verdict


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
        for level, iou in verdict.levels.items():
            if isinstance(level, str):  # the fixed ones are in the grid
                self._sweep(level).update(np.array([iou]), groups, case.right)
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

    def merge(self, other: "Board") -> None:
        """Add the counts of another part of the same data, e.g. of another process."""
        self.centred.merge(other.centred)
        for name, right in other.right.items():
            self.right[name] = self.right.get(name, 0) + right
        for row, tally in other.tallies.items():
            self.tallies.setdefault(row, Tally(self.rules)).merge(tally)

    def arrays(self) -> dict[str, Any]:
        """All counts, to be stored; :meth:`restore` reads them."""
        named: dict[tuple[str, ...], np.ndarray] = {
            ("centred",): np.append(self.centred.hits, self.centred.images),
            **{("right", name): np.array(right) for name, right in self.right.items()},
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
                self.right[place[0]] = int(array)
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
