"""Modern segmentation networks: any architecture and encoder of segmentation-models-pytorch, an optional dependency."""

import importlib
from typing import Any

import timm
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import InputError


class SMPNetwork(nn.Module):
    """Logits of every label at every pixel, for images of any size.

    Args:
        name: architecture and encoder, ``upernet:convnext_tiny`` or ``segformer:mit_b2``; the encoder is one of the
            library's own or any timm network that it takes.
        labels: classes and background.

    Raises:
        InputError: the library is not installed, or does not know the name.
    """

    MULTIPLE = 32
    """Sides of the library's images are a multiple of this."""

    def __init__(self, name: str, labels: int) -> None:
        super().__init__()
        try:
            library: Any = importlib.import_module("segmentation_models_pytorch")
        except ImportError as error:
            install = "pip install 'segmentation-models-pytorch>=0.5'"
            raise InputError(f"{name} needs a library that is not installed: {install}.") from error
        architecture, _, encoder = name.partition(":")
        own = encoder in library.encoders.get_encoder_names()
        try:
            if not own and not timm.is_model(encoder.partition(".")[0]):
                raise ValueError(f"no encoder {encoder}")  # timm would look for an address or a folder of that name
            self.model = library.create_model(
                architecture, encoder if own else f"tu-{encoder}", encoder_weights=None, classes=labels
            )
        except (KeyError, RuntimeError, ValueError, TypeError) as error:  # each part of the library has its own way
            raise InputError(
                f"There is no network {name}: choose an architecture and an encoder of segmentation-models-pytorch, "
                "e.g. upernet:convnext_tiny."
            ) from error

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L H W"]:
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % self.MULTIPLE, 0, -height % self.MULTIPLE))
        return self.model(padded)[..., :height, :width]

    def trained_logits(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Float[Tensor, "B L H W"]]:
        """All logits that have a loss: those of :meth:`forward`."""
        return {"pixels": self(images)}
