"""A trained method ready to use: photos in, localizations out."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int32
from pycocotools import mask as coco_mask
from torch import Tensor

from ..data import Batch, Unreadable, evaluation_loader, standardize, whole_view
from ..data.given import Photo, is_photo, samples_of
from ..errors import InputError
from ..localization import Localization, Shape
from ..methods.base import Method
from ..methods.trained import TrainedModel
from ..refiners import stages
from ..refiners.base import Detections, Extent, Queries
from ..structures import Dataset, Sample, unknown_tag
from .boxes import component, components
from .localize import detect, enlarged_classes, passes
from .zoom import detail, reduce

Item = TypeVar("Item")
Progress = Callable[[Iterable[Batch], int], Iterable[Batch]]
"""Passes batches on, whose number it is told, e.g. with a progress bar."""
Masks = Callable[[Sample, str], Sequence[Bool[np.ndarray, "H W"]]]
"""Masks of the objects of a tag in a photo, at its own size, from elsewhere than the heatmap."""
AUTHORS = "authors"
"""``recipe`` of a model that the paper's authors released."""


def silent(items: Iterable[Item], _: int) -> Iterable[Item]:
    """No progress bar."""
    return items


@dataclass(frozen=True)
class Localizer(TrainedModel[Method]):
    """A trained method with all that is needed to localize in any photo.

    Call it with photos; :meth:`stream` is for whole datasets, in constant memory. Its input is the whole photo,
    squeezed as in training before the crop, or to the ``input_size`` of its inference.
    """

    def __call__(
        self,
        photos: Photo | Iterable[Photo],
        tags: str | Sequence[str] = (),
        *,
        objects: str = "largest",
        threshold: float | str | None = None,
        refine: str | Sequence[str] | None = None,
    ) -> list[Localization]:
        """Localizations of ``tags`` in one or more photos; without tags of the most probable class of each.

        Args:
            photos: paths, URLs, bytes, Pillow images, arrays or tensors, see :data:`~torchbas.data.given.Photo`.
            objects: ``largest`` connected component of a heatmap, or ``all``, those that touch told apart.
            threshold: value of the heatmap above which a pixel is foreground, ``auto`` or ``image_specific``; None: the
                model's own.
            refine: one or more stages that draw masks to the photo's edges, see :meth:`with_refine`.

        Raises:
            InputError: what cannot be read as a photo, or a tag that the model does not know.
        """
        chosen = self.with_inference(threshold=threshold).with_refine(refine)
        return [*chosen.stream_photos(photos, self.labels_of(tags), objects=objects)]

    def with_inference(self, **changes: Any) -> "Localizer":
        """The same with other settings of its inference; None keeps the model's own."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, inference=replace(self.inference, **given)) if given else self

    def with_refine(self, refine: str | Sequence[str] | None, weights: str = "") -> "Localizer":
        """The same with other refiners.

        Args:
            refine: one or more of ``shift``, ``crf`` and ``sam2``, in their order, or ``none``; None keeps them.
            weights: of ``sam2``, a name on the Hub or a folder; empty keeps them.

        Raises:
            InputError: another word, stages that do not go together, or weights without ``sam2``.
        """
        given = {} if refine is None else {"refine": (refine,) if isinstance(refine, str) else tuple(refine)}
        given |= {"refiner_weights": weights} if weights else {}
        inference = replace(self.inference, **given)
        if weights and "sam2" not in inference.refine:
            raise InputError("refiner_weights are those of SAM 2: add sam2 to refine.")
        return replace(self, inference=inference) if given else self

    def stream_photos(
        self,
        photos: Photo | Iterable[Photo],
        labels: tuple[int, ...] = (),
        *,
        batch_size: int = 16,
        unreadable: Unreadable | None = None,
        **settings: Any,
    ) -> Iterator[Localization]:
        """Localizations in photos as a program has them, a batch at a time, while they are made.

        Args:
            labels: classes to localize in every photo; without any the predicted one of each.
            settings: further ones of :meth:`stream`.
        """
        single = is_photo(photos) or isinstance(photos, (str, os.PathLike))
        samples = samples_of([photos] if single else photos, unreadable)  # pyright: ignore[reportArgumentType]
        settings |= {"tags": "known" if labels else "predicted", "batch_size": batch_size, "unreadable": unreadable}
        while batch := tuple(replace(sample, labels=labels) for sample in islice(samples, batch_size)):
            yield from self.stream(Dataset(Path(), self.classes, batch), **settings)

    @torch.inference_mode()
    def stream(
        self,
        dataset: Dataset,
        *,
        tags: str = "known",
        objects: str = "largest",
        min_score: float = 0.0,
        masks: Masks | None = None,
        batch_size: int = 16,
        workers: int = 0,
        precision: Callable[[], Any] = nullcontext,
        progress: Progress = silent,
        unreadable: Unreadable | None = None,
    ) -> Iterator[Localization]:
        """Localizations of the ``known`` tags of every photo, or of its ``predicted`` class, photo by photo in order.

        Args:
            objects: ``largest`` connected component of a heatmap, or ``all``, those that touch told apart.
            min_score: localizations with a lower certainty are left out.
            masks: in place of the heatmap's own, such as a segmenter's; ``objects`` then says nothing.
            workers: processes that decode; threads that make masks are at least as many as PyTorch's.
            precision: context manager of the forward pass, e.g. autocast.
            progress: receives the batches and their number, and passes them on.
            unreadable: told of photos that cannot be read, which are left out.

        Raises:
            InputError: a tag that the model does not know, or an unreadable photo where ``unreadable`` is None.
        """
        if tags == "known":
            wanted = [sample for sample in self.with_own_classes(dataset).samples if sample.labels]
        else:  # the photos may have tags that this model does not know
            wanted = [replace(sample, labels=()) for sample in dataset.samples]
        data = Dataset(dataset.root, self.classes, tuple(wanted))
        side = self.sides[0] * detail(self.inference)
        view = partial(whole_view, size=side)
        loader = evaluation_loader(data, view, batch_size, workers, at_least=side, unreadable=unreadable)
        device = next(self.model.parameters()).device
        self.model.eval()
        refiners = stages(self.inference, device) if masks is None else []
        wanted_of_each = {"objects": objects, "smallest": self.inference.smallest, "masks": masks}
        extract = partial(_localizations, method=self.model.name, **wanted_of_each)
        replaced = [self.label_of(tag) for tag in self.inference.layercam]
        enlarged = enlarged_classes(self.inference, self.classes)
        typical = {tag: Shape(*shape) for tag, *shape in self.shapes}
        with ThreadPoolExecutor(max(workers, torch.get_num_threads())) as pool:  # the network waits meanwhile
            for batch in progress(loader, len(loader)):
                images = standardize(batch.images.to(device, non_blocking=True), *self.model.normalization)
                labels = batch.labels.to(device, non_blocking=True) if tags == "known" else None
                images = images.contiguous(memory_format=torch.channels_last)
                with precision():
                    found = detect(self.model, images, labels, self.inference, replaced, enlarged, objects)
                    known = self._queries(batch, images, found, enlarged, pool, objects)
                    extents = known.start()
                    for refiner in refiners:
                        extents = refiner(known, extents)
                index = batch.index[found.index.cpu()].tolist()
                tasks = zip(
                    [wanted[i] for i in index],
                    batch.size[found.index.cpu()].tolist(),
                    [self.classes[label] for label in found.label.tolist()],
                    *(column.tolist() for column in (found.confidence, found.certainty, found.threshold)),
                    found.bas_ratio.tolist(),
                    found.replaced.tolist(),
                    [typical.get(self.classes[label]) for label in found.label.tolist()],
                    found.heatmaps.float().cpu().numpy(),
                    extents,
                    found.parts,
                    strict=True,
                )
                for objects_of_one in pool.map(lambda task: extract(*task), tasks):
                    yield from (one for one in objects_of_one if one.certainty >= min_score)

    def push_to_hub(self, name: str, run: str | Path | None = None, *, private: bool = True) -> str:
        """Push to the Hugging Face Hub, from where ``tb.load("user/name")`` reads it; returns the commit's address.

        Args:
            run: folder of the command that has made it, for the README of the repository.
            private: of a repository that does not exist yet.

        Raises:
            InputError: what is no name of a repository, no token, no network, or a Hub that refuses.
        """
        from ..deploy.hub import push

        return push(self, name, run, private=private)

    def _queries(
        self,
        batch: Batch,
        images: Float[Tensor, "B 3 H W"],
        found: Detections,
        enlarged: Sequence[int] | None,
        pool: Executor,
        objects: str,
    ) -> Queries:
        """What the refiners are told of a batch."""
        inference, model = self.inference, self.model

        def things(foreground: Bool[np.ndarray, "h w"], query: int) -> list[Bool[np.ndarray, "h w"]]:
            return [one.mask for one in components(foreground, objects, found.parts[query], inference.smallest)]

        def sized(times: int) -> Float[Tensor, "B 3 H W"]:
            return reduce(images, detail(inference) // times)

        rows = passes(found, inference, enlarged)
        return Queries(found, model, inference, sized, rows, batch.images, self.sides[0], pool, things)

    def label_of(self, tag: str) -> int:
        """Index of a tag.

        Raises:
            InputError: a tag that the model does not know.
        """
        if tag not in self.classes:
            raise InputError(unknown_tag(tag, self.classes))
        return self.classes.index(tag)

    def labels_of(self, tags: str | Sequence[str]) -> tuple[int, ...]:
        """Indices of one or more tags, ascending; raises as :meth:`label_of`."""
        return tuple(sorted(map(self.label_of, [tags] if isinstance(tags, str) else tags)))

    def with_own_classes(self, dataset: Dataset) -> Dataset:
        """The same photos with their labels as indices into this model's class list, matched by name.

        Models of the authors have no class names: there the order of the two lists must agree.

        Raises:
            InputError: a tag that the model does not know.
        """
        if self.recipe == AUTHORS and len(dataset.classes) == len(self.classes):
            return replace(dataset, classes=self.classes)
        return dataset.relabeled(self.classes)


def _localizations(
    sample: Sample,
    size: list[int],
    label: str,
    confidence: float,
    certainty: float,
    threshold: float,
    bas_ratio: float,
    replaced: bool,
    typical: Shape | None,
    grid: Float[np.ndarray, "h w"],
    extents: Sequence[Extent],
    parts: Int32[np.ndarray, "h w"] | None,
    *,
    objects: str,
    smallest: float,
    method: str,
    masks: Masks | None,
) -> list[Localization]:
    """Objects in a photo at its own size: ``masks``, or the components of the first of the ``extents`` that has some; a
    later one also stands in for a thing that is too small in the photo itself."""
    height, width = size
    found = [] if masks is None else [component(mask) for mask in masks(sample, label)]
    by = ""
    for extent in extents if masks is None else ():
        large = cv2.resize(extent.map, (width, height), interpolation=cv2.INTER_LINEAR)
        if found := components(large > extent.threshold, objects, parts, smallest):
            by = extent.by and f"+{extent.by}"
            break
    return [
        Localization(
            image=sample.path,
            name=sample.name,
            size=(height, width),
            label=label,
            xyxy=one.box,
            rle=dict(coco_mask.encode(np.asfortranarray(one.mask, dtype=np.uint8))),
            grid=grid,
            confidence=confidence,
            certainty=certainty,
            bas_ratio=bas_ratio,
            threshold=threshold,
            method=f"{'layercam' if replaced else method}{by}",
            typical=typical,
            ground_truth=sample.boxes,
            photo=sample.image,
        )
        for one in found
    ]
