"""``bas eval``: metrics of a model, heatmaps or label maps against ground-truth boxes and masks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..config import Side
from ..errors import InputError
from ..io import MANIFEST
from ..structures import Dataset
from .common import Background, Common, Data, alone, chosen
from .common import parse as read
from .folder import OutputFolder

STATE = ("counts.npz", ".images.csv.partial")
"""What a stopped evaluation has left."""
FILES = (MANIFEST, "scores.json", "images.csv", "curve.csv", *STATE)


@dataclass
class Eval(Common):
    """Metrics of a model, or of a folder of heatmaps, against ground-truth boxes and masks, beside the center prior.

    authors, the paper's protocol: squeezed to 256, center crop 224, min-max, bilinear, largest component above the
    threshold, IoU at least .5; classes by the mean of ten crops. wsoleval (Choe et al. 2020): squeezed to 224, bicubic,
    min-max; MaxBoxAcc, MaxBoxAccV2, and PxAP and PIoU where there are masks. The split test is scored where there is
    one.
    """

    data: Data = field(kw_only=True)
    model: str | None = None
    """Folder of a run, Hub repository user/name, or the authors' .pth.tar."""
    maps: Path | None = None
    """Folder of heatmaps (score maps) instead of a model: IMAGE.npz or IMAGE.npy, 224 x 224 numbers from 0 to 1."""
    labels: Path | None = None
    """Folder of label maps instead: one PNG each, 0 background, n the n-th class; scored by mIoU."""
    protocol: Literal["authors", "wsoleval"] | None = None
    """authors for a model and wsoleval for maps, unless given."""
    threshold: str = "auto"
    """Of the summaries: auto (from each heatmap alone), a number, or validation (the best one on the split val)."""
    predictions: Path | None = None
    """CSV image,class,class,... with the most probable class first, for Top-1 and Top-5 Loc of --maps."""
    images: Path | None = None
    """Folder that the lists' paths are relative to, where the format expects the photos elsewhere."""
    masks: Path | None = None
    """The same for true masks."""
    background: Background = ()
    """Tags that were background when the model was trained."""
    out: Path | None = None
    """Folder for scores.json, images.csv and curve.csv, which bas analyze draws."""
    overwrite: bool = False
    """Replace an earlier evaluation in --out."""
    resume: bool = False
    """Go on with a stopped evaluation of --maps in --out."""
    input_size: Side | None = None
    """With --model, both sides that photos are squeezed to, before the crop; the model's own when not given."""
    ten_crop: bool = True
    """Classify by ten crops; the center crop alone is ten times faster."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """auto: bf16 where the hardware multiplies it faster, else fp32."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(given is not None for given in (self.model, self.maps, self.labels)) != 1:
            raise InputError("bas eval scores one thing: give --model RUN, --maps FOLDER or --labels FOLDER.")
        if self.predictions and not self.maps:
            raise InputError("--predictions goes with --maps; a model predicts for itself.")
        self.chosen_threshold = _threshold(self.threshold)

    def read(self, *, need_images: bool = True) -> Dataset:
        """The dataset of the flags."""
        from .. import data

        read = data.read(self.data, images=self.images, masks=self.masks, need_images=need_images)
        return read.with_background(*self.background)

    def run(self) -> dict[str, Any]:
        """Evaluate every photo once, print, write."""
        from ..io import write_manifest
        from .progress import Reporter

        alone("eval")
        reporter = Reporter(self.quiet)
        if self.out:
            self.folder = OutputFolder(self.out, overwrite=self.overwrite, resume=self.resume)
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
        dataset = self.read().only("test", "val")
        if not dataset.samples:
            raise InputError(f"{self.data} has no split test or val: give data that has one, or has none at all.")
        localizer = api.load(self.model).with_inference(input_size=self.input_size)
        checked = Job(self.out or self.data, reporter, compute).check(dataset)
        with reporter.stage("evaluating", "batches") as stage:
            return api.evaluate(
                checked,
                localizer,
                protocol=self.protocol or "authors",
                threshold=self.chosen_threshold,
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
        dataset = self.read(need_images=False)
        with reporter.stage("evaluating heatmaps") as stage:
            return api.score_maps(
                dataset,
                self.maps,
                protocol=self.protocol or "wsoleval",
                threshold=self.chosen_threshold,
                predictions=self.predictions,
                state=self.out / "counts.npz" if self.out else None,
                table=self._table if self.out else None,
                workers=self.workers,
                progress=stage.each,
            )

    def _score_labels(self, labels: Path) -> dict[str, Any]:
        from .. import api
        from ..io import write_manifest
        from .progress import table

        if not labels.is_dir():
            raise InputError(f"--labels {labels} is no folder: check the path.")
        dataset = self.read(need_images=False)
        scores = api.score_labels(dataset, labels)
        rows = [*scores["iou"].items(), ("mean", scores["miou"])]
        table(f"IoU of {scores['photos']} label maps, percent", ["class", "IoU"], [[*row] for row in rows])
        answer = {"command": "eval", "words": chosen(self), **scores}
        if self.out and self.folder:
            self.folder.begin(*FILES)
            write_manifest(self.out, answer)
        return answer

    def _table(self, threshold: Any) -> Any:
        from ..evaluation.per_image import PerImageTable

        assert self.out is not None
        assert self.folder is not None
        self.folder.begin(*STATE)  # the scores of an earlier evaluation stand until there are new ones
        return PerImageTable(self.out / "images.csv", threshold)

    def _write(self, curves: dict[str, list[tuple[float, Any, float]]], answer: dict[str, Any]) -> None:
        import csv
        import json

        from ..io import atomic_write

        assert self.out is not None
        with atomic_write(self.out / "curve.csv") as partial, partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("row", "threshold", "delta", "accuracy"))
            for row, points in curves.items():
                writer.writerows((row, f"{t:g}", delta, f"{accuracy:.3f}") for t, delta, accuracy in points)
        with atomic_write(self.out / "scores.json") as partial:
            partial.write_text(json.dumps(answer, indent=2, default=str) + "\n", encoding="utf-8")
        (self.out / "counts.npz").unlink(missing_ok=True)


def _threshold(word: str) -> float | str:
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

    side, prior = scores.center_prior
    rows: list[list[Any]] = [
        [f"{name}, threshold {threshold}", *(accuracies.get(one, "") for one in ("gt_known", "top1_loc", "top5_loc"))]
        for name, thresholds in scores.rows.items()
        for threshold, accuracies in thresholds.items()
    ]
    rows.append([f"center prior ({side:.0%} of each side)", prior, "", ""])
    rows.append(["whole image", scores.whole_image, "", ""])
    title = f"Percent of {scores.images} photos, protocol {scores.protocol}"
    if scores.top1_cls is not None:
        title += f"; classes correct: {scores.top1_cls:.1f} (top 5: {scores.top5_cls:.1f})"
    table(title, ["", "GT-known", "Top-1 Loc", "Top-5 Loc"], rows)
    names = {"maxboxacc": "MaxBoxAcc", "maxboxaccv2": "MaxBoxAccV2", "pxap": "PxAP", "piou": "PIoU"}
    found = [name for name in names if any(name in summary for summary in scores.summaries.values())]
    if found:
        columns = ["at the best thresholds, chosen on these images", *(names[name] for name in found)]
        table("", columns, [[row, *(s.get(n, "") for n in found)] for row, s in scores.summaries.items()])


def parse(words: Sequence[str]) -> Eval:
    """The command from its words."""
    return read(Eval, words)
