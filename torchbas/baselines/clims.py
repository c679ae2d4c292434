"""CLIMS (Xie et al. 2022): CLIP, which has read about far more than our tags, judges the class maps.

The class maps' sigmoid hides and shows the photo, see :mod:`torchbas.engine.language`; their mean is kept small. No
other loss: the classes are known from the classifier that training starts from. Seeds are the class maps before the
sigmoid, cut at zero.
"""

from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ..config import Training
from ..data import Batch
from ..engine.language import Judge
from ..errors import InputError
from ..types import Collection
from .irn import IRN


class CLIMS(IRN):
    """Class maps that CLIP has judged.

    Args:
        clip_model: see :func:`torchbas.model.clip.load_clip`; only needed in training.
        prompts: JSON of words, see :func:`torchbas.engine.language.read_sentences`.
        weights: of object, rest, surroundings and area; 2, 14, 1.25, .2 for COCO.
        threshold: see :func:`torchbas.losses.surroundings_text`; .285 for COCO.
    """

    continues = True

    def __init__(
        self,
        *network: Any,
        clip_model: str | Path | None = None,
        prompts: str | Path | None = None,
        weights: tuple[float, float, float, float] = (10.0, 24.0, 1.0, 0.2),
        threshold: float = 0.26,
        **options: Any,
    ) -> None:
        super().__init__(*network, **options)
        self.clip_model, self.prompts, self.weights, self.threshold = clip_model, prompts, tuple(weights), threshold
        self.judge: Judge | None = None

    def equip(self, photos: Collection, _: Training, /) -> None:
        if self.clip_model is None:
            raise InputError("clims lets CLIP judge the maps: give NAME:FILE or a folder of a CLIP as --clip-model.")
        device = next(self.parameters()).device
        how = {"weights": self.weights[:3], "threshold": self.threshold}
        self.judge = Judge.load(self.clip_model, photos.classes, self.prompts, device, **how)

    def forward(self, batch: Batch, _step: int) -> dict[str, Float[Tensor, ""]]:
        assert self.judge is not None, "equip comes first"
        maps = self.class_maps(self.prepare(batch)).float().sigmoid()
        photo, label = batch.labels.nonzero(as_tuple=True)
        return {**self.judge(batch.images, maps[photo, label], photo, label), "area": self.weights[3] * maps.mean()}
