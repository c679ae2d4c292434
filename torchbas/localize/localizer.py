"""A trained model ready to use: photos in, objects out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from pycocotools import mask as coco_mask

from ..config import Inference
from ..data import Batch, evaluation_loader, normalise, whole_view
from ..errors import InputError
from ..model import BAS
from ..model.weights import load_model, save_model
from ..types import Collection, Localization, Photo, unknown_tag
from .boxes import components
from .find import Found, find
from .zoom import detail

Progress = Callable[[Iterable[Batch], int], Iterable[Batch]]


AUTHORS = "authors"
"""Stands for the recipe of a model that the paper's authors released."""


def silent(batches: Iterable[Batch], _: int) -> Iterable[Batch]:
    """No progress bar."""
    return batches


@dataclass(frozen=True)
class Localizer:
    """A model with all that is needed to use it on any photo.

    Call it with image files; :meth:`stream` is the same for a whole collection, in constant memory.
    """

    model: BAS
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    """Pixels of both sides to which a whole photo is squeezed: what training squeezed to before it cropped."""
    crop: int
    """Pixels of both sides of the crop that the authors' protocol looks at."""
    inference: Inference
    recipe: str = ""
    """Name of the recipe that trained it."""
    fingerprint: str = ""
    """Of the settings and data it was trained with."""

    def __call__(self, images: str | Path | Sequence[str | Path], tags: Sequence[str] = ()) -> list[Localization]:
        """Find ``tags`` in one or more image files; without tags the most probable class of each.

        Raises:
            InputError: an unreadable file, or a tag that the model does not know.
        """
        paths = [images] if isinstance(images, (str, Path)) else images
        labels = tuple(sorted(self.label_of(tag) for tag in ([tags] if isinstance(tags, str) else tags)))
        photos = tuple(Photo(Path(path), str(path), labels) for path in paths)
        collection = Collection(Path(), self.classes, photos)
        return list(self.stream(collection, tags="known" if tags else "predicted"))

    @torch.inference_mode()
    def stream(
        self,
        collection: Collection,
        *,
        tags: str = "known",
        objects: str = "largest",
        batch_size: int = 16,
        workers: int = 0,
        precision: Callable[[], Any] = nullcontext,
        progress: Progress = silent,
    ) -> Iterator[Localization]:
        """Find the ``known`` tags of every photo, or its ``predicted`` class, photo by photo in order.

        Args:
            objects: ``largest`` or ``all`` connected pieces of a map.
            precision: context to run the network in, e.g. autocast.
        """
        if tags == "known":
            wanted = [photo for photo in self.adopt(collection).photos if photo.labels]
        else:  # the photos may have tags that this model does not know
            wanted = [replace(photo, labels=()) for photo in collection.photos]
        data = Collection(collection.root, self.classes, tuple(wanted))
        side = self.side * detail(self.inference)
        loader = evaluation_loader(data, partial(whole_view, size=side), batch_size, workers, at_least=side)
        device = next(self.model.parameters()).device
        self.model.eval()
        cut = partial(_objects, classes=self.classes, objects=objects)
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for batch in progress(loader, len(loader)):
                images = normalise(batch.images.to(device, non_blocking=True), self.mean, self.std)
                labels = batch.labels.to(device) if tags == "known" else None
                with precision():
                    found = find(
                        self.model, images.contiguous(memory_format=torch.channels_last), labels, self.inference
                    )
                answers = _unbatched(found)
                tasks = [(wanted[int(batch.index[a.photo])], batch.size[a.photo].tolist(), a) for a in answers]
                for objects_of_one in pool.map(lambda task: cut(*task), tasks):
                    yield from objects_of_one

    def label_of(self, tag: str) -> int:
        """The index of a tag. Raises :class:`InputError` naming the tags that there are."""
        if tag not in self.classes:
            raise InputError(unknown_tag(tag, self.classes))
        return self.classes.index(tag)

    def adopt(self, collection: Collection) -> Collection:
        """The same photos with their tags as numbers of this model's class list, matched by name.

        A model of the authors has no names, only numbers: there the positions of the two lists must agree.

        Raises:
            InputError: a tag that the model does not know.
        """
        if self.recipe == AUTHORS and len(collection.classes) == len(self.classes):
            return replace(collection, classes=self.classes)
        return collection.relabelled(self.classes)

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``: all that :meth:`load` needs, on any machine."""
        card = {
            "architecture": asdict(self.model.architecture),
            "classes": list(self.classes),
            "mean": list(self.mean),
            "std": list(self.std),
            "side": self.side,
            "crop": self.crop,
            "inference": asdict(self.inference),
            "recipe": self.recipe,
            "fingerprint": self.fingerprint,
        }
        save_model(self.model, folder, card)

    @classmethod
    def load(cls, folder: str | Path) -> "Localizer":
        """Read a folder that :meth:`save` wrote, or a Hub repository ``user/name``.

        Raises:
            InputError: no model there, or a damaged one.
        """
        model, card = load_model(folder)
        try:
            return cls(
                model,
                tuple(card["classes"]),
                tuple(card["mean"]),
                tuple(card["std"]),
                card["side"],
                card["crop"],
                Inference(**card["inference"]),
                card["recipe"],
                card["fingerprint"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder}/model.json lacks or garbles {error}: copy the model again.") from error


@dataclass(frozen=True)
class _Answer:
    """What the network said of one class in one photo of a batch."""

    photo: int
    label: int
    confidence: float
    grid: Float[np.ndarray, "h w"]
    threshold: float
    evidence_left: float


def _unbatched(found: Found) -> list[_Answer]:
    columns = (found.photo, found.label, found.confidence, found.threshold, found.evidence_left)
    rows = zip(*(column.tolist() for column in columns), found.maps.float().cpu().numpy(), strict=True)
    return [_Answer(p, c, s, grid, t, e) for p, c, s, t, e, grid in rows]


def _objects(
    photo: Photo, size: list[int], answer: _Answer, *, classes: tuple[str, ...], objects: str
) -> list[Localization]:
    """Enlarge a map to the photo's own pixels and cut the objects out."""
    height, width = size
    heat = cv2.resize(answer.grid, (width, height), interpolation=cv2.INTER_LINEAR)
    return [
        Localization(
            image=photo.path,
            name=photo.name,
            size=(height, width),
            label=classes[answer.label],
            xyxy=piece.box,
            rle=dict(coco_mask.encode(np.asfortranarray(piece.mask, dtype=np.uint8))),
            grid=answer.grid,
            confidence=answer.confidence,
            evidence_left=answer.evidence_left,
            threshold=answer.threshold,
            truth=photo.boxes,
        )
        for piece in components(heat, answer.threshold, objects)
    ]
