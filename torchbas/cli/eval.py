"""``bas eval``: score a model, or anybody's score maps or label maps, against true boxes and masks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError
from .common import Common, Data, alone, chosen, prepare
from .common import parse as read

FILES = ("scores.json", "images.csv", "curve.csv", "counts.npz", ".images.csv.partial")


@dataclass
class Eval(Common):
    """Score a model, or a folder of score maps, against true boxes and masks, beside boxes that look at nothing.

    authors, the paper's protocol: squeezed to 256, centre crop 224, min-max, bilinear, largest component above the
    threshold, IoU at least .5; classes by the mean of ten crops. wsoleval (Choe et al. 2020): squeezed to 224, bicubic,
    min-max; MaxBoxAcc, MaxBoxAccV2, and PxAP and PIoU where there are masks. The split test is scored where there is
    one.
    """

    data: Data = field(kw_only=True)
    model: str | None = None
    """Folder of a run, Hub repository user/name, or the authors' .pth.tar."""
    maps: Path | None = None
    """Folder of score maps instead of a model: one IMAGE.npz or IMAGE.npy each, 224 x 224 numbers from 0 to 1."""
    labels: Path | None = None
    """Folder of label maps instead: one PNG each, 0 background, n the n-th class; scored by mIoU."""
    protocol: Literal["authors", "wsoleval"] | None = None
    """authors for a model and wsoleval for maps, unless given."""
    threshold: str = "auto"
    """What the details are at: auto (from each map alone), a number, or validation (the best one on the split val)."""
    predictions: Path | None = None
    """CSV image,class,class,... with the most probable class first, for Top-1 and Top-5 Loc of --maps."""
    images: Path | None = None
    """Folder that the lists' paths are relative to, where the format expects the photos elsewhere."""
    masks: Path | None = None
    """The same for true masks."""
    out: Path | None = None
    """Folder for scores.json, images.csv and curve.csv, which bas analyze draws."""
    overwrite: bool = False
    """Replace an earlier evaluation in --out."""
    resume: bool = False
    """Go on with a stopped evaluation of --maps in --out."""
    ten_crop: bool = True
    """Classify by ten crops; the centre crop alone is ten times faster."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """auto: bf16 where the hardware multiplies it faster, else fp32."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(given is not None for given in (self.model, self.maps, self.labels)) != 1:
            raise InputError("bas eval scores one thing: give --model RUN, --maps FOLDER or --labels FOLDER.")
        if self.predictions and not self.maps:
            raise InputError("--predictions goes with --maps; a model predicts for itself.")
        self.level = _level(self.threshold)

    def run(self) -> dict[str, Any]:
        """Judge every photo once, print, write."""
        from ..formats import write_manifest
        from .progress import Reporter

        alone("eval")
        reporter = Reporter(self.quiet)
        if self.out:
            prepare(self.out, None, FILES, overwrite=self.overwrite, resume=self.resume)
        if self.labels:
            return self._score_labels(self.labels)
        scores = self._score_maps(reporter) if self.maps else self._score_model(reporter)
        show(scores)
        answer = {"command": "eval", "words": chosen(self), **asdict(scores)}
        curves = answer.pop("curves")
        if self.out:
            self._write(curves, answer)
            write_manifest(self.out, {"command": "eval", "words": chosen(self), "images": scores.images})
            reporter.say(f"Next: bas analyze size {self.out / 'images.csv'} --out {self.out / 'size'}")
        return answer

    def _score_model(self, reporter: Any) -> Any:
        from .. import api
        from .job import Job

        assert self.model is not None
        compute = api.Compute(self.device, self.workers, self.precision)
        collection = api.data.read(self.data, images=self.images, masks=self.masks).only("test", "val")
        if not collection.photos:
            raise InputError(f"{self.data} has no split test or val: give data that has one, or has none at all.")
        checked = Job(self.out or self.data, reporter, compute).check(collection)
        with reporter.stage("evaluating") as stage:
            return api.evaluate(
                checked,
                self.model,
                protocol=self.protocol or "authors",
                threshold=self.level,
                ten_crop=self.ten_crop,
                table=self._table if self.out else None,
                compute=compute,
                watch=api.Watch(batches=stage.each),
            )

    def _score_maps(self, reporter: Any) -> Any:
        from .. import api

        assert self.maps is not None
        if not self.maps.is_dir():
            raise InputError(f"--maps {self.maps} is no folder: check the path.")
        collection = api.data.read(self.data, images=self.images, masks=self.masks, need_photos=False)
        with reporter.stage("judging maps") as stage:
            return api.score_maps(
                collection,
                self.maps,
                protocol=self.protocol or "wsoleval",
                threshold=self.level,
                predictions=self.predictions,
                state=self.out / "counts.npz" if self.out else None,
                table=self._table if self.out else None,
                workers=self.workers,
                progress=stage.each,
            )

    def _score_labels(self, labels: Path) -> dict[str, Any]:
        from .. import api
        from ..formats import write_manifest
        from .progress import table

        if not labels.is_dir():
            raise InputError(f"--labels {labels} is no folder: check the path.")
        collection = api.data.read(self.data, images=self.images, masks=self.masks, need_photos=False)
        scores = api.score_labels(collection, labels)
        rows = [*scores["iou"].items(), ("mean", scores["miou"])]
        table(f"IoU of {scores['photos']} label maps, percent", ["class", "IoU"], [[*row] for row in rows])
        answer = {"command": "eval", "words": chosen(self), **scores}
        if self.out:
            write_manifest(self.out, answer)
        return answer

    def _table(self, level: Any) -> Any:
        from ..engine.outcomes import OutcomeTable

        assert self.out is not None
        return OutcomeTable(self.out / "images.csv", level)

    def _write(self, curves: dict[str, list[tuple[float, Any, float]]], answer: dict[str, Any]) -> None:
        import csv
        import json

        from ..formats.files import replacing

        assert self.out is not None
        with replacing(self.out / "curve.csv") as partial, partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("row", "threshold", "delta", "accuracy"))
            for row, points in curves.items():
                writer.writerows((row, f"{t:g}", delta, f"{accuracy:.3f}") for t, delta, accuracy in points)
        with replacing(self.out / "scores.json") as partial:
            partial.write_text(json.dumps(answer, indent=2, default=str) + "\n", encoding="utf-8")
        (self.out / "counts.npz").unlink(missing_ok=True)


