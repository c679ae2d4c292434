"""Auto-annotation function of CVAT: ``cvat-cli task auto-annotate 7 --function-module torchbas.serve.cvat -p
model=str:labels/``."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from ..api import Compute, load, predict
from ..config import LEAST_CERTAINTY
from ..errors import InputError
from ..export.polygons import polygons
from ..inference.localizer import Localizer
from ..localization import Localization


class Detector:
    """What CVAT asks: ``spec``, a ``DetectionFunctionSpec`` with the model's tags as labels, and :meth:`detect`."""

    def __init__(self, localizer: Localizer, shape: str, settings: dict[str, Any]) -> None:
        try:
            import cvat_sdk.auto_annotation as cvat
            from cvat_sdk.masks import encode_mask
        except ModuleNotFoundError as error:
            raise InputError(f'{error.name} is not installed: pip install "torch-bas[cvat]".') from error
        self._cvat, self._encode_mask = cvat, encode_mask
        self._localizer, self._shape, self._settings = localizer, shape, settings
        labels = [cvat.label_spec(tag, number, type=shape) for number, tag in enumerate(localizer.classes)]
        self.spec = cvat.DetectionFunctionSpec(labels=labels)

    def detect(self, context: Any, image: Image.Image) -> Sequence[Any]:
        """Shapes of the objects in a frame whose score is at least ``context.conf_threshold``, which is theirs, too.

        Args:
            context: CVAT's ``DetectionFunctionContext``; with ``conv_mask_to_poly`` masks come as their outlines.

        Raises:
            UnreadableImage: too many pixels.
        """
        least = context.conf_threshold or 0.0
        found = predict([image], self._localizer, **self._settings)
        return [
            shape
            for one in found
            if one.score >= least
            for shape in self._shapes(one, outlines=context.conv_mask_to_poly)
        ]

    def _shapes(self, one: Localization, *, outlines: bool) -> list[Any]:
        label, score = self._localizer.label_of(one.label), {"score": round(one.score, 4)}
        if self._shape == "rectangle":
            return [self._cvat.rectangle(label, [*map(float, one.xyxy)], **score)]
        if outlines:
            return [self._cvat.polygon(label, outline, **score) for outline in polygons(one.mask)]
        return [self._cvat.mask(label, self._encode_mask(one.mask, one.xyxy), **score)]


def create(
    model: str,
    shape: str = "rectangle",
    objects: str = "largest",
    tags: str = "",
    min_score: float = LEAST_CERTAINTY,
    device: str = "auto",
) -> Detector:
    """The function, as ``cvat-cli`` makes it of ``-p NAME=TYPE:VALUE``.

    Args:
        model: folder of ``bas label`` or of a run.
        shape: ``rectangle`` or ``mask``.
        objects: the ``largest`` of each tag in a frame, or ``all``.
        tags: names with commas between them, each localized in every frame; without any the most probable one.
        min_score: least certainty that the frame shows any of the tags, where they are predicted.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        InputError: no model there, a tag that it does not know, a ``shape`` or ``objects`` that there is not, or
            cvat-sdk is not installed.
    """
    for name, value, choices in (("shape", shape, ("rectangle", "mask")), ("objects", objects, ("largest", "all"))):
        if value not in choices:
            raise InputError(f'{name} is "{value}": give {" or ".join(choices)}.')
    localizer = load(model)
    named = [tag.strip() for tag in tags.split(",") if tag.strip()]
    localizer.labels_of(named)
    chosen: dict[str, Any] = {"tags": named} if named else {"tags": "predicted", "min_score": min_score}
    return Detector(localizer, shape, chosen | {"objects": objects, "compute": Compute(device)})
