"""Evaluation of a method by either protocol: one pass over the dataset, any number of rows of heatmaps."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..cam import auto_threshold
from ..config import Inference
from ..data import Batch, center_view, evaluation_loader, standardize, ten_crops, whole_view
from ..inference.localize import class_heatmaps, enlarged_classes
from ..inference.thresholds import choose_thresholds
from ..inference.zoom import detail, reduce
from ..methods.base import Method
from ..model.classifier import Encoded
from ..structures import Dataset
from .accumulator import MetricAccumulator, Scores, counts_like
from .metrics import CenterPrior
from .protocol import EvalProtocol, EvalTarget, ImageMetrics, Threshold, evaluable_samples, score_heatmap, target_of

Listener = Callable[[EvalTarget, dict[str, ImageMetrics]], None]


@dataclass(frozen=True)
class Row:
    """One way from a trained network to a box: which heatmap, which thresholds."""

    name: str
    inference: Inference | None = Inference()
    """How heatmaps are made; None for plain CAM of the network's classifier."""
    thresholds: tuple[Threshold, ...] = (0.1,)
    """Fixed ones, or ``auto`` and ``image_specific`` for one per image."""
    method: Method | None = None
    """Another method on the same images; the evaluated one when not given."""


@dataclass(frozen=True)
class EvalSettings:
    """How to go over the dataset."""

    ten_crop: bool = True
    """Classify by the mean softmax of ten crops (``authors`` only), else by the view that is localized in."""
    batch_size: int = 32
    workers: int = 0
    scale: float = 1.0
    """Sides of the network's input over those of the protocol; heatmaps are scored at the protocol's all the same."""
    forward: Callable[[], Any] = torch.no_grad
    """A context for the network, e.g. autocast."""
    progress: Callable[[Iterable[Batch], int], Iterable[Batch]] = lambda batches, _: batches


@dataclass
class Evaluator:
    """Streaming WSOL metrics of all rows of heatmaps on one dataset, and of the center prior beside them."""

    protocol: EvalProtocol
    accumulators: dict[str, MetricAccumulator] = field(default_factory=dict)
    correct: dict[str, int] = field(default_factory=dict)
    """By Top-k: images whose class it contains."""
    center_prior: CenterPrior = field(init=False)

    def __post_init__(self) -> None:
        self.center_prior = CenterPrior(self.protocol.side)

    def add(self, target: EvalTarget, metrics_by_row: Mapping[str, ImageMetrics]) -> None:
        """Count one image with the metrics of its heatmaps, by row."""
        self.center_prior.update(target.boxes.astype(np.float64))
        for name, correct in target.correct.items():
            self.correct[name] = self.correct.get(name, 0) + correct
        for row, metrics in metrics_by_row.items():
            self.accumulators.setdefault(row, MetricAccumulator(self.protocol)).add(metrics, target)

    def merge(self, other: "Evaluator") -> None:
        """Add the counts of another part of the same data, e.g. of another process."""
        self.center_prior.merge(other.center_prior)
        for name, correct in other.correct.items():
            self.correct[name] = self.correct.get(name, 0) + correct
        for row, accumulator in other.accumulators.items():
            self.accumulators.setdefault(row, MetricAccumulator(self.protocol)).merge(accumulator)

    def arrays(self) -> dict[str, Any]:
        """All counts, to be stored; :meth:`restore` reads them."""
        named: dict[tuple[str, ...], np.ndarray] = {
            ("center_prior",): np.append(self.center_prior.hits, self.center_prior.images),
            **{("correct", name): np.array(correct) for name, correct in self.correct.items()},
        }
        for row, accumulator in self.accumulators.items():
            named["pixels", row] = accumulator.pixels.counts
            for kind, sweep in accumulator.sweeps.items():
                named["histogram", row, kind] = sweep.histogram
                named |= {("hits", row, kind, group): hits for group, hits in sweep.hits.items()}
                named |= {("images", row, kind, group): np.array(n) for group, n in sweep.images.items()}
        arrays = {f"array{i}": array for i, array in enumerate(named.values())}
        return {"names": np.array(json.dumps(list(named))), **arrays}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`arrays` gave. Raises what arrays of other names, shapes or types lead to."""
        for i, (what, *place) in enumerate(json.loads(str(arrays["names"]))):
            array = arrays[f"array{i}"]
            if what == "correct":
                self.correct[place[0]] = int(array)
            elif what == "center_prior":
                self.center_prior.hits = counts_like(self.center_prior.hits, array[:-1])
                self.center_prior.images = int(array[-1])
            else:
                accumulator = self.accumulators.setdefault(place[0], MetricAccumulator(self.protocol))
                if what == "pixels":
                    accumulator.pixels.counts = counts_like(accumulator.pixels.counts, array)
                else:
                    accumulator.restore(what, place[1], place[2:], array)

    def scores(self, threshold: Threshold | Mapping[str, Threshold]) -> Scores:
        """The result, with the details at one of the protocol's thresholds, or at one for each row."""
        thresholds = threshold if isinstance(threshold, Mapping) else dict.fromkeys(self.accumulators, threshold)
        return Scores(
            protocol=self.protocol.name,
            images=self.center_prior.images,
            top1_cls=self._classified("top1"),
            top5_cls=self._classified("top5"),
            rows={row: accumulator.at_all() for row, accumulator in self.accumulators.items()},
            summaries={row: accumulator.summary(thresholds[row]) for row, accumulator in self.accumulators.items()},
            curves={row: accumulator.curve() for row, accumulator in self.accumulators.items()},
            center_prior=self.center_prior.best(),
            whole_image=self.center_prior.whole(),
        )

    def _classified(self, name: str) -> float | None:
        return 100 * self.correct[name] / self.center_prior.images if name in self.correct else None


