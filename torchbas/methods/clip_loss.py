"""CLIPLoss (CLIMS, Xie et al. 2022): CLIP's similarity of an image's masked foreground and background to sentences."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ..data import standardize
from ..errors import InputError
from ..inputs import regular
from ..losses import background_text_matching, cooccurring_background_suppression, object_text_matching
from ..model.clip import CLIP, load_clip

TEMPLATE = "a photo of {}."
SURROUNDINGS = ("tree", "river", "sea", "lake", "water", "railway", "railroad", "track", "stone", "rocks")
"""Co-occurring backgrounds of VOC's classes."""
OTHER_WORDS = {"person": "player"}
"""Words for VOC's classes in CLIMS that differ from their names."""


@dataclass(frozen=True)
class Sentences:
    """Sentences for CLIP's text encoder."""

    classes: tuple[str, ...]
    """One per class."""
    surroundings: tuple[str, ...]
    """One per co-occurring background."""


def read_sentences(classes: tuple[str, ...], file: str | Path | None = None) -> Sentences:
    """Sentences of a class list: CLIMS' own, or by a JSON file.

    ``{"template": "a photo of {}.", "classes": {"person": "player"}, "surroundings": ["tree", "river"]}``, all of it
    optional. A surrounding that is a class itself is omitted.

    Raises:
        InputError: a file that is unreadable or malformed, or names an unknown class.
    """
    said = {"template": TEMPLATE, "classes": OTHER_WORDS, "surroundings": SURROUNDINGS}
    if file is not None:
        said |= _read(Path(file), classes)
    known = {name.casefold() for name in classes}
    words = [said["classes"].get(name, name.replace("_", " ")) for name in classes]
    around = [word for word in said["surroundings"] if word.casefold() not in known]
    return Sentences(*(tuple(said["template"].replace("{}", word) for word in part) for part in (words, around)))


def _read(file: Path, classes: tuple[str, ...]) -> dict:
    example = '{"template": "a photo of {}.", "classes": {"person": "player"}, "surroundings": ["tree", "river"]}'
    try:
        said = json.loads(regular(file).read_text(encoding="utf-8-sig"))
        words = (*said.get("classes", {}).values(), *said.get("surroundings", []), said.get("template", TEMPLATE))
        understood = said.keys() <= {"template", "classes", "surroundings"} and all(isinstance(w, str) for w in words)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f"{file} is not understood ({error}): it must look like {example}.") from error
    if not understood or "{}" not in said.get("template", TEMPLATE):
        raise InputError(f"{file} is not understood: it must look like {example}.")
    for name in said.get("classes", {}):
        if name not in classes:
            raise InputError(f'{file} has words for "{name}", but that is none of the classes: correct its name.')
    return said


class CLIPLoss:
    """L_OTM, L_BTM and L_CBS of CLIMS, weighted.

    No module, because its weights are neither trained nor part of a checkpoint.

    Args:
        weights: of the three losses.
        threshold: see :func:`torchbas.losses.cooccurring_background_suppression`.
    """

    def __init__(
        self,
        clip: CLIP,
        sentences: Sentences,
        weights: tuple[float, float, float] = (10.0, 24.0, 1.0),
        threshold: float = 0.26,
    ) -> None:
        self.clip, self.weights, self.threshold = clip, weights, threshold
        self.classes = clip.text_features(sentences.classes)
        self.surroundings = clip.text_features(sentences.surroundings) if sentences.surroundings else self.classes[:0]

    @classmethod
    def load(
        cls,
        clip: str | Path,
        classes: tuple[str, ...],
        prompts: str | Path | None,
        device: torch.device,
        **more: object,
    ) -> "CLIPLoss":
        """From files, see :func:`torchbas.model.clip.load_clip` and :func:`read_sentences`."""
        sentences = read_sentences(classes, prompts)
        return cls(load_clip(clip, device), sentences, **more)  # pyright: ignore[reportArgumentType]

    def __call__(
        self,
        images: UInt8[Tensor, "B 3 H W"],
        maps: Float[Tensor, "P h w"],
        index: Int[Tensor, " P"],
        label: Int[Tensor, " P"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Weighted losses of maps in [0, 1], each of class ``label`` in the image at ``index`` of the batch.

        Masked pixels have CLIP's mean color. (CLIMS passes pixels in ImageNet's normalization to CLIP, here they are in
        CLIP's.)
        """
        side = (self.clip.side, self.clip.side)
        views = F.interpolate(images / 255, size=side, mode="bilinear", align_corners=False, antialias=True)
        views = standardize(views, self.clip.mean, self.clip.std)[index]
        foreground = F.interpolate(maps[:, None].float(), size=side, mode="bilinear", align_corners=False)
        inside, outside = self.clip.image_features(torch.cat([foreground * views, (1 - foreground) * views])).chunk(2)
        for_object, for_rest, for_surroundings = self.weights
        return {
            "clip_object": for_object * object_text_matching((inside * self.classes[label]).sum(dim=1)),
            "clip_rest": for_rest * background_text_matching((outside * self.classes[label]).sum(dim=1)),
            "clip_surroundings": for_surroundings
            * cooccurring_background_suppression(inside @ self.surroundings.T, self.threshold),
        }
