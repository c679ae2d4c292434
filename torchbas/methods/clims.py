"""CLIMS (Xie et al. 2022): class maps trained by CLIP's similarity of masked images to sentences.

The sigmoid of the class maps masks the image, see :mod:`torchbas.methods.clip_loss`; their mean is the area loss. There
is no classification loss: classes are known from the classifier that training starts from. Seeds are the positive part
of the class maps before the sigmoid.
"""

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from ..bounds import Bound
from ..config import Training
from ..data import Batch
from ..errors import InputError
from ..structures import Dataset
from .clip_loss import CLIPLoss
from .irn import IRN
from .irn import Options as IRNOptions


@dataclass(frozen=True)
class Options(IRNOptions):
    """Options of clims."""

    clip_model: str | None = None
    """NAME:FILE of open_clip, or a folder of transformers; needed for training only."""
    prompts: str | None = None
    """JSON file with other prompts for CLIP."""
    loss_weights: tuple[float, float, float, float] = (10.0, 24.0, 1.0, 0.2)
    """Of L_OTM, L_BTM, L_CBS and the area loss; 2, 14, 1.25, .2 for COCO."""
    cosine_threshold: Annotated[float, Bound(-1, 1)] = 0.26
    """Cosine above which a co-occurring background counts in L_CBS; .285 for COCO."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompts and not self.clip_model:
            raise ValueError("prompts are words for a CLIP: give it as clip_model.")


class CLIMS(IRN):
    """IRN's classifier with class maps trained by CLIP's losses."""

    name = "clims"
    Options = Options
    learns_from_images = True
    needs_classifier = True
    clip_loss: CLIPLoss | None = None

    def setup(self, dataset: Dataset, training: Training, /) -> None:
        options = self.options
        if options.clip_model is None:
            raise InputError(
                "clims compares maps with sentences by a CLIP: give NAME:FILE or a folder as --clip-model."
            )
        device = next(self.parameters()).device
        how = {"weights": options.loss_weights[:3], "threshold": options.cosine_threshold}
        self.clip_loss = CLIPLoss.load(options.clip_model, dataset.classes, options.prompts, device, **how)

    def losses(self, batch: Batch, step: int) -> dict[str, Float[Tensor, ""]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        assert self.clip_loss is not None, "setup comes first"
        maps = self.class_maps(self.batch_features(batch)).float().sigmoid()
        index, label = batch.labels.nonzero(as_tuple=True)
        terms = self.clip_loss(batch.images, maps[index, label], index, label)
        return {**terms, "area": self.options.loss_weights[3] * maps.mean()}