def _level(word: str) -> float | str:
    if word in ("auto", "validation"):
        return word
    try:
        number = float(word)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1:
        raise InputError(f"--threshold {word} makes no sense: give auto, validation, or a number from 0 to below 1.")
    return number


def show(scores: Any) -> None:
    """The scores as tables."""
    from .progress import table

    side, centred = scores.centred_box
    rows: list[list[Any]] = [
        [f"{name}, threshold {level}", *(accuracies.get(one, "") for one in ("gt_known", "top1_loc", "top5_loc"))]
        for name, levels in scores.rows.items()
        for level, accuracies in levels.items()
    ]
    rows.append([f"best centred box ({side:.0%} of each side)", centred, "", ""])
    rows.append(["whole image", scores.whole_image, "", ""])
    title = f"Percent of {scores.images} photos, protocol {scores.protocol}"
    if scores.top1_cls is not None:
        title += f"; classes right: {scores.top1_cls:.1f} (top 5: {scores.top5_cls:.1f})"
    table(title, ["", "GT-known", "Top-1 Loc", "Top-5 Loc"], rows)
    names = {"maxboxacc": "MaxBoxAcc", "maxboxaccv2": "MaxBoxAccV2", "pxap": "PxAP", "piou": "PIoU"}
    found = [name for name in names if any(name in summary for summary in scores.summaries.values())]
    if found:
        columns = ["at the best thresholds, chosen on these images", *(names[name] for name in found)]
        table("", columns, [[row, *(s.get(n, "") for n in found)] for row, s in scores.summaries.items()])


def parse(words: Sequence[str]) -> Eval:
    """The command from its words."""
    return read(Eval, words)