@torch.inference_mode()
def evaluate(
    model: Method,
    dataset: Dataset,
    rows: Sequence[Row],
    protocol: EvalProtocol,
    settings: EvalSettings = EvalSettings(),
    listener: Listener = lambda *_: None,
) -> Evaluator:
    """Metrics of every row on every sample with ground truth; ``listener`` is called for each one.

    ``authors``: squeezed to ``resize``, center crop, min-max, then bilinear to the crop. ``wsoleval``: squeezed to the
    side, bicubic to it, then min-max; ground-truth masks count too. Where a row has ``zoom`` all rows use the same crop
    loaded twice as large and reduced, which differs from the small one by rounding only.

    Raises:
        InputError: no sample has a ground-truth box or, for ``wsoleval``, a mask.
    """
    samples = evaluable_samples(dataset, protocol)
    times = detail(*(row.inference for row in rows))
    loader = _loader(Dataset(dataset.root, dataset.classes, samples), protocol, settings, times)
    device = next(model.parameters()).device
    for method in {id(row.method): row.method for row in rows}.values():
        (method or model).eval()
    evaluator = Evaluator(protocol)
    for batch in settings.progress(loader, len(loader)):
        images = standardize(batch.images.to(device, non_blocking=True), *model.normalization)
        target = batch.target.to(device, non_blocking=True)
        with settings.forward():
            probabilities, raw, own = _localize(model, rows, images, target, times, dataset.classes)
        ranks = (probabilities > probabilities.gather(1, target[:, None])).sum(dim=1).tolist()
        heatmaps = {row: protocol.prepare(maps) for row, maps in raw.items()}
        thresholds = {row: {way: values.tolist() for way, values in ways.items()} for row, ways in own.items()}
        for i, (index, size, rank) in enumerate(zip(batch.index.tolist(), batch.size.tolist(), ranks, strict=True)):
            sample = samples[index]
            wanted = target_of(protocol, sample, dataset.classes, tuple(size), rank)
            mask = protocol.mask(sample)
            metrics = {
                row: score_heatmap(
                    protocol,
                    heatmap[i],
                    wanted.boxes,
                    {way: values[i] for way, values in thresholds[row].items()},
                    mask,
                )
                for row, heatmap in heatmaps.items()
            }
            evaluator.add(wanted, metrics)
            listener(wanted, metrics)
    return evaluator


CENTER = 4  # of the ten crops


def _loader(dataset: Dataset, protocol: EvalProtocol, settings: EvalSettings, times: int) -> Any:
    """Views as the protocol asks for them, ``times`` larger."""
    ten = settings.ten_crop and protocol.name == "authors"
    resize, side = (round(one * settings.scale) * times for one in (protocol.resize, protocol.side))
    if protocol.name == "wsoleval":
        view = partial(whole_view, size=side)
    else:
        sides = {"resize": resize, "crop": side}
        view = partial(ten_crops if ten else center_view, **sides)
    return evaluation_loader(dataset, view, max(1, settings.batch_size // (10 if ten else 1)), settings.workers)


def _localize(
    model: Method,
    rows: Sequence[Row],
    images: Float[Tensor, "B *crops 3 H W"],
    target: Int[Tensor, " B"],
    times: int,
    classes: Sequence[str],
) -> tuple[Float[Tensor, "B K"], dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """Class probabilities; heatmaps of the only or the center crop, and the images' own thresholds, by row."""
    views = images if images.ndim == 4 else images[:, CENTER].contiguous()
    small = reduce(views, times)
    every = torch.arange(len(target), device=target.device)
    encodings: dict[int, Encoded] = {}
    raw, own = {}, {}
    for row in rows:
        method = row.method or model
        encoded = encodings.setdefault(id(method), method.encode(small))
        raw[row.name], fitted = class_heatmaps(
            method, views, every, encoded, target, row.inference, enlarged_classes(row.inference, classes)
        )
        own[row.name] = {"auto": auto_threshold(fitted)} if "auto" in row.thresholds else {}
        if "image_specific" in row.thresholds:
            own[row.name]["image_specific"] = choose_thresholds(encoded, target, fitted, "image_specific")[0]
    encoded = encodings.setdefault(id(model), model.encode(small))
    if images.ndim == 4:
        return encoded.logits.float().softmax(dim=1), raw, own
    batch, crops = images.shape[:2]
    others = images[:, [crop for crop in range(crops) if crop != CENTER]].flatten(0, 1)
    logits = model.logits(reduce(others, times)).view(batch, crops - 1, -1)
    scores = torch.cat([logits, encoded.logits[:, None]], dim=1)
    return scores.float().softmax(dim=2).mean(dim=1), raw, own
