"""What CLIP says of a map (CLIMS, Xie et al. 2022): the object alone must look like its class, the rest must not."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ..data import normalise
from ..errors import InputError
from ..losses import object_text, rest_text, surroundings_text
from ..model.clip import CLIP, load_clip

TEMPLATE = "a photo of {}."
SURROUNDINGS = ("tree", "river", "sea", "lake", "water", "railway", "railroad", "track", "stone", "rocks")
"""What objects of VOC often stand beside."""
OTHER_WORDS = {"person": "player"}
"""Of VOC's classes, by CLIMS: CLIP finds a player where it does not find a person."""


@dataclass(frozen=True)
class Sentences:
    """What CLIP is asked."""

    classes: tuple[str, ...]
    """One of each class."""
    surroundings: tuple[str, ...]
    """What must not be in a map."""


def read_sentences(classes: tuple[str, ...], file: str | Path | None = None) -> Sentences:
    """The sentences of a class list: CLIMS' own, or as a JSON file says.

    ``{"template": "a photo of {}.", "classes": {"person": "player"}, "surroundings": ["tree", "river"]}``, all of it
    optional. A surrounding that is a class itself is left out.

    Raises:
        InputError: a file that cannot be read or is no such object, or names a class that is not there.
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
        said = json.loads(file.read_text(encoding="utf-8-sig"))
        words = (*said.get("classes", {}).values(), *said.get("surroundings", []), said.get("template", TEMPLATE))
        understood = said.keys() <= {"template", "classes", "surroundings"} and all(isinstance(w, str) for w in words)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{file} is not understood ({error}): it must look like {example}.") from error
    if not understood or "{}" not in said.get("template", TEMPLATE):
        raise InputError(f"{file} is not understood: it must look like {example}.")
    for name in said.get("classes", {}):
        if name not in classes:
            raise InputError(f'{file} has words for "{name}", but that is none of the classes: correct its name.')
    return said


class Judge:
    """CLIP's opinion of maps, as losses.

    It is no module: its weights neither learn nor belong into a checkpoint.

    Args:
        weights: of the three losses.
        threshold: see :func:`torchbas.losses.surroundings_text`.
    """

    def __init__(
        self,
        clip: CLIP,
        sentences: Sentences,
        weights: tuple[float, float, float] = (10.0, 24.0, 1.0),
        threshold: float = 0.26,
    ) -> None:
        self.clip, self.weights, self.threshold = clip, weights, threshold
        self.classes = clip.texts(sentences.classes)
        self.surroundings = clip.texts(sentences.surroundings) if sentences.surroundings else self.classes[:0]

    @classmethod
    def load(
        cls,
        clip: str | Path,
        classes: tuple[str, ...],
        prompts: str | Path | None,
        device: torch.device,
        **more: object,
    ) -> "Judge":
        """From files, see :func:`torchbas.model.clip.load_clip` and :func:`read_sentences`."""
        sentences = read_sentences(classes, prompts)
        return cls(load_clip(clip, device), sentences, **more)  # pyright: ignore[reportArgumentType]

    def __call__(
        self,
        images: UInt8[Tensor, "B 3 H W"],
        maps: Float[Tensor, "P h w"],
        photo: Int[Tensor, " P"],
        label: Int[Tensor, " P"],
    ) -> dict[str, Float[Tensor, ""]]:
        """The weighted losses of maps in [0, 1], each of one ``label`` in one ``photo`` of the batch.

        What a map hides has the mean colour. (CLIMS gives CLIP the pixels in ImageNet's normalisation, here they have
        CLIP's.)
        """
        side = (self.clip.side, self.clip.side)
        seen = F.interpolate(images / 255, size=side, mode="bilinear", align_corners=False, antialias=True)
        seen = normalise(seen, self.clip.mean, self.clip.std)[photo]
        open_ = F.interpolate(maps[:, None].float(), size=side, mode="bilinear", align_corners=False)
        features, rest = self.clip.images(torch.cat([open_ * seen, (1 - open_) * seen])).chunk(2)
        for_object, for_rest, for_surroundings = self.weights
        return {
            "clip_object": for_object * object_text((features * self.classes[label]).sum(dim=1)),
            "clip_rest": for_rest * rest_text((rest * self.classes[label]).sum(dim=1)),
            "clip_surroundings": for_surroundings * surroundings_text(features @ self.surroundings.T, self.threshold),
        }
