"""The network as one function of pixels: what is exported of a trained model, with its preprocessing inside."""

import copy
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from ..cam import normalize
from ..config import Inference
from ..data import standardize
from ..errors import InputError
from ..methods.bas import BASMethod
from ..methods.base import Method
from ..methods.cam import CAM
from ..model.classifier import Encoded, pool


class Graph(nn.Module):
    """Pixels to class scores and the heatmap of every class.

    Args:
        half: weights and features in half precision; input and outputs stay in single precision.

    Raises:
        InputError: a method whose heatmaps are neither of a generator nor class maps.
    """

    def __init__(self, model: Method, *, half: bool = False) -> None:
        super().__init__()
        if not (isinstance(model, BASMethod) or type(model).heatmaps is CAM.heatmaps):
            raise InputError(
                f"The heatmaps of the method {model.name} are not written as a graph: export a model of bas, or of cam"
                " and what is trained like it (has, cutmix, adl, irn)."
            )
        _ = model.stride  # measured by a pass of its own
        self.model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
        if half:
            self.model.half()
            if self._familiarity is not None:
                self._familiarity.float()  # compares cosines
        self.half_precision = half

    @property
    def _familiarity(self) -> nn.Module | None:
        return self.model.familiarity if isinstance(self.model, BASMethod) else None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` returns."""
        return ("logits", "maps") if self._familiarity is None else ("logits", "maps", "familiarity")

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, ...]:
        """``images`` are RGB in [0, 255].

        Returns:
            ``logits`` (B, K); ``maps`` (B, K, h, w) in [0, 1] on the grid of F, min-max normalized where the method
            gives no range; and, where the model knows it, ``familiarity`` (B) in (0, 1].
        """
        views = standardize(images / 255, *self.model.normalization)
        encoded = self.model.encode(views.half() if self.half_precision else views)
        found = encoded.logits, self._maps(encoded)
        if self._familiarity is None:
            return found
        return (*found, self._familiarity(pool(encoded.deep_features)))

    def _maps(self, encoded: Encoded) -> Float[Tensor, "B K h w"]:
        if isinstance(self.model, BASMethod):
            return self.model.generator(encoded.features)
        maps = encoded.class_maps.float()
        maps = normalize(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
        grid = encoded.features.shape[2:]
        return maps if maps.shape[2:] == grid else nn.functional.interpolate(maps, size=grid, mode="bilinear")


def read_as(model: Method, inference: Inference) -> Inference:
    """Settings by which the graph's maps are to be read: those of the model, less what is done in the graph."""
    if not isinstance(model, BASMethod):  # normalized already; a threshold of BAS's maps is none for other methods'
        own = inference.threshold if inference.normalized else "auto"
        inference = replace(inference, threshold=own, normalized=False, top_k=1)
    return replace(inference, threshold="auto") if inference.threshold == "image_specific" else inference
