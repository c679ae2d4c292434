"""CLIP (Radford et al. 2021) from a file or folder: how much an image looks like a sentence says.

The network is not trained, but gradient passes through it to the image. Nothing is downloaded.
"""

import difflib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn

from ..errors import InputError


@dataclass(frozen=True)
class CLIP:
    """A trained pair of encoders."""

    network: nn.Module
    """Both of them."""
    side: int
    """Pixels of both sides of its images."""
    mean: tuple[float, ...]
    """Of its pixels, per channel, in [0, 1]."""
    std: tuple[float, ...]
    encode_image: Callable[[Float[Tensor, "B 3 H W"]], Float[Tensor, "B D"]]
    """Images, ``side`` pixels wide and high and normalized, to features."""
    encode_text: Callable[[Sequence[str]], Float[Tensor, "T D"]]
    """Sentences to features."""

    def image_features(self, image_features: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Features of length 1; differentiable in ``images``, which are of its size and normalization."""
        return F.normalize(self.encode_image(image_features).float(), dim=1)

    @torch.no_grad()
    def text_features(self, sentences: Sequence[str]) -> Float[Tensor, "T D"]:
        """Features of length 1."""
        return F.normalize(self.encode_text(sentences).float(), dim=1)


def load_clip(source: str | Path, device: torch.device) -> CLIP:
    """Read ``NAME:FILE``, open_clip's name of a network and its weights, or a folder of transformers' CLIPModel.

    Raises:
        InputError: neither; a library that is missing; weights that cannot be read or do not fit.
    """
    name, _, file = str(source).partition(":")
    if Path(source).expanduser().is_dir():
        return _of_transformers(Path(source).expanduser(), device)
    if not Path(file).expanduser().is_file():
        raise InputError(
            f"{source} is no CLIP: give NAME:FILE, the network as open_clip calls it and its weights, such as "
            "ViT-B-32-quickgelu:clip.safetensors, or a folder that transformers saved."
        )
    return _of_open_clip(name, Path(file).expanduser(), device)


def _of_open_clip(name: str, file: Path, device: torch.device) -> CLIP:
    try:
        open_clip: Any = importlib.import_module("open_clip")
    except ImportError as error:
        raise InputError("CLIP needs open_clip: pip install 'torch-bas[clip]'.") from error
    config = open_clip.get_model_config(name)
    if config is None:
        close = difflib.get_close_matches(name, open_clip.list_models(), n=1) or ["ViT-B-32"]
        raise InputError(f'open_clip has no network "{name}": did you mean {close[0]}:{file}?')
    if {"hf_tokenizer_name", "hf_model_name"} & config["text_cfg"].keys():
        raise InputError(f"{name} reads words by files of its own from the Hub: choose a network with CLIP's tokens.")
    try:
        network = open_clip.create_model(name, pretrained=str(file))
    except Exception as error:  # a damaged or foreign file makes its readers fail in a dozen ways
        raise InputError(f"{file} does not hold {name}: save its state_dict alone, or as safetensors.") from error
    network = network.eval().requires_grad_(False).to(device)
    tokens: Any = open_clip.get_tokenizer(name)
    shown = network.visual.preprocess_cfg
    side = shown["size"] if isinstance(shown["size"], int) else shown["size"][0]
    encode_image, encode_text = (
        network.encode_image,
        lambda sentences: network.encode_text(tokens(list(sentences)).to(device)),
    )
    return CLIP(network, side, tuple(shown["mean"]), tuple(shown["std"]), encode_image, encode_text)


def _of_transformers(folder: Path, device: torch.device) -> CLIP:
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise InputError(f"{folder} needs transformers: pip install transformers.") from error
    try:
        network = transformers.CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        tokens = transformers.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # what is missing in a folder makes transformers fail in a dozen ways
        raise InputError(f"{folder} is no CLIPModel that transformers saved: {error}") from error
    network = network.eval().requires_grad_(False).to(device)

    def encode_image(image_features: Tensor) -> Tensor:
        return network.visual_projection(network.vision_model(pixel_values=image_features).pooler_output)

    def encode_text(sentences: Sequence[str]) -> Tensor:
        words = tokens(list(sentences), padding=True, return_tensors="pt").to(device)
        return network.text_projection(network.text_model(**words).pooler_output)

    return CLIP(
        network, network.config.vision_config.image_size, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, encode_image, encode_text
    )
